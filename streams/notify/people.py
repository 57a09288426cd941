"""What people did about incidents, as ClickHouse has it: acknowledgements, and silences that are over."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from streams.notify.book import Book, Change
from streams.notify.ledger import Ledger, Unanswered

Tell = Callable[[Change, str | None], Awaitable[None]]
"""Rings the named channel, or all that hear of the incident."""


class People:
    """Looked at now and then; nothing is remembered that a row would not tell again.

    Args:
        book: what is open.
        ledger: where it is written what people did.
        tell: rings.
    """

    def __init__(self, book: Book, ledger: Ledger, tell: Tell) -> None:
        self._book = book
        self._ledger = ledger
        self._tell = tell
        self._acknowledged: set[str] = set()

    async def look(self) -> None:
        """Tell of acknowledgements; ring for what lasts longer than its silence."""
        changes = {change.incident.id: change for change in self._book.open()}
        if not changes:
            return
        try:
            acknowledged = await self._ledger.acknowledged(list(changes))
            held_back = await self._ledger.held_back(list(changes))
            silences = await self._ledger.silences() if held_back else []
        except Unanswered:
            return
        for id_, (by, note) in acknowledged.items():
            if id_ not in self._acknowledged:
                said = f"Acknowledged by {by or 'somebody'}" + (f": {note}" if note else ".")
                await self._tell(replace(changes[id_], event="acknowledged", note=said), None)
        self._acknowledged = set(acknowledged)
        for id_, channel, event in held_back:
            change = changes[id_]
            if not any(silence.covers(change.incident) for silence in silences):
                note = "It was silenced until now, and lasts."
                await self._tell(replace(change, event=event, note=note), channel)
