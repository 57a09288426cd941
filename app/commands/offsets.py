"""``driftline offsets``: show, restore."""

import json
import sys
import time
from typing import Any

import typer

from app import wiring
from app.commands.common import JsonOption, plainly, warehouse

app = typer.Typer(
    help="Whether offsets, tables and topics of stage 1 belong together; and let it go on when they did not.",
    no_args_is_help=True,
)


@app.command()
def show(as_json: JsonOption = False) -> None:
    """Show where every source partition is, by Kafka and by ClickHouse; exit 1 when something does not fit.

    Such things are: offsets that expired or were reset, events that were deleted before they were counted, a topic
    that was deleted and made again, another number of partitions. An aggregator refuses to start on each of them.
    """
    from app.offsets import places, words

    with warehouse() as found:
        facts = places.read(wiring.load_settings(), found)
    if as_json:
        json.dump(words.as_json(facts), sys.stdout)
        sys.stdout.write("\n")
    else:
        print(words.table(facts))
    raise typer.Exit(1 if facts.problems else 0)


@app.command()
def restore(
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would be done, and change nothing."),
    accept_partitions: bool = typer.Option(
        False, "--accept-partitions", help="Go on with another number of partitions; show says what that costs."
    ),
    as_json: JsonOption = False,
) -> None:
    """Let stage 1 go on; stop all aggregators first. Nothing that was counted is counted again.

    Offsets that are gone are committed again from the tables. Events that Kafka has deleted are passed over. A topic
    that was made again is filled up to the offsets that were reached, and what is in it is sent again behind them.
    """
    from app.offsets.restore import CannotRestore
    from app.offsets.restore import restore as work

    def say(text: str) -> None:
        print(text, file=sys.stderr)

    with warehouse() as found:
        settings = wiring.load_settings()
        try:
            with plainly(settings):
                done = work(
                    settings,
                    found,
                    now=lambda: int(time.time() * 1000),
                    say=say,
                    dry_run=dry_run,
                    accept_partitions=accept_partitions,
                )
        except CannotRestore as error:
            raise SystemExit(str(error)) from None
    result: dict[str, Any] = {"dry_run": dry_run, "done": done}
    print(json.dumps(result) if as_json else "\n".join(done) or "nothing to restore")
