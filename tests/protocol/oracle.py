"""What must be so when all is quiet: counted from the logs alone, one record after the other."""

from collections import defaultdict
from typing import Any

from .stage2 import REVISED, Detector, Report
from .state import SIDE_NAMES, Checkpoint, Count, Key
from .world import (
    END,
    HORIZON,
    LABEL_HORIZON,
    LATENESS,
    MATURITY,
    MODELS,
    NEVER,
    PARTITIONS,
    WIDTH,
    Record,
    Violation,
    World,
)


def check(world: World) -> None:
    """Compare everything that anybody can read with what the logs say, but for revisions.

    Raises:
        Violation: something differs.
    """
    counts, verdicts, found, tested = _count(world)
    _equal("counts", counts, found)
    _equal("verdicts", verdicts, dict(row for _, row in world.raw.values() if row[0] in verdicts))
    _equal("dead letters", {r for side in world.logs for log in side for r in log if r.dead}, world.dead_letters)
    homes = {(r.side, r.model, r.id, r.time) for r in verdicts}
    for record in (r for side in world.logs for log in side for r in log if not r.dead and r.home != r.partition):
        if (record.side, record.model, record.id, record.time) not in homes:
            raise Violation("misrouted", f"{record} was never sent on")
    for model in MODELS:
        _decisions(model, world, counts, tested)


def check_revised(world: World) -> None:
    """Compare the revisions of windows, once a tick has come after all that changed them.

    Raises:
        Violation: something differs.
    """
    counts, _, _, tested = _count(world)
    for model in MODELS:
        _revised(model, world, counts, tested)


Counts = dict[Key, Count]


def _count(world: World) -> tuple[Counts, dict[Record, str], Counts, Counts]:
    """By the logs: counts and verdicts; by the tables: counts, matured and overdue taken together; and the matured."""
    counts: Counts = {}
    verdicts: dict[Record, str] = {}
    for p in range(PARTITIONS):
        _partition(p, world, _chain(world, p), counts, verdicts)
    found: Counts = {}
    for (_, (model, kind, window)), (_, count) in world.partials.items():
        _add(found, (model, kind, window), count)
    tested = {key: count for key, count in found.items() if key[1] == "matured"}
    for (model, kind, window), count in list(found.items()):
        if kind in ("matured", "overdue"):
            _add(found, (model, "joined", window), count)
            del found[model, kind, window]
    return counts, verdicts, found, tested


def _chain(world: World, partition: int) -> list[Checkpoint]:
    chain = sorted((c for _, c in world.checkpoints.values() if c.partition == partition), key=lambda c: c.seq)
    if [c.seq for c in chain] != list(range(1, len(chain) + 1)):
        raise Violation("fork", f"partition {partition}: {[(c.seq, c.owner) for c in chain]}")
    return chain


def _partition(p: int, world: World, chain: list[Checkpoint], counts: Counts, verdicts: dict[Record, str]) -> None:
    first: list[dict[tuple[str, int], Record]] = [{}, {}]
    adopted = [adoption for checkpoint in chain for adoption in checkpoint.adoptions]
    for side, name in enumerate(SIDE_NAMES):
        marks: dict[str, int] = defaultdict(lambda: NEVER)
        seen: dict[tuple[str, int], int] = {}
        for record in world.logs[side][p]:
            model, window, identity = record.model, record.window, (record.model, record.id)
            if record.dead:
                _add(counts, ("", f"{name}.dead", 0), (1, 0))
                continue
            if record.home != p:
                _add(counts, (model, f"{name}.misrouted", window), (1, 0))
                continue
            for who, _, _, top in (a for a in adopted if a[1] == side and a[2] <= record.offset):
                marks[who] = max(marks[who], top)
            late = side == 0 and window + WIDTH <= marks[model]
            recent = seen.get(identity, NEVER) >= record.ts - HORIZON
            verdicts[record] = "duplicate" if recent else "late" if late else "counted"
            _add(counts, (model, f"{name}.{verdicts[record]}", window), (1, record.value))
            seen[identity] = record.ts
            first[side].setdefault(identity, record)
            marks[model] = max(marks[model], record.time - LATENESS)
    for identity, prediction in first[0].items():
        if (outcome := first[1].get(identity)) is not None:
            if abs(outcome.time - prediction.time) > LABEL_HORIZON:
                _add(counts, (identity[0], "late_label", prediction.window), (1, 0))
            else:
                right = int((prediction.value > 4) == bool(outcome.value))
                _add(counts, (identity[0], "joined", prediction.window), (1, right))


def _decisions(model: str, world: World, counts: Counts, tested: Counts) -> None:
    reports: list[Report] = [report for (m, _), (_, report) in sorted(world.reports.items()) if m == model]
    counted = {window: n for (m, kind, window), n in counts.items() if (m, kind) == (model, "predictions.counted")}
    first = min(counted)
    due = range(first, (END - LATENESS - MATURITY) // WIDTH * WIDTH, WIDTH)
    if missing := set(due) - {report.window for report in reports}:
        raise Violation("open", f"windows of {model} that were never closed: {sorted(missing)}")
    if min(report.window for report in reports) != first:
        raise Violation("first", f"{model} begins with {first}, the reports with {reports[0].window}")
    detector, alerts, requests = Detector(), set(), set()
    for report in reports:
        _equal(f"closed {model}/{report.window}", counted.get(report.window, (0, 0)), report.counted)
        if report.window - MATURITY >= first:
            key = (model, "matured", report.window - MATURITY)
            _equal(f"tested {key}", tested.get(key, (0, 0)), report.tested)
        detector, alert, request = detector.step(*report.counted)
        _equal(f"detector {model}/{report.window}", detector, report.detector)
        alerts |= {f"{model}/{report.window}"} if alert else set()
        requests |= {f"{model}/{report.window}"} if request else set()
    _equal("alerts", alerts, {name for name in world.alerts if name.startswith(model)})
    _equal("requests", requests, {name for name in world.requests if name.startswith(model)})


def _revised(model: str, world: World, counts: Counts, tested: Counts) -> None:
    for (m, window), (_, (_, content)) in world.revised.items():
        if m == model and window < END:
            wanted = {kind: counts.get((model, kind, window), (0, 0)) for kind in REVISED}
            joined = counts.get((model, "joined", window), (0, 0))
            matured = tested.get((model, "matured", window), (0, 0))
            wanted["matured"], wanted["overdue"] = matured, (joined[0] - matured[0], joined[1] - matured[1])
            _equal(f"revised {model}/{window}", wanted, content)


def _add(counts: Counts, key: Key, count: Count) -> None:
    n, total = counts.get(key, (0, 0))
    counts[key] = n + count[0], total + count[1]


def _equal(what: str, wanted: Any, found: Any) -> None:
    if wanted == found:
        return
    if isinstance(wanted, dict):
        keys = [key for key in {**wanted, **found} if wanted.get(key) != found.get(key)]
        raise Violation(what, [(key, "expected", wanted.get(key), "found", found.get(key)) for key in keys[:3]])
    raise Violation(what, "expected", wanted, "found", found)
