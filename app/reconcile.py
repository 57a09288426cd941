"""``driftline reconcile``: count everything a second time, and say where the stored counts differ.

in = counted + late + duplicate + correction + misrouted per model and window, plus dead letters per topic and
partition. From the *topics* the whole count is repeated (:mod:`app.recount`): decoding, routing, lateness by
watermarks, duplicates, histograms. From the *rows* in ClickHouse, for when the topics' retention has passed, lateness
is taken from the row (it needs the log), misrouted events are left out (they have no row), and the rest is repeated.
Both read up to the positions of the newest checkpoint, and compare with ``partials``.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from rich.console import Console
from rich.table import Table

from app.recount import Event, Figures, Place, Recount, Row
from bus.generations import read_declared
from schemas.models import ModelRecord
from schemas.partials import Adoption
from schemas.settings import Settings
from schemas.windows import iso
from warehouse.client import Warehouse

Source = Literal["topics", "rows"]
Positions = dict[tuple[str, int], int]
"""(topic, partition) -> next offset that is not counted yet."""

_KAFKA_SECONDS = 30.0
_BATCH = 10_000


class CannotReconcile(Exception):
    """There is nothing to compare, or what should be read is gone; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One number that does not agree, and where it is."""

    namespace: str
    model: str
    window: str
    partition: int
    generation: int
    view: str
    version: str
    name: str
    figure: str
    expected: int
    got: int


@dataclass(slots=True)
class Reconciliation:
    """What was compared, and what differs.

    Attributes:
        totals: ``namespace/model`` -> {in, counted, late, duplicate, correction, misrouted}, of both topics, recounted.
        dead: ``topic/partition`` -> dead letters, recounted.
        compared: rows of ``partials`` that were recounted.
        left_out: ``namespace/model`` that has counts and is not declared (any more).
    """

    source: Source
    windows: int
    compared: int
    totals: dict[str, dict[str, int]]
    dead: dict[str, int]
    differences: list[Difference] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything agrees."""
        return not self.differences


def reconcile(
    settings: Settings, warehouse: Warehouse, *, source: Source, records: Sequence[ModelRecord] | None = None
) -> Reconciliation:
    """Count a second time and compare.

    Args:
        settings: where the topics are; used for ``topics``, and when ``records`` is None.
        warehouse: what is checked.
        source: what to count from.
        records: generations of all models; None: read them from the ``models`` topic.

    Raises:
        CannotReconcile: nothing was ever counted, or what would be counted from no longer holds all events.
        KafkaException: the brokers do not answer.
    """
    positions = _positions(warehouse)
    expired = _expired(warehouse)
    recount = Recount(read_models(settings) if records is None else records, settings.source_partitions)
    if source == "topics":
        _from_topics(settings, warehouse, recount, positions)
    elif expired:
        raise CannotReconcile(expired)
    else:
        _from_rows(warehouse, recount, positions)
    stored = _stored(warehouse)
    # What a model that was deleted has counted cannot be counted again: its spec is gone. It is said, and left out.
    known = {*_declared(recount), "/"}
    left_out = {model for place in stored if (model := f"{place.namespace}/{place.model}") not in known}
    stored = {place: f for place, f in stored.items() if f"{place.namespace}/{place.model}" in known}
    if source == "rows":
        # An event in the wrong partition has its row in the right one: only the log knows where it was before.
        stored = {place: figures for place, figures in stored.items() if not place.name.endswith(".misrouted")}
    found = Reconciliation(
        source=source,
        windows=len({place[:4] for place in recount.expected if place.namespace}),
        compared=len(recount.expected),
        totals=_totals(recount.expected),
        dead={f"{topic}/{partition}": len(offsets) for (topic, partition), offsets in sorted(recount.dead.items())},
        left_out=sorted(left_out),
    )
    found.differences += _compare(recount.expected, stored)
    if source == "topics" and not expired:
        found.differences += _missing_rows(warehouse, recount.rows, positions)
    return found


_POSITIONS = """
SELECT `partition`, predictions_offset, outcomes_offset FROM heads FINAL ORDER BY `partition`
"""

_STORED = """
SELECT namespace, model, generation, toUnixTimestamp64Milli(window_start), `partition`, view, version, name,
    n, nulls, counts
FROM partials FINAL
WHERE segment = ''
    AND (view IN ('score', 'prediction', 'feature') OR (view = 'tally' AND name != 'outcomes.late_label'))
"""

