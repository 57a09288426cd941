"""What the owner of a source partition knows, decides and tells."""

from dataclasses import dataclass, field
from typing import NamedTuple

from .world import Record

Key = tuple[str, str, int]
"""(model, kind, window); what belongs to no model has model ""."""

Count = tuple[int, int]
"""(events, sum of their values)."""

SILENCE = 60
SIDE_NAMES = ("predictions", "outcomes")


class Checkpoint(NamedTuple):
    """What C4 decides, as the redo record has it. Adoptions: (model, side, position, watermark)."""

    partition: int
    seq: int
    owner: str
    positions: tuple[int, int]
    marks: dict[str, tuple[int, int]]
    changed: dict[Key, Count]
    adoptions: tuple[tuple[str, int, int, int], ...]


NOTHING = Checkpoint(0, 0, "", (0, 0), {}, {}, ())


class Message(NamedTuple):
    """One of C7: a model's changes of a checkpoint."""

    partition: int
    seq: int
    model: str
    marks: tuple[int, int]
    changed: dict[Key, Count]


@dataclass
class State:
    """All that the owner of a source partition knows."""

    partition: int
    owner: str
    seq: int
    positions: list[int]
    marks: dict[str, list[int]]
    since: int
    committed: tuple[int, int] = (0, 0)
    counts: dict[Key, Count] = field(default_factory=dict)
    changed: set[Key] = field(default_factory=set)
    memory: dict[Record, str] = field(default_factory=dict)
    accepted: list[Record] = field(default_factory=list)
    dead: list[Record] = field(default_factory=list)
    astray: list[Record] = field(default_factory=list)
    adoptions: list[tuple[str, int, int, int]] = field(default_factory=list)
    heard: dict[tuple[str, int], int] = field(default_factory=dict)

    def dirty(self) -> bool:
        return tuple(self.positions) != self.committed or bool(self.adoptions)

    def count(self, model: str, kind: str, window: int, value: int = 0) -> None:
        key = (model, kind, window)
        n, total = self.counts.get(key, (0, 0))
        self.counts[key] = n + 1, total + value
        self.changed.add(key)
