"""The breaker: when most of a topic is dead, something else is wrong than the events.

Whose letters they are matters. What nobody can be named for (no JSON, an unknown model) is counted against the topic.
What a model's own spec refuses is that model's: while others are read well beside it, one loud producer stops nobody.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec
import structlog

from schemas.events import SourceTopic
from schemas.partials import model_key
from streams.aggregate.decode import Dead

log = structlog.get_logger()


class BreakerOpen(RuntimeError):
    """Too many dead letters in a row; ``topic`` says where."""

    def __init__(self, topic: SourceTopic, why: str) -> None:
        super().__init__(why)
        self.topic = topic


class _Named(msgspec.Struct):
    namespace: str
    model: str


_NAMED = msgspec.json.Decoder(_Named)
_NOBODYS = frozenset({"undecodable", "too_large", "unknown_model"})
"""Reasons for which no known model's producer can be blamed."""


class Breaker:
    """Watches the share of dead events in stretches of at least ``minimum`` events per topic.

    It opens when more than ``ratio`` of a stretch is dead, unless the letters are of one model alone and others were
    read beside them: then that model is named in the log.
    """

    def __init__(self, ratio: float, minimum: int) -> None:
        self._ratio = ratio
        self._minimum = minimum
        self._total: Counter[SourceTopic] = Counter()
        self._letters: dict[SourceTopic, Counter[str]] = {}
        self._open: BreakerOpen | None = None

    def count(self, topic: SourceTopic, events: int, dead: Sequence[Dead]) -> None:
        """Note a batch: how many events it had, and which of them are dead."""
        letters = self._letters.setdefault(topic, Counter())
        letters.update(map(_whose, dead))
        self._total[topic] += events
        total = self._total[topic]
        if total < self._minimum:
            return
        self._total[topic], self._letters[topic] = 0, Counter()
        lost = letters.total()
        if lost <= self._ratio * total:
            return
        if len(letters) == 1 and "" not in letters and lost < total:
            log.warning("aggregate.loud_producer", topic=topic, model=next(iter(letters)), dead=lost, events=total)
            return
        worst = ", ".join(f"{model or 'nobody known'} {n}" for model, n in letters.most_common(3))
        self._open = BreakerOpen(
            topic,
            f"{lost} of the last {total} events of {topic} are dead letters (more than dead_letter_ratio = "
            f"{self._ratio:g}), by model: {worst}. They are kept, with reason and detail: driftline dead-letters list. "
            "Usual causes: a model that was never published, or a producer with another format. Mend the cause, then "
            "driftline breaker reset: reading goes on behind them.",
        )

    def check(self) -> None:
        """Raise what was found; called after the checkpoint, so that the dead letters are safe.

        Raises:
            BreakerOpen: most of a topic was dead.
        """
        if self._open:
            raise self._open


def _whose(letter: Dead) -> str:
    """``namespace/model`` whose spec refused an event; empty when nobody can be named."""
    if letter.reason in _NOBODYS:
        return ""
    try:
        named = _NAMED.decode(letter.record.value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
    return model_key(named.namespace, named.model)