_ADOPTIONS = "SELECT `partition`, adoptions FROM checkpoints FINAL WHERE adoptions NOT IN ('', '[]') ORDER BY seq"

_PREDICTIONS = """
SELECT `offset`, toUnixTimestamp64Milli(log_ts), namespace, model, prediction_id,
    toUnixTimestamp64Milli(event_time), verdict, version, role, score, prediction, features
FROM predictions WHERE `partition` = {p:UInt16} AND `offset` >= {start:UInt64} AND `offset` < {end:UInt64}
ORDER BY `offset`, `row`
"""

_OUTCOMES = """
SELECT `offset`, toUnixTimestamp64Milli(log_ts), namespace, model, prediction_id,
    toUnixTimestamp64Milli(event_time), label, positive, value
FROM outcomes WHERE `partition` = {p:UInt16} AND `offset` >= {start:UInt64} AND `offset` < {end:UInt64}
ORDER BY `offset`, `row`
"""

_DEAD = """
SELECT `offset`, `row` FROM dead_letters FINAL
WHERE topic = {topic:String} AND `partition` = {p:UInt16} AND `offset` < {end:UInt64} ORDER BY `offset`, `row`
"""

_UNDECLARED = "SELECT topic, `partition`, `offset`, `row` FROM dead_letters FINAL WHERE reason = 'unknown_model'"

_DELETED = """
SELECT 'predictions', `partition`, `offset`, `row` FROM predictions
WHERE concat(namespace, '/', model) NOT IN {declared:Array(String)}
UNION ALL SELECT 'outcomes', `partition`, `offset`, `row` FROM outcomes
WHERE concat(namespace, '/', model) NOT IN {declared:Array(String)}
"""

_ROWS = """
SELECT topic, `partition`, `offset`, `row` FROM (
    SELECT 'predictions' AS topic, `partition`, `offset`, `row` FROM predictions
    UNION ALL SELECT 'outcomes', `partition`, `offset`, `row` FROM outcomes
    UNION ALL SELECT topic, `partition`, `offset`, `row` FROM dead_letters FINAL)
"""


_KEPT = """
SELECT dateDiff('day', (SELECT min(applied_at) FROM migrations), now()), min(days)
FROM (SELECT ttl_days AS days FROM raw_predictions UNION ALL SELECT ttl_days FROM raw_outcomes)
"""


def _expired(warehouse: Warehouse) -> str:
    """Why there may be fewer raw rows than were counted; empty when none can have expired yet."""
    ((age, kept),) = warehouse.rows(_KEPT)
    if not kept or age <= kept:
        return ""
    return (
        f"this installation is {age} days old, and raw rows are kept for {kept} (raw.ttl), so rows that were counted "
        "are gone. Count from the topics, as long as they hold all events, or keep raw rows for longer"
    )


def _declared(recount: Recount) -> list[str]:
    return [f"{namespace}/{model}" for namespace, model in sorted(recount.contracts)]


def _positions(warehouse: Warehouse) -> Positions:
    rows = warehouse.rows(_POSITIONS)
    if not rows:
        raise CannotReconcile("the table heads is empty: nothing was counted yet. Is `driftline run aggregate` up?")
    return {
        (topic, int(p)): int(offset)
        for p, predictions, outcomes in rows
        for topic, offset in (("predictions", predictions), ("outcomes", outcomes))
    }


def _stored(warehouse: Warehouse) -> dict[Place, Figures]:
    return {
        Place(*row[:8]): Figures(int(row[8]), int(row[9]), [int(count) for count in row[10]])
        for row in warehouse.rows(_STORED)
    }


def _compare(expected: Mapping[Place, Figures], stored: Mapping[Place, Figures]) -> list[Difference]:
    # Histograms of features and generations that are not recounted are not compared; a tally always is.
    recounted = {(p.namespace, p.model, p.generation, p.view, p.name) for p in expected}
    extra = {
        place
        for place in stored
        if place not in expected
        and (
            place.view == "tally"
            or (place.namespace, place.model, place.generation, place.view, place.name) in recounted
        )
    }
    nothing = Figures()
    differences: list[Difference] = []
    for place in sorted({*expected, *extra}, key=lambda p: (p[:2], p.window_start, p)):
        differences += _differences(place, expected.get(place, nothing), stored.get(place, nothing))
    return differences


