"""The books of a customer's partition: how many records were read, and what became of them.

They are kept in the metadata of the committed offset, and so change in the very transaction that sends the events.
"""

import msgspec
from msgspec import Struct

FORMAT = "1"


class Tally(Struct, omit_defaults=True):
    """Records of one partition since it was first read: ``records = mapped + ignored + dead``.

    Attributes:
        records: read so far.
        mapped: that became one event or more.
        ignored: that no model means: another kind by ``when``, or without a value.
        dead: kept as dead letters, with the reason.
        lost: that Kafka had deleted before they were read; not among ``records``.
        predictions: events sent.
        outcomes: events sent.
    """

    records: int = 0
    mapped: int = 0
    ignored: int = 0
    dead: int = 0
    lost: int = 0
    predictions: int = 0
    outcomes: int = 0

    def metadata(self) -> str:
        """As it is committed; far below Kafka's limit of 4096 bytes."""
        return f"{FORMAT}:{msgspec.json.encode(self).decode()}"

    @classmethod
    def of(cls, metadata: str | None) -> "Tally":
        """What was committed; zeros when nothing was, or somebody else committed."""
        version, _, body = (metadata or "").partition(":")
        if version != FORMAT:
            return cls()
        try:
            return msgspec.json.decode(body, type=cls)
        except msgspec.DecodeError:
            return cls()
