"""What the processes share: the logs, a group coordinator, ClickHouse, topics, time and chance."""

import random
from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

PARTITIONS, MODELS = 3, ("a", "b")
WIDTH, LATENESS, SKEW, HORIZON, LABEL_HORIZON, MATURITY = 10, 4, 50, 30, 25, 10
END = 260
"""Event time of the events that close all windows."""
NEVER = -(10**9)

Steps = Generator[None, None, Any]
"""What a process does: between two steps it may be killed, stopped and woken again."""


Event = tuple[str, int, int, int, bool]
"""(model, id, event time, value, whether it is undecodable)."""


class Violation(AssertionError):
    """The protocol has failed: the first word says at what."""


class Refused(Exception):
    """The group coordinator did not take a commit, or did not answer."""


class Record(NamedTuple):
    """A record of a source topic: side 0 is predictions, 1 outcomes; ``ts`` is the broker's, ``time`` the event's."""

    side: int
    partition: int
    offset: int
    ts: int
    model: str
    id: int
    time: int
    value: int
    bad: bool

    @property
    def window(self) -> int:
        return self.time // WIDTH * WIDTH

    @property
    def dead(self) -> bool:
        return self.bad or self.time > self.ts + SKEW

    @property
    def home(self) -> int:
        return self.id % PARTITIONS


class Table(dict[Any, tuple[int, Any]]):
    """A ReplacingMergeTree read with FINAL: per key the row of the largest version, of equals the last."""

    def put(self, key: Any, version: int, value: Any) -> None:
        if key not in self or self[key][0] <= version:
            self[key] = version, value


class Group:
    """Kafka's group coordinator: generations, sessions, and commits that only a current member may make."""

    SESSION, REBALANCE = 60, 80

    def __init__(self, world: "World", partitions: int) -> None:
        self.world, self.partitions = world, partitions
        self.members: dict[str, int] = {}
        self.joined: set[str] = set()
        self.rebalance_by: int | None = None
        self.generation = 0
        self.owned: dict[str, list[int]] = {}
        self.committed: dict[int, Any] = {}
        self.under_way: list[tuple[int, str, int, dict[int, Any]]] = []

    def join(self, member: str) -> None:
        self.members[member] = self.world.now
        self.joined.add(member)
        self.rebalance()

    def leave(self, member: str) -> None:
        self.joined.discard(member)
        if self.members.pop(member, None) is not None:
            self.rebalance()

    def rebalance(self) -> None:
        self.rebalance_by = self.rebalance_by or self.world.now + self.REBALANCE

    def tick(self) -> None:
        now = self.world.now
        for member in [m for m, heard in self.members.items() if now - heard > self.SESSION]:
            self.leave(member)
        if self.rebalance_by is not None and (self.joined >= set(self.members) or now > self.rebalance_by):
            self.members = {m: heard for m, heard in self.members.items() if m in self.joined}
            self.joined, self.rebalance_by = set(), None
            self.generation += 1
            order = self.world.rng.sample(sorted(self.members), len(self.members))
            self.owned = {m: list(range(self.partitions))[i :: len(order)] for i, m in enumerate(order)}
        for request in [request for request in self.under_way if request[0] <= now]:
            self.under_way.remove(request)
            self._take(*request[1:])

    def poll(self, member: str, generation: int) -> str:
        """What a member learns: lost, wait, revoke, assign or steady."""
        if member not in self.members:
            return "lost"
        if self.rebalance_by is not None:
            return "wait" if member in self.joined else "revoke"
        return "steady" if generation == self.generation else "assign"

    def current(self, member: str, generation: int) -> bool:
        return (member in self.members and generation == self.generation) or self.world.mutant == "no-fence"

    def commit(self, member: str, generation: int, offsets: dict[int, Any]) -> bool | None:
        """True: done; False: refused; None: no answer, and it may be done, now or later, or never."""
        if self.world.faults and self.world.chance(0.04):
            delay = self.world.rng.choice((0, None, self.world.rng.randint(5, 60)))
            if delay is not None:
                self.under_way.append((self.world.now + delay, member, generation, offsets))
            return None
        return self._take(member, generation, offsets)

    def _take(self, member: str, generation: int, offsets: dict[int, Any]) -> bool:
        if good := self.current(member, generation):
            self.committed.update(offsets)
            self.world.changed_at = self.world.now
        return good


class World:
    """All that is not a process's own."""

    def __init__(self, seed: int, mutant: str = "") -> None:
        self.rng, self.mutant = random.Random(seed), mutant
        self.now = self.changed_at = self.clock = self.away_until = self.stuck_until = self.names = 0
        self.faults, self.hot = True, False
        self.logs: list[list[list[Record]]] = [[[] for _ in range(PARTITIONS)] for _ in range(2)]
        self.aggregators, self.monitors = Group(self, PARTITIONS), Group(self, 1)
        self.raw, self.redo, self.partials, self.checkpoints, self.heads = (Table() for _ in range(5))
        self.reports, self.revised = Table(), Table()
        self.revisions: dict[tuple[str, int], int] = {}
        self.dead_letters: set[Record] = set()
        self.messages: list[Any] = []
        self.alerts: set[str] = set()
        self.requests: set[str] = set()

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def name(self, prefix: str) -> str:
        self.names += 1
        return f"{prefix}.{self.names}"

    def step(self) -> Steps:
        """A point between two steps at which faults are aimed."""
        self.hot = True
        yield

    def append(self, side: int, partition: int, event: Event) -> None:
        log = self.logs[side][partition]
        log.append(Record(side, partition, len(log), self.clock, *event))

    def insert(self, table: Table, rows: Sequence[tuple[Any, int, Any]]) -> Steps:
        """Insert until it is acknowledged; what was not is there whole, in part, or not at all."""
        while True:
            yield
            if self.now < self.away_until or (table is self.partials and self.now < self.stuck_until):
                continue
            broken = self.faults and self.chance(0.06)
            for row in rows[: self.rng.randint(0, len(rows)) if broken else None]:
                table.put(*row)
            self.changed_at = self.now
            if not broken:
                return

    def query(self, read: Callable[[], Any]) -> Steps:
        """What ``read`` returns, once ClickHouse is there."""
        yield
        while self.now < self.away_until:
            yield
        return read()
