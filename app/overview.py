"""``driftline status``: every model in a line, what is wrong, and how far behind the log we are; on one screen."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from app import incidents
from app.collecting import Progress, audited
from app.incidents import Entry
from app.status import ModelStatus, models
from schemas.partials import model_key
from schemas.windows import NEVER
from warehouse.client import Warehouse

Lag = Mapping[tuple[str, int], int]
"""(topic, partition) -> records that are not counted yet."""

_NEWEST = """
SELECT namespace, model, argMax(JSONExtractInt(body, 'counted'), at), argMax(JSONExtractRaw(state, 'tested'), at)
FROM reports GROUP BY namespace, model
"""

_SEVERITIES = {"critical": "crit", "warning": "warn"}
_VERDICTS = {"no reference": "no reference", "insufficient": "few labels"}


@dataclass(frozen=True, slots=True)
class Line:
    """One model on the screen.

    Attributes:
        counted: predictions of the last decided window that are in time, first of their id, and not a shadow's.
        tested: the newest ``schemas.lifecycle.PerformanceWindow`` of whoever served; empty before the first.
        open: incidents that are not resolved.
        collecting: how far a model is whose first rows become its reference; None for the others.
    """

    status: ModelStatus
    counted: int
    tested: dict[str, Any]
    open: list[Entry]
    collecting: Progress | None = None

    @property
    def key(self) -> tuple[str, str]:
        """(namespace, model)."""
        return self.status.namespace, self.status.model

    @property
    def serving(self) -> str:
        """Who serves by the roll-out or, of a model that is trained elsewhere, who answered."""
        return self.status.serving or str(self.tested.get("version", "")) or "-"

    @property
    def labels(self) -> str:
        """Share of the newest tested window's predictions that have a label."""
        return f"{self.tested['coverage']:.0%}" if self.tested else "-"

    @property
    def performance(self) -> str:
        """The newest tested loss, and what the band says of it."""
        if not self.tested or not self.tested["n"]:
            return "no labels"
        verdict, loss, high = self.tested["verdict"], self.tested["loss"], self.tested["high"]
        if verdict in _VERDICTS or loss is None:
            return _VERDICTS.get(verdict, "few labels")
        word = "usual" if verdict == "inside" else "worse" if high is not None and loss > high else "better"
        # An error in the label's unit may be of any size; the column has room for five digits.
        shown = f"{loss:.3f}" if loss < 10 else f"{loss:.5g}" if loss < 99_999.5 else f"{loss:.0e}"
        return f"{shown} {word}"

    @property
    def alarms(self) -> str:
        """Open incidents by severity."""
        counts = Counter(entry.severity for entry in self.open)
        return " ".join(f"{counts[name]} {word}" for name, word in _SEVERITIES.items() if counts[name]) or "-"

    @property
    def waiting(self) -> str:
        """Why decisions are behind the last window; empty when they are not."""
        status = self.status
        if status.reported_through in (NEVER, status.decided_through):
            return ""
        stage = status.late_stage(status.reported_through)
        return f"decided through {_instant(status.decided_through)}, waiting for the {stage}"

    @property
    def misrouted(self) -> str:
        """That a producer of the last window partitions otherwise than driftline; empty when none does."""
        last = self.status.last_window
        n = sum(events for name, events in last.items() if name.endswith(".misrouted"))
        return f"{n:,} events of the last window came in the wrong partition (docs/quickstart.md, keys)" if n else ""


def lines(warehouse: Warehouse) -> list[Line]:
    """Every model that stage 1 has seen, with its open incidents."""
    progress = audited(warehouse)
    newest = {model_key(row[0], row[1]): (int(row[2]), json.loads(row[3] or "{}")) for row in warehouse.rows(_NEWEST)}
    still_open = incidents.entries(warehouse, limit=10_000)
    found = []
    for status in models(warehouse):
        key = model_key(status.namespace, status.model)
        counted, tested = newest.get(key, (0, {}))
        mine = [entry for entry in still_open if (entry.namespace, entry.model) == (status.namespace, status.model)]
        found.append(Line(status, counted, tested or {}, mine, progress.get(key)))
    return found


def others(warehouse: Warehouse, found: list[Line]) -> list[Entry]:
    """Open incidents of what has no line: of the whole installation, or of a model that nothing is counted of."""
    known = {line.key for line in found}
    return [
        entry for entry in incidents.entries(warehouse, limit=10_000) if (entry.namespace, entry.model) not in known
    ]


def show(found: list[Line], lag: Lag, console: Console, now: int, beside: Sequence[Entry] = ()) -> None:
    """Print a line per model, what keeps decisions waiting, open incidents, and the lag if there is any."""
    entries = [*beside, *(entry for line in found for entry in line.open)]
    if not found and not entries:
        console.print("no model has been counted yet; is this the database that the service's events go to?")
        return
    if found:
        _show_models(found, console)
    for entry in sorted(entries, key=lambda e: (e.severity != "critical", -e.opened)):
        console.print()
        console.print(incidents.line(entry, now), markup=False, soft_wrap=True)
    if behind := _behind(lag):
        console.print()
        console.print(behind, markup=False)


