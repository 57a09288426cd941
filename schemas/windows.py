"""Event time: integer milliseconds since the epoch, UTC, and the tumbling windows laid over it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

NEVER = -(2**62)
"""A watermark before every event."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_ms(instant: datetime) -> int:
    """Milliseconds since the epoch of an aware ``datetime`` (sub-millisecond parts are cut off)."""
    return (instant - _EPOCH) // _MILLISECOND


def from_ms(ms: int) -> datetime:
    """The aware UTC ``datetime`` of milliseconds since the epoch."""
    return _EPOCH + ms * _MILLISECOND


def iso(ms: int) -> str:
    """``2013-02-01T05:00:00Z`` for messages and reports; milliseconds are shown only when there are any."""
    return from_ms(ms).isoformat(timespec="auto").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Windows:
    """Tumbling windows ``[start, start + width)`` with starts at ``offset + k * width`` (all in milliseconds)."""

    width: int
    offset: int = 0

    def start(self, ms: int) -> int:
        """Start of the window that holds the instant ``ms``."""
        return (ms - self.offset) // self.width * self.width + self.offset

    def end(self, start: int) -> int:
        """First instant after the window that starts at ``start``."""
        return start + self.width
