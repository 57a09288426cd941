"""All Kafka topics, declared once: what the key is, what the value is, how many partitions, what is kept.

``predictions`` and ``outcomes`` have the same number of partitions, the same key and the same partitioner
(``murmur2_random``: librdkafka's default differs from the Java client's and Faust's), so that a prediction and its
outcome meet in one *source partition*.
"""

from typing import Literal

from msgspec import Struct

PARTITIONER = "murmur2_random"

TopicName = Literal[
    "models",
    "teams",
    "predictions",
    "outcomes",
    "partials",
    "reports",
    "alerts",
    "retraining",
    "candidates",
    "rollouts",
    "dead-letters",
]

_DAY_MS = 24 * 3600 * 1000
_FOR_EVER = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1"}

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""Largest record, compressed, on topics that carry counts of many bins, or a word on each of thousands of quantities
(200 features in 32 segments): the usual 1 MB would hold one up for ever, and with it whoever has to send it."""

_LARGE = {"max.message.bytes": str(MAX_MESSAGE_BYTES)}

# A message carries what one checkpoint changed, not all there is: compaction must not take what a monitor that lags has
# not read yet. One that was away for longer reads the tables.
_READ_FIRST = {"min.compaction.lag.ms": str(7 * _DAY_MS)}


class Topic(Struct, frozen=True):
    """One topic. ``partitions`` 0 means: as many as the settings say for source topics."""

    name: TopicName
    key: str
    value: str
    partitions: int
    config: dict[str, str]

    def full_name(self, prefix: str) -> str:
        """Name on the broker, e.g. ``driftline.predictions``."""
        return f"{prefix}.{self.name}"


def _delete(days: int) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(days * _DAY_MS)}


# The broker stamps the source records: "from the future" and the duplicate horizon are judged by its clock, not by
# a producer's. A record may be 1 MB.
SOURCE_DAYS = 14
_SOURCE = _delete(SOURCE_DAYS) | {"message.timestamp.type": "LogAppendTime"}

TOPICS: dict[TopicName, Topic] = {
    topic.name: topic
    for topic in (
        Topic("models", "namespace/model/generation/content", "models.ModelRecord", 1, _FOR_EVER | _LARGE),
        Topic("teams", "namespace/team", "models.TeamRecord", 1, _FOR_EVER),
        Topic("predictions", "namespace/model/prediction_id", "events.Prediction | events.Progress", 0, _SOURCE),
        Topic("outcomes", "namespace/model/prediction_id", "events.Outcome | events.Progress", 0, _SOURCE),
        Topic("partials", "partition/namespace/model", "partials.PartialMessage", 1, _FOR_EVER | _LARGE | _READ_FIRST),
        Topic("reports", "namespace/model", "lifecycle.Report", 1, _delete(365) | _LARGE),
        Topic("alerts", "namespace/model", "lifecycle.Incident", 1, _delete(365) | _LARGE),
        Topic("retraining", "namespace/model", "lifecycle.Request", 1, _delete(365)),
        Topic("candidates", "namespace/model", "lifecycle.Candidate", 1, _delete(365)),
        Topic("rollouts", "namespace/model", "lifecycle.Rollout", 1, _FOR_EVER),
        Topic("dead-letters", "topic/partition/offset", "original bytes; reason in headers", 1, _delete(90)),
    )
}
