"""``driftline dead-letters``: list, show, replay."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from app import wiring
from app.commands.common import JsonOption, warehouse
from schemas.windows import to_ms

if TYPE_CHECKING:
    from warehouse.client import Warehouse

app = typer.Typer(
    help="What was refused, why, with its original bytes; and send it again once it fits.", no_args_is_help=True
)

PlaceArgument = Annotated[str, typer.Argument(help="As the list shows it, e.g. predictions/0/17.", metavar="PLACE")]
ModelOption = Annotated[
    str, typer.Option("--model", help="namespace/model, or the name alone, as the letter says it.", metavar="MODEL")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="e.g. unknown_model; the list names those there are.")]
TopicOption = Annotated[str, typer.Option("--topic", help="predictions, outcomes, or a topic of your own.")]
SinceOption = Annotated[
    str, typer.Option("--since", help="Logged since: 30m, 2h, 1d ago, or an instant like 2026-01-31T12:00:00Z.")
]


@contextmanager
def _asking() -> "Iterator[Warehouse]":
    """ClickHouse; a question that is not clear is exit code 2."""
    from app.dead_letters.letters import Unclear

    with warehouse() as found:
        try:
            yield found
        except Unclear as error:
            raise SystemExit(str(error)) from None


@app.command("list")
def list_(
    *,
    model: ModelOption = "",
    reason: ReasonOption = "",
    topic: TopicOption = "",
    since: SinceOption = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, the newest.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Show dead letters, the newest first: place, time, reason, model, whether it was sent again, and what is wrong."""
    with _asking() as found:
        from app.dead_letters import letters as work
        from app.dead_letters import words

        after = work.since(since, datetime.now(UTC)) if since else None
        asked = work.where(model=model, reason=reason, topic=topic, after=after)
        letters, counts = work.letters(found, *asked, limit=limit), work.counts(found, *asked)
    if as_json:
        json.dump([words.as_json(letter) for letter in letters], sys.stdout)
        sys.stdout.write("\n")
        return
    for letter in letters:
        print(words.line(letter))
    reasons = ", ".join(f"{name} {n:,}" for name, n in counts.items())
    shown = f", the newest {len(letters):,} are shown" if sum(counts.values()) > len(letters) else ""
    print(f"{sum(counts.values()):,} dead letters{shown}: {reasons}" if counts else "no dead letters")


@app.command()
def show(
    place: PlaceArgument,
    raw: Annotated[bool, typer.Option("--raw", help="Write the original bytes, and nothing else.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a dead letter with key, headers and original bytes; exit 1 when there is none at the place."""
    with _asking() as found:
        from app.dead_letters import letters as work
        from app.dead_letters import words

        letter = work.find(found, work.place(place))
        fate = work.became(found, letter) if letter else ""
    if letter is None:
        print(f"no dead letter at {place}; driftline dead-letters list shows those there are", file=sys.stderr)
        raise typer.Exit(1)
    if raw:
        sys.stdout.buffer.write(letter.value)
    elif as_json:
        json.dump(words.as_json(letter, fate), sys.stdout)
        sys.stdout.write("\n")
    else:
        print(words.whole(letter, fate))


@app.command()
def replay(
    *,
    places: Annotated[list[str] | None, typer.Argument(help="e.g. predictions/0/17.", metavar="PLACE...")] = None,
    model: ModelOption = "",
    reason: ReasonOption = "",
    topic: TopicOption = "",
    since: SinceOption = "",
    everything: Annotated[bool, typer.Option("--all", help="All that were not sent again yet.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and send nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Send dead letters again that would be accepted today, each once; exit 1 when some would be dead again.

    Mend the cause first (apply the model's spec, say). Name letters by their PLACE, or by options. What was sent again
    is not offered again, and an event that was counted already is not counted twice: its id is the same.
    """
    with _asking() as found:
        from app.dead_letters import letters as work
        from app.dead_letters import words
        from app.dead_letters.replay import replay as send

        now = datetime.now(UTC)
        if bool(places) == (everything or any((model, reason, topic, since))):
            raise work.Unclear("name letters by PLACE, or by --reason, --model, --topic, --since, or say --all")
        if places:
            chosen = []
            for place in dict.fromkeys(places):
                letter = work.find(found, work.place(place))
                if letter is None:
                    raise work.Unclear(f"no dead letter at {place}; driftline dead-letters list shows those there are")
                chosen.append(letter)
        else:
            after = work.since(since, now) if since else None
            condition, parameters = work.where(model=model, reason=reason, topic=topic, after=after)
            condition += " AND replayed_at IS NULL"
            chosen = work.letters(found, condition, parameters, order="log_ts", limit=1_000_000)
        settings = wiring.load_settings()
        done = send(settings, found, chosen, now=lambda: to_ms(datetime.now(UTC)), dry_run=dry_run)
    if as_json:
        json.dump(words.replay_as_json(done), sys.stdout)
        sys.stdout.write("\n")
    else:
        print(words.told(done, dry_run=dry_run))
    raise typer.Exit(1 if done.refused else 0)
