"""``driftline replay``: from a table and a document to the answer."""

import json
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from app import wiring
from app.commands.common import PATIENCE, plainly
from app.documents import model_of
from app.replay import follow, plan, result, sender, shared, show
from app.replay.shared import Installation
from app.stack import Stack, fresh
from app.table import Predictions, read
from schemas.ids import canonical_json, sha256_hex
from schemas.spec import Model

ROLES = ("aggregate", "monitor")

# Nobody else's events are here: silence means nothing, and dead letters are an answer too.
_ALONE = {"DRIFTLINE_IDLE_AFTER_SECONDS": "86400", "DRIFTLINE_DEAD_LETTER_RATIO": "1"}


class NotAccountedFor(SystemExit):
    """Events that were sent are missing among the counted, or the other way round."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked for.

    Attributes:
        table: Parquet or CSV file of predictions.
        model: the owner's document.
        reference: rows that were normal; None: the table's first.
        columns: our name -> the table's.
        timezone: of times that have none.
        report: HTML file to write.
        root: folder for the data, kept; None: a temporary one.
        cache: downloads.
        shared: on the installation that the environment names, instead of one of its own.
    """

    table: Path
    model: Path
    reference: Path | None
    columns: dict[str, str]
    timezone: str | None
    report: Path | None
    root: Path | None
    cache: Path
    shared: bool


def run_replay(job: Job, *, as_json: bool) -> None:
    """Replay a table and tell what came of it.

    Raises:
        SystemExit: there is no answer; the text says why and what to do.
    """
    console = Console(stderr=as_json, markup=False, emoji=False)
    document = model_of(job.model)
    table = read(job.table, document.spec, job.columns, timezone=job.timezone)
    own = None
    if job.reference is not None:
        own = read(job.reference, document.spec, job.columns, timezone=job.timezone)
    for note in table.notes:
        console.print(f"note: {note}", highlight=False)
    with ThreadPoolExecutor(1) as pool, _bar(console) as bar:
        planning = pool.submit(plan.plan, document, table, own, path=job.table)
        starting = bar.add_task("starting", total=None)
        with _installation(job, console) as there:
            bar.remove_task(starting)
            planned = planning.result()
            with plainly(there.settings):
                if job.shared:
                    planned = shared.free(planned, _content(job, document), there)
                found = replay(planned, table, there, bar)
    if job.report is not None:
        from app.replay.report import render  # matplotlib takes a second to import

        job.report.parent.mkdir(parents=True, exist_ok=True)
        job.report.write_text(render(found, job.table.name), encoding="utf-8")
        console.print(f"report: {job.report}", highlight=False)
    if as_json:
        json.dump(result.as_json(found, job.table.name), sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        show.show(found, console)
    if not found.counts.adds_up:
        raise NotAccountedFor(f"this must not be: {show.identity(found.counts)}; see the logs of the roles")


def replay(planned: plan.Plan, table: Predictions, there: Installation, bar: Progress) -> result.Result:
    """Publish, send, wait and read back; what was replayed to its end before is only read.

    Raises:
        SystemExit: Kafka did not take the events, or a stage does not go on.
    """
    names, end = (planned.namespace, planned.model), planned.end
    events_in = len(table) + len(planned.labels.row)
    grid = planned.spec.grid()
    sending = bar.add_task("records sent", total=events_in)
    deciding = bar.add_task("windows decided", total=(end - grid.start(int(table.event_time[0]))) // grid.width)
    follower = follow.Follower(
        there.warehouse, *names, check=there.check, told=lambda windows: bar.advance(deciding, windows)
    )
    if follower.reported() < end:
        for record in planned.records:
            wiring.publish_model(there.settings, record)
        with sender.Sender(there.settings, *names, told=lambda records: bar.advance(sending, records)) as sends:
            sends.table(table, planned.labels, planned.spec, follower.counted)
            sends.promise(end)
        follower.decided(end)
    return result.read(there.warehouse, planned, events_in)


def _content(job: Job, document: Model) -> str:
    """A hash of all that the answer depends on."""
    told = [document.model_dump(mode="json"), sorted(job.columns.items()), job.timezone]
    files = [job.table, *([job.reference] if job.reference else [])]
    return sha256_hex(canonical_json([told, [sha256_hex(file.read_bytes()) for file in files]]))


@contextmanager
def _installation(job: Job, console: Console) -> Iterator[Installation]:
    if job.shared:
        settings = wiring.load_settings()
        yield Installation(settings, wiring.open_warehouse(settings, patience=PATIENCE), lambda: None)
        return
    with tempfile.TemporaryDirectory(prefix="driftline-replay-", ignore_cleanup_errors=True) as temporary:
        root = job.root or Path(temporary) / "stack"
        fresh(root)
        with Stack(root, cache=job.cache, options=_ALONE, say=console.print) as stack:
            stack.start_roles(ROLES)

            def check() -> None:
                if (role := stack.supervisor.failed) is not None:
                    raise SystemExit(f"{role} dies again and again; its log ends:\n{stack.supervisor.log_tail(role)}")

            yield Installation(stack.settings, stack.warehouse, check)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<16}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