def _differences(place: Place, expected: Figures, got: Figures) -> Iterable[Difference]:
    figures = [("n", expected.n, got.n), ("nulls", expected.nulls, got.nulls)]
    if place.view != "tally":
        bins = max(len(expected.counts), len(got.counts))
        padded = [[*counts, *[0] * (bins - len(counts))] for counts in (expected.counts, got.counts)]
        figures += [(f"counts[{i}]", e, g) for i, (e, g) in enumerate(zip(*padded, strict=True))]
    window = iso(place.window_start) if place.namespace else "none"
    return [
        Difference(
            place.namespace, place.model, window, place.partition, place.generation, place.view, place.version,
            place.name, figure, e, g,
        )
        for figure, e, g in figures
        if e != g
    ]  # fmt: skip


def _totals(expected: Mapping[Place, Figures]) -> dict[str, dict[str, int]]:
    totals: dict[str, dict[str, int]] = {}
    for place, figures in expected.items():
        if place.view == "tally" and place.namespace:
            row = totals.setdefault(f"{place.namespace}/{place.model}", dict.fromkeys(("in", *_VERDICTS), 0))
            verdict = place.name.split(".")[1]
            if verdict in row:  # served is a part of counted
                row["in"] += figures.n
                row[verdict] += figures.n
    return dict(sorted(totals.items()))


_VERDICTS = ("counted", "late", "duplicate", "correction", "misrouted")


def _missing_rows(
    warehouse: Warehouse, events: Mapping[tuple[str, int], set[Row]], positions: Positions
) -> list[Difference]:
    """Raw rows and dead letters per topic and partition against the events in the log, by place."""
    stored: dict[tuple[str, int], set[Row]] = {}
    for topic, partition, offset, row in warehouse.rows(_ROWS):
        if offset < positions.get((topic, partition), 0):
            stored.setdefault((topic, partition), set()).add(Row(offset, row))
    found = []
    for topic, partition in sorted({*events, *stored}):
        expected, got = events.get((topic, partition), set()), stored.get((topic, partition), set())
        if expected != got:
            first = min(expected ^ got)
            figure = f"n, first at offset {first.offset}{f', row {first.row}' if first.row else ''}"
            found.append(Difference("", "", "none", partition, 0, "rows", "", topic, figure, len(expected), len(got)))
    return found


def _from_rows(warehouse: Warehouse, recount: Recount, positions: Positions) -> None:
    for (topic, p), end in sorted(positions.items()):
        for start in range(0, end, _BATCH * 10):
            scope = {"p": p, "start": start, "end": min(end, start + _BATCH * 10)}
            for row in warehouse.rows(_PREDICTIONS if topic == "predictions" else _OUTCOMES, scope):
                _, log_ts, namespace, model, prediction_id, event_time = row[:6]
                if (namespace, model) not in recount.contracts:
                    continue
                event = Event(topic.removesuffix("s"), namespace, model, event_time, prediction_id)
                late = False
                if topic == "predictions":
                    verdict, event.version, role, event.score, event.prediction, features = row[6:]
                    late, event.shadow, event.features = verdict == "late", role == "shadow", json.loads(features)
                else:
                    label, positive, value = row[6:]
                    event.label = bool(positive) if positive is not None else label if value is None else value
                recount.count(event, recount.contract(namespace, model, event_time), p, log_ts, late=late)
        for offset, row in warehouse.rows(_DEAD, {"topic": topic, "p": p, "end": end}):
            recount.bury(topic, p, Row(offset, row))


def _from_topics(settings: Settings, warehouse: Warehouse, recount: Recount, positions: Positions) -> None:
    adoptions: dict[int, list[Adoption]] = {}
    for p, found in warehouse.rows(_ADOPTIONS):
        ours = [a for a in msgspec.json.decode(found, type=list[Adoption]) if a.topic == "predictions"]
        adoptions.setdefault(int(p), []).extend(ours)
    # Which models were known is not in the log of events: a model may be declared after its first events, or deleted.
    undeclared = set(warehouse.rows(_UNDECLARED))
    deleted = set(warehouse.rows(_DELETED, {"declared": _declared(recount)}))
    for (topic, p), end in sorted(positions.items()):
        waiting = sorted(adoptions.get(p, []), key=lambda a: a.position) if topic == "predictions" else []
        for offset, log_ts, value, headers in _log(settings, settings.topic(topic), p, end):  # type: ignore[arg-type]
            while waiting and waiting[0].position <= offset:
                adoption = waiting.pop(0)
                recount.adopt(adoption.namespace, adoption.model, p, adoption.watermark)
            for row, body, promised in recount.events((topic, p), offset, value, headers):
                if (topic, p, *row) in undeclared:
                    recount.dead_record((topic, p), row)
                elif (topic, p, *row) in deleted:
                    recount.rows.setdefault((topic, p), set()).add(row)
                else:
                    recount.record((topic, p), row, log_ts, value=body, headers=promised)


