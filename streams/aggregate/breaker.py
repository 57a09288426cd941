"""The breaker: when most of a topic is dead, something else is wrong than the events."""

from schemas.events import SourceTopic


class BreakerOpen(RuntimeError):
    """Too many dead letters in a row."""


class Breaker:
    """Watches the share of dead events in stretches of at least ``minimum`` events per topic."""

    def __init__(self, ratio: float, minimum: int) -> None:
        self._ratio = ratio
        self._minimum = minimum
        self._counts: dict[SourceTopic, tuple[int, int]] = {}
        self._open: str | None = None

    def count(self, topic: SourceTopic, events: int, dead: int) -> None:
        """Note the events of a batch."""
        before = self._counts.get(topic, (0, 0))
        total, lost = before[0] + events, before[1] + dead
        if total < self._minimum:
            self._counts[topic] = total, lost
            return
        self._counts[topic] = 0, 0
        if lost > self._ratio * total:
            self._open = (
                f"{lost} of the last {total} events of {topic} are dead letters (more than dead_letter_ratio = "
                f"{self._ratio:g}). They are kept, with reason and detail, in the table dead_letters. "
                "Usual causes: a model that was never published, or a producer with another format. "
                "Mend the cause, then restart: reading goes on behind them."
            )

    def check(self) -> None:
        """Raise what was found; called after the checkpoint, so that the dead letters are safe.

        Raises:
            BreakerOpen: most of a topic was dead.
        """
        if self._open:
            raise BreakerOpen(self._open)