def _show_models(found: list[Line], console: Console) -> None:
    names = [model_key(*line.key) for line in found]
    width = max(len("MODEL"), min(max(map(len, names)), console.width - _BESIDE))
    head = _row("MODEL".ljust(width), "SERVES", "ENDED (UTC)", "ROWS", "LABELS", "LOSS", "OPEN")
    console.print(head, style="bold", markup=False)
    for name, line in zip(names, found, strict=True):
        shown = name if len(name) <= width else f"{name[: width - 1]}…"
        ended = _instant(line.status.reported_through).partition("-")[2].rstrip("Z") or "-"
        counted, answered = _rows(line.counted), incidents.printable(line.serving)
        row = _row(shown.ljust(width), answered, ended, counted, line.labels, line.performance, line.alarms)
        console.print(row, markup=False, soft_wrap=True)
    for line in found:
        if line.waiting:
            console.print(f"{model_key(*line.key)}: {line.waiting}", markup=False)
        if line.collecting:
            console.print(f"{model_key(*line.key)}: reference {line.collecting}", markup=False)
        if line.misrouted:
            console.print(f"{model_key(*line.key)}: {line.misrouted}", markup=False, soft_wrap=True)


def show_model(line: Line, lag: Lag, console: Console, now: int) -> None:
    """Print all about one model."""
    status = line.status
    rows = [
        ("serving", f"{line.serving} ({status.phase})"),
        ("shadows", ", ".join(status.shadows) or "none"),
        ("aggregated through", _instant(status.aggregated_through)),
        ("last window ended", _instant(status.reported_through)),
        ("decided through", _instant(status.decided_through)),
        ("rows of the last window", f"{line.counted:,}"),
        *((f"  {name}", f"{events:,}") for name, events in sorted(status.last_window.items())),
        *_tested(line.tested),
        *([("reference", str(line.collecting))] if line.collecting else []),
        *(("not judged", gap) for gap in status.not_judged),
        *([("false pages", f"{status.claim}; budget {status.pages:.3g} a month")] if status.claim else []),
        *((f"  {_whose(stream)}", _stands(stream)) for stream in status.streams),
        ("retrainings asked for", f"{status.requests}, answered {status.candidates}"),
        *((f"lag of {topic}", f"{records:,} records") for topic, records in _by_topic(lag).items()),
        ("open incidents", line.alarms if line.open else "none"),
    ]
    table = Table(title=model_key(*line.key), title_justify="left", show_header=False, box=None, pad_edge=False)
    for name, value in rows:
        table.add_row(name, incidents.printable(value))
    console.print(table)
    for entry in line.open:
        console.print()
        console.print(incidents.line(entry, now), markup=False, soft_wrap=True)


def _whose(stream: dict[str, Any]) -> str:
    """A watched quantity, and of which rows it is if not of all; reports of an older driftline say neither."""
    if stream.get("beside"):
        return f"{stream['stream']} of version {stream['version']}"
    return f"{stream['stream']} [{stream['segment']}]" if stream.get("segment") else str(stream["stream"])


def _stands(stream: dict[str, Any]) -> str:
    """Where a watched quantity stands, in half a line."""
    if stream["threshold"] is None:
        return f"never pages: {stream['reason']}"
    evidence = f"evidence {stream['evidence']:,.3g} of {stream['threshold']:,.3g}"
    latched = ", has paged and is latched" if stream["latched"] else ""
    return f"{evidence}{latched}{': ' + stream['reason'] if stream['reason'] else ''}"


def as_json(found: list[Line], lag: Lag, beside: Sequence[Entry] = ()) -> dict[str, Any]:
    """The same for a machine: times in ms since the epoch, null for never."""
    return {
        "models": [
            {name: None if value == NEVER else value for name, value in asdict(line.status).items()}
            | {"counted": line.counted, "tested": line.tested or None}
            | {"collecting": line.collecting and asdict(line.collecting)}
            | {"open": [incidents.listed(entry) for entry in line.open]}
            for line in found
        ],
        "open_beside": [incidents.listed(entry) for entry in beside],
        "lag": [{"topic": topic, "partition": part, "records": records} for (topic, part), records in lag.items()],
    }


_BESIDE = 62
"""Columns that everything but the model's name may take."""


def _row(model: str, serves: str, ended: str, *numbers: str) -> str:
    rows, labels, loss, alarms = numbers
    return f"{model}  {serves:<6.6} {ended:<11} {rows:>6} {labels:>6}  {loss:<12.12} {alarms}".rstrip()


def _tested(tested: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    if not tested:
        yield "tested", "no window yet: none is old enough for its labels"
        return
    yield "newest tested window", f"from {_instant(tested['window_start'])}, version {tested['version']}"
    yield "  labels", f"{tested['n']:,} of {tested['predictions']:,} ({tested['coverage']:.0%})"
    for name, value in tested["metrics"].items():
        if value is not None:
            yield f"  {name}", f"{value:.4f}"
    if tested.get("low") is not None:
        yield f"  usual band of {tested['metric']}", f"{tested['low']:.4f} to {tested['high']:.4f}: {tested['verdict']}"


def _by_topic(lag: Lag) -> dict[str, int]:
    topics = sorted({topic for topic, _ in lag})
    return {topic: sum(records for (name, _), records in lag.items() if name == topic) for topic in topics}


def _behind(lag: Lag) -> str:
    topics = {topic: records for topic, records in _by_topic(lag).items() if records}
    if not topics:
        return ""
    shown = ", ".join(f"{records:,} of {topic}" for topic, records in topics.items())
    return f"{sum(topics.values()):,} records are not counted yet: {shown}"


def _rows(n: int) -> str:
    """At most six characters."""
    return f"{n:,}" if n < 100_000 else f"{n / 1e6:.2f}M" if n < 1e8 else f"{n / 1e6:.0f}M"


def _instant(ms: int) -> str:
    return "-" if ms == NEVER else incidents.minute(ms)