def _log(settings: Settings, topic: str, partition: int, end: int) -> Iterable[tuple[int, int, bytes | None, Any]]:
    """Records of a partition below ``end`` as (offset, broker's timestamp, value, headers), from its beginning.

    Raises:
        CannotReconcile: the partition no longer starts at offset 0, or ends too early.
    """
    options = {"enable.partition.eof": True, "allow.auto.create.topics": False}
    consumer = Consumer(settings.consumer(settings.group("reconcile"), **options))
    try:
        first, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), _KAFKA_SECONDS, cached=False)
        if (first > 0 or high < end) and end > 0:
            raise CannotReconcile(
                f"{topic}[{partition}] holds offsets {first} to {high}, but 0 to {end} were counted: the broker has "
                "deleted the rest (retention). Use --source rows."
            )
        consumer.assign([TopicPartition(topic, partition, 0)])
        next_ = 0
        while next_ < end:
            for message in consumer.consume(_BATCH, 1.0):
                error, offset = message.error(), message.offset()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                if offset is None or offset >= end or error is not None:
                    next_ = max(next_, offset or 0)
                    continue
                yield offset, message.timestamp()[1], message.value(), message.headers()
                next_ = offset + 1
    finally:
        consumer.close()


def read_models(settings: Settings) -> list[ModelRecord]:
    """Every generation of every model, from the ``models`` topic.

    Raises:
        CannotReconcile: the topic is empty.
        KafkaException: the brokers do not answer.
    """
    declared = read_declared(settings)
    found = [record for key in declared.models() for record in declared.generations(*key.split("/", 1))]
    if not found:
        raise CannotReconcile(f"topic {settings.topic('models')} declares no model: there is nothing to count by")
    return found


def show(found: Reconciliation, console: Console, *, limit: int = 20) -> None:
    """Print totals, and the first ``limit`` differences."""
    table = Table(title=f"recounted from the {found.source}: {found.windows:,} windows, {found.compared:,} partials")
    for name in ("model", "in", *_VERDICTS):
        table.add_column(name, justify="left" if name == "model" else "right")
    for model, row in found.totals.items():
        table.add_row(model, *(f"{row[name]:,}" for name in ("in", *_VERDICTS)))
    for place, dead in found.dead.items():
        table.add_row(f"dead letters {place}", f"{dead:,}", "", "", "")
    console.print(table)
    if found.left_out:
        console.print(f"left out, since no spec says how to count it: {', '.join(found.left_out)} (not declared)")
    if found.ok:
        console.print("everything agrees: in = counted + late + duplicate + correction + misrouted + dead")
        return
    table = Table(title=f"{len(found.differences):,} numbers differ")
    columns = ("namespace", "model", "window", "partition", "view", "version", "name", "figure", "expected", "got")
    for name in columns:
        table.add_column(name, justify="right" if name in ("partition", "expected", "got") else "left")
    for difference in found.differences[:limit]:
        table.add_row(*(str(getattr(difference, name)) for name in columns))
    console.print(table)
    if len(found.differences) > limit:
        console.print(f"and {len(found.differences) - limit:,} more (--json prints all)")


def command(settings: Settings, warehouse: Warehouse, *, source: Source = "topics", as_json: bool = False) -> int:
    """Reconcile and print; exit code 0 when everything agrees, 1 when not, 2 when nothing can be compared."""
    try:
        found = reconcile(settings, warehouse, source=source)
    except (CannotReconcile, KafkaException) as error:
        Console(stderr=True, highlight=False).print(f"cannot reconcile: {error}", markup=False)
        return 2
    if as_json:
        print(json.dumps(asdict(found) | {"ok": found.ok}, indent=2))
    else:
        show(found, Console(highlight=False, markup=False, emoji=False))
    return 0 if found.ok else 1
