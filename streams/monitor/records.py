"""What the monitor reads from ClickHouse on first touch, and the rows of a tick."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from schemas.ids import canonical_json
from schemas.lifecycle import Report
from schemas.partials import PartialMessage, SketchRow, Watermarks, model_key
from schemas.tables import AUDIT, INCIDENTS, METRICS, REPORTS
from schemas.windows import NEVER
from streams import incidents
from streams.monitor import state as states
from streams.monitor.core import ModelMonitor, Tick
from streams.monitor.generations import Generations
from streams.monitor.held import Held, Mark, Row
from streams.monitor.state import State
from warehouse.client import Warehouse

_WATERMARKS = msgspec.json.Decoder(dict[str, Watermarks])
_SKETCHES = (
    "SELECT `partition`, seq, generation, view, version, segment, toUnixTimestamp64Milli(window_start) AS start, name, "
    "n, nulls, outside, sums, minimum, maximum, counts FROM partials FINAL WHERE "
)
# The head is also among the checkpoints, unless nothing has happened for so long that those have expired.
_CHECKPOINTS = """
SELECT DISTINCT seq, predictions_offset, outcomes_offset, watermarks
FROM (SELECT * EXCEPT written_at FROM checkpoints FINAL UNION ALL SELECT * FROM heads FINAL)
WHERE `partition` = {partition:UInt16} AND seq >= {seq:UInt64} ORDER BY seq
"""
_FIRST = -2_208_988_800_000
"""1900-01-01, the first instant that ClickHouse can tell."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A model's monitor as the rows have it, and its last report, whose messages may not have been sent."""

    monitor: ModelMonitor
    last: Report | None


class Records:
    """The monitor's rows of one installation with ``partitions`` source partitions."""

    def __init__(self, warehouse: Warehouse, partitions: int) -> None:
        self._warehouse = warehouse
        self.partitions = partitions

    def rebuild(self, namespace: str, model: str, generations: Generations) -> Rebuilt:
        """Hold again all that the next tick can need.

        The checkpoints are read before the partials, so that no watermark is held without the content it vouches for.
        """
        report, state = self._last(namespace, model)
        held = Held(self.partitions)
        for partition, mark in self._checkpoints(model_key(namespace, model), state):
            held.mark(partition, mark)
        closed = state.at if state else NEVER
        floor = generations.floor(report.window_start) if report else NEVER
        held.put(self._partials(namespace, model, floor, closed))
        held.floor = floor
        return Rebuilt(ModelMonitor(namespace, model, held, state), report)

    def window(self, namespace: str, model: str, start: int) -> list[Row]:
        """Every sketch of a window that still changes after it has closed."""
        return self._sketches(
            "namespace = {namespace:String} AND model = {model:String} AND view NOT IN ('feature', 'latency') "
            "AND window_start = fromUnixTimestamp64Milli({start:Int64}, 'UTC')",
            {"namespace": namespace, "model": model, "start": start},
        )

    def touched(self, message: PartialMessage, before: int) -> set[int]:
        """Windows that start ``before`` an instant, in ms, and that a checkpoint, or one after it, has changed."""
        rows = self._warehouse.rows(
            "SELECT DISTINCT toUnixTimestamp64Milli(window_start) FROM partials FINAL "
            "WHERE namespace = {namespace:String} AND model = {model:String} AND `partition` = {partition:UInt16} "
            "AND seq >= {seq:UInt64} AND window_start < fromUnixTimestamp64Milli({before:Int64}, 'UTC')",
            {
                "namespace": message.namespace,
                "model": message.model,
                "partition": message.partition,
                "seq": message.seq,
                "before": max(before, _FIRST),
            },
        )
        return {start for (start,) in rows}

    def write(self, ticks: Sequence[Tick]) -> None:
        """Insert ticks of different models: all that they found, then the reports, which make them so.

        A report is the outbox of its tick's messages. An insert that fails half-way leaves whole rows, and so some of
        the models with their ticks and others without: each goes on from its own.
        """
        self._warehouse.insert(METRICS, [(*_who(tick), *metric) for tick in ticks for metric in tick.metrics])
        incident_rows = [incidents.row(found, tick.report.at) for tick in ticks if (found := tick.report.incident)]
        self._warehouse.insert(INCIDENTS, incident_rows)
        self._warehouse.insert(AUDIT, [row for tick in ticks for row in _audit(tick)])
        self._warehouse.insert(
            REPORTS,
            [
                (*_who(tick), tick.report.at, canonical_json(tick.report).decode(), states.encode(tick.state).decode())
                for tick in ticks
            ],
        )

    def _last(self, namespace: str, model: str) -> tuple[Report | None, State | None]:
        rows = self._warehouse.rows(
            "SELECT body, state FROM reports FINAL WHERE namespace = {namespace:String} AND model = {model:String} "
            "ORDER BY `at` DESC LIMIT 1",
            {"namespace": namespace, "model": model},
        )
        if not rows:
            return None, None
        body, state = rows[0]
        return msgspec.json.decode(body, type=Report), states.decode(state)

    def _checkpoints(self, key: str, state: State | None) -> list[tuple[int, Mark]]:
        """The checkpoints from which the next ticks take their offsets, by partition and number."""
        found = []
        for partition in range(self.partitions):
            rows = self._warehouse.rows(
                _CHECKPOINTS,
                {"partition": partition, "seq": state.seqs.get(str(partition), 0) if state else 0},
            )
            for seq, predictions, outcomes, watermarks in rows:
                mark = _WATERMARKS.decode(watermarks).get(key)
                if mark is not None:
                    low = min(mark.predictions, mark.outcomes)
                    found.append((partition, Mark(seq, low, (predictions, outcomes))))
        return found

    def _partials(self, namespace: str, model: str, floor: int, closed: int) -> list[Row]:
        return self._sketches(
            "namespace = {namespace:String} AND model = {model:String} "
            "AND window_start >= fromUnixTimestamp64Milli({floor:Int64}, 'UTC') "
            "AND (view NOT IN ('feature', 'latency') "
            "OR window_start >= fromUnixTimestamp64Milli({closed:Int64}, 'UTC'))",
            {"namespace": namespace, "model": model, "floor": max(floor, _FIRST), "closed": max(closed, _FIRST)},
        )

    def _sketches(self, where: str, parameters: dict[str, str | int]) -> list[Row]:
        rows = self._warehouse.rows(_SKETCHES + where, parameters)
        return [(row[0], row[1], msgspec.convert(row[2:], SketchRow)) for row in rows]


def _who(tick: Tick) -> tuple[str, str]:
    return tick.report.namespace, tick.report.model


def _audit(tick: Tick) -> Iterator[tuple[object, ...]]:
    """What the tick did: the incident as it stands now, and what it asked for."""
    if (incident := tick.report.incident) is not None:
        versions = sorted({condition.version for condition in incident.conditions} - {""})
        version = versions[0] if len(versions) == 1 else ""
        body = canonical_json(incident).decode()
        yield *_who(tick), "incident", incident.id, "", version, incident.updated, body
    for request in tick.report.requests:
        body = canonical_json(request).decode()
        yield *_who(tick), "request", request.id, request.cause_id, str(request.ordinal), request.at, body
