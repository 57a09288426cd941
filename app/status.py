"""Per model who serves, how far everything is decided, and how far behind the log we are, by public records."""

import json
from dataclasses import dataclass, field
from typing import Any

from schemas.partials import model_key
from schemas.settings import Settings
from schemas.topics import TopicName
from schemas.windows import NEVER
from warehouse.client import Warehouse

_SOURCES: tuple[TopicName, TopicName] = ("predictions", "outcomes")

_ROLLOUTS = "SELECT namespace, model, argMax(body, at) FROM rollouts WHERE {which} GROUP BY namespace, model"

_REPORTS = """
SELECT namespace, model, toUnixTimestamp64Milli(max(at)), argMax(body, at) FROM reports WHERE {which}
GROUP BY namespace, model
"""

_REQUESTS = """
SELECT namespace, model, countIf(kind = 'request'), countIf(kind = 'candidate') FROM audit_log WHERE {which}
GROUP BY namespace, model
"""

_UNANSWERED = """
SELECT namespace, model, JSONExtractInt(body, 'due') AS due FROM audit_log
WHERE {which} AND kind = 'request' AND id NOT IN (SELECT cause_id FROM audit_log WHERE kind = 'candidate') ORDER BY due
"""

_CHECKPOINTS = """
SELECT partition, watermarks FROM heads FINAL ORDER BY partition
"""

_TALLIES = """
SELECT namespace, model, tally, events FROM tallies
WHERE (namespace, model, window_start) IN (
    SELECT namespace, model, argMax(r.window_start, r.at) FROM reports AS r WHERE {which} GROUP BY namespace, model
)
"""

Name = tuple[str, str]
"""(namespace, model)."""


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One model. Times are event time in ms; ``incident`` is the open incident's id or empty.

    Attributes:
        aggregated_through: smallest watermark of its source partitions.
        reported_through: end of the last window that stage 2 decided.
        decided_through: how far stage 4 is: everything before is aggregated, reported, answered and applied.
        unanswered: when the requests are due that no candidate and no error answers yet, in order.
        last_window: tallies of the last decided window.
        not_judged: what pages nobody for want of data in the reference, and what to do.
        pages: false pages in 30 days that the model may have; ``claim`` what its last report says of that.
        streams: where each watched quantity stood in it (``schemas.lifecycle.StreamReport``).
    """

    namespace: str
    model: str
    serving: str
    shadows: list[str]
    phase: str
    aggregated_through: int
    reported_through: int
    decided_through: int
    incident: str
    conditions: int
    requests: int
    candidates: int
    unanswered: list[int]
    last_window: dict[str, int]
    not_judged: list[str] = field(default_factory=list)
    pages: float = 0.0
    claim: str = ""
    streams: list[dict[str, Any]] = field(default_factory=list)

    def late_stage(self, through: int) -> str:
        """Which stage keeps ``decided_through`` from reaching ``through``, by what each of them has made public."""
        if self.aggregated_through < through:
            return "aggregate"
        if self.reported_through < through:
            return "monitor"
        # A request that is not due yet keeps nobody waiting.
        return "trainer" if any(due <= through for due in self.unanswered) else "rollout"


def rows_of(warehouse: Warehouse, sql: str, only: Name | None, **parameters: Any) -> list[tuple[Any, ...]]:
    """Rows of a query about models, with a ``{which}`` in it: those of every model, or of one only."""
    which = "namespace = {namespace:String} AND model = {model:String}" if only else "true"
    who = {"namespace": only[0], "model": only[1]} if only else {}
    return warehouse.rows(sql.replace("{which}", which), parameters | who)


def models(warehouse: Warehouse, only: Name | None = None) -> list[ModelStatus]:
    """Status of every model that stage 1 has seen, or of one, from public records."""
    rollouts = {model_key(*row[:2]): json.loads(row[2]) for row in rows_of(warehouse, _ROLLOUTS, only)}
    reports = {model_key(*row[:2]): (int(row[2]), json.loads(row[3])) for row in rows_of(warehouse, _REPORTS, only)}
    asked = {model_key(*row[:2]): (int(row[2]), int(row[3])) for row in rows_of(warehouse, _REQUESTS, only)}
    unanswered: dict[str, list[int]] = {}
    for namespace, model, due in rows_of(warehouse, _UNANSWERED, only):
        unanswered.setdefault(model_key(namespace, model), []).append(int(due))
    tallies: dict[str, dict[str, int]] = {}
    for namespace, model, tally, events in rows_of(warehouse, _TALLIES, only):
        tallies.setdefault(model_key(namespace, model), {})[str(tally)] = int(events)
    watermarks: dict[str, list[int]] = {}
    for _, text in warehouse.rows(_CHECKPOINTS):
        for key, mark in json.loads(text).items():
            if only is None or key == model_key(*only):
                watermarks.setdefault(key, []).append(min(mark["predictions"], mark["outcomes"]))
    found = []
    for key in sorted(watermarks.keys() | rollouts.keys() | reports.keys()):
        namespace, model = key.split("/", 1)
        rollout = rollouts.get(key, {})
        at, report = reports.get(key, (NEVER, {}))
        incident = report.get("incident") or {}
        champion = rollout.get("champion") or {}
        found.append(
            ModelStatus(
                namespace=namespace,
                model=model,
                serving=champion.get("version", ""),
                shadows=[shadow["version"] for shadow in rollout.get("shadows", [])],
                phase=rollout.get("phase", "none"),
                aggregated_through=min(watermarks.get(key, [NEVER])),
                reported_through=at,
                decided_through=rollout.get("decided_through", NEVER),
                incident=incident.get("id", "") if incident.get("state") == "open" else "",
                conditions=len(incident.get("conditions", [])) if incident.get("state") == "open" else 0,
                requests=asked.get(key, (0, 0))[0],
                candidates=asked.get(key, (0, 0))[1],
                unanswered=unanswered.get(key, []),
                last_window=tallies.get(key, {}),
                not_judged=report.get("not_judged", []),
                pages=report.get("pages", 0.0),
                claim=report.get("claim", ""),
                streams=report.get("streams", []),
            )
        )
    return found


class Lag:
    """Records between the committed offsets of stage 1 and the ends of the source topics; keep one, ask it again."""

    def __init__(self, settings: Settings) -> None:
        from confluent_kafka import Consumer, TopicPartition

        self._consumer = Consumer(settings.consumer(settings.group("aggregate")))
        self._partitions = [
            TopicPartition(settings.topic(name), partition)
            for name in _SOURCES
            for partition in range(settings.source_partitions)
        ]

    def read(self, timeout: float = 5.0) -> dict[tuple[str, int], int]:
        """(topic, partition) -> records not committed yet.

        Raises:
            confluent_kafka.KafkaException: the broker did not answer within ``timeout`` seconds.
        """
        lag = {}
        for found in self._consumer.committed(self._partitions, timeout=timeout):
            low, high = self._consumer.get_watermark_offsets(found, timeout=timeout, cached=False)
            lag[(str(found.topic), int(found.partition))] = high - (found.offset if found.offset >= 0 else low)
        return lag

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()
