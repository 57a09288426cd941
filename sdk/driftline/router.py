"""Ask which model version answers: the rollout's last decision, kept on disk for when the broker is away."""

import json
import logging
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

log = logging.getLogger("driftline")

_NEVER = -(2**62)


class NotDecided(TimeoutError):
    """The rollout did not decide far enough in time; the message says how far it is."""


@dataclass(frozen=True, slots=True)
class Route:
    """One version to answer with, and the content address of its artifact."""

    version: str
    artifact: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Who answers.

    Attributes:
        champion: the version whose answer is served; ``None`` before there is one (use your own default).
        shadows: versions that answer the same requests, unseen.
        decided_through: event time in ms since the epoch up to which this takes everything into account.
        phase: ``none``, ``steady``, ``shadow`` or ``guard``.
        step_id: id of the rollout's last step in the audit log.
    """

    champion: Route | None = None
    shadows: tuple[Route, ...] = ()
    decided_through: int = _NEVER
    phase: str = "none"
    step_id: str = ""

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> "Decision":
        """Read a record of the ``rollouts`` topic; fields that are not known here are ignored.

        Raises:
            KeyError, TypeError, ValueError: the record is not a rollout.
        """

        def route(value: Mapping[str, Any]) -> Route:
            return Route(str(value["version"]), str(value["artifact"]))

        champion = body.get("champion")
        return cls(
            champion=route(champion) if champion else None,
            shadows=tuple(route(shadow) for shadow in body.get("shadows") or ()),
            decided_through=int(body["decided_through"]),
            phase=str(body.get("phase", "none")),
            step_id=str(body.get("step_id", "")),
        )


class Router:
    """Follows the compacted topic ``rollouts`` of one model. Not thread-safe: refresh from one thread.

    When in doubt it stays with what it knows: with the broker away, or a record that cannot be read, :attr:`decision`
    is the last one, from memory or from ``cache_path``; its champion keeps serving.
    ``decided_through`` never goes back.

    Args:
        config: librdkafka configuration, or just the brokers as a string.
        namespace: team that owns the model.
        model: the model's name.
        cache_path: file for the last decision; ``None`` keeps none. Delete it when an installation begins anew.
        topic_prefix: the installation's prefix.
        consumer: a ready consumer, for tests.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | str,
        namespace: str,
        model: str,
        *,
        cache_path: Path | str | None = None,
        topic_prefix: str = "driftline",
        consumer: Consumer | None = None,
    ) -> None:
        self._key = f"{namespace}/{model}"
        self._cache = Path(cache_path) if cache_path is not None else None
        self._decision = self._read_cache() or Decision()
        options = {"bootstrap.servers": config} if isinstance(config, str) else dict(config)
        fixed = {
            "group.id": f"{topic_prefix}.router",  # librdkafka wants one; nothing is ever committed under it
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
        self._consumer = consumer or Consumer({"fetch.wait.max.ms": 20, **options} | fixed)
        self._partition = TopicPartition(f"{topic_prefix}.rollouts", 0, OFFSET_BEGINNING)
        self._consumer.assign([self._partition])
        self._next = 0

    @property
    def decision(self) -> Decision:
        """The last decision known; before any, an empty one."""
        return self._decision

    def refresh(self, timeout: float = 5.0) -> bool:
        """Read the rollouts to their present end.

        Args:
            timeout: seconds it may take.

        Returns:
            Whether the end was reached. If not (broker away), :attr:`decision` stays what it was.
        """
        deadline = time.monotonic() + timeout
        try:
            _, end = self._consumer.get_watermark_offsets(self._partition, timeout=timeout, cached=False)
        except KafkaException as error:
            log.warning("rollouts cannot be read, staying with %s: %s", self._serving(), error)
            return False
        latest = self._decision
        while self._next < end:
            left = deadline - time.monotonic()
            if left <= 0:
                log.warning("rollouts not read to their end in %g s, staying with %s", timeout, self._serving())
                return False
            latest = self._take(left, latest)
        self._adopt(latest)
        return True

    def wait_decided(self, through_ms: int, timeout: float) -> Decision:
        """Follow the rollouts until everything before ``through_ms`` is decided.

        Args:
            through_ms: event time, milliseconds since the epoch.
            timeout: seconds to wait.

        Raises:
            NotDecided: it did not happen in time.
        """
        deadline = time.monotonic() + timeout
        while self._decision.decided_through < through_ms:
            left = deadline - time.monotonic()
            if left <= 0:
                raise NotDecided(
                    f"{self._key} is decided through {_instant(self._decision.decided_through)}, waited {timeout:g} s "
                    f"for {_instant(through_ms)} (phase {self._decision.phase}, serving {self._serving()})"
                )
            self._adopt(self._take(left, self._decision))
        return self._decision

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()

    def _take(self, timeout: float, latest: Decision) -> Decision:
        """Read what is there, waiting at most ``timeout`` for the first record; the newest readable decision."""
        messages = self._consumer.consume(num_messages=1, timeout=timeout)
        messages += self._consumer.consume(num_messages=1000, timeout=0)
        for message in messages:
            error, offset, value = message.error(), message.offset(), message.value()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    log.warning("rollouts: %s", error)
                elif offset is not None:
                    self._next = max(self._next, offset)
                continue
            if offset is not None:
                self._next = offset + 1
            if message.key() == self._key.encode() and value is not None:
                found = self._parse(value)
                # A rollout that repeats its last step after a restart says again what is older than what is held.
                if found is not None and found.decided_through >= latest.decided_through:
                    latest = found
        return latest

    def _parse(self, value: bytes) -> Decision | None:
        try:
            return Decision.parse(json.loads(value))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            log.error("rollout record of %s cannot be read, staying with %s: %r", self._key, self._serving(), error)
            return None

    def _adopt(self, decision: Decision) -> None:
        if decision != self._decision:
            self._decision = decision
            self._write_cache()

    def _serving(self) -> str:
        champion = self._decision.champion
        return f"version {champion.version}" if champion else "no version"

    def _read_cache(self) -> Decision | None:
        if self._cache is None or not self._cache.exists():
            return None
        try:
            body = json.loads(self._cache.read_bytes())
            return Decision.parse(body["decision"]) if body["key"] == self._key else None
        except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
            log.warning("cached decision %s cannot be read and is ignored: %r", self._cache, error)
            return None

    def _write_cache(self) -> None:
        """Replace the file in one step: whoever reads it sees the old or the new decision, never half of one."""
        if self._cache is None:
            return
        body = json.dumps({"key": self._key, "decision": asdict(self._decision)})
        try:
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._cache.parent, delete=False) as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            Path(file.name).replace(self._cache)
        except OSError as error:
            log.warning("decision cannot be cached in %s: %s", self._cache, error)


def _instant(ms: int) -> str:
    """UTC text of an event time, for error messages."""
    return "nothing yet" if ms == _NEVER else datetime.fromtimestamp(ms / 1000, tz=UTC).isoformat()
