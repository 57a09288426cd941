"""Random actions from one seed: produce, kill, stop, restart, join, leave, ClickHouse away. All is counted once.

``DRIFTLINE_FAULTS_SEED=7 DRIFTLINE_FAULTS_ACTIONS=200 pytest tests/faults/test_faults_random.py`` does more of it, and
the same of the same seed: the plan is drawn before anything happens, and printed.
"""

import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from comparison import check, check_no_forks
from faults_world import SEED, Role, World

from compose.clickhouse import LocalClickHouse

ACTIONS = int(os.environ.get("DRIFTLINE_FAULTS_ACTIONS", "12"))
MOST_MEMBERS = 3
WEIGHTS = {"produce": 3, "kill": 3, "stop": 2, "restart": 1, "join": 2, "leave": 1, "clickhouse": 1}


def plan(seed: int, actions: int) -> list[tuple[str, int]]:
    """(action, number) in order; the number chooses whom, or how long."""
    rng = random.Random(seed)
    names = rng.choices(list(WEIGHTS), list(WEIGHTS.values()), k=actions)
    return [(name, rng.randrange(1_000)) for name in names]


@pytest.fixture
def own_clickhouse(tmp_path: Path) -> Iterator[LocalClickHouse]:
    """A ClickHouse that this test may end."""
    made = LocalClickHouse(tmp_path / "clickhouse")
    made.start()
    yield made
    made.start()  # the world drops its database
    made.kill()


class Chaos:
    """Members of the group, and what of them is stopped or away for how many more actions."""

    def __init__(self, world: World, clickhouse: LocalClickHouse) -> None:
        self.world, self.clickhouse = world, clickhouse
        self.spare = world.role("aggregate")
        self.members: list[Role] = []
        self.stopped: dict[Role, int] = {}
        self.away = 0
        self.join(0)

    def act(self, name: str, number: int) -> None:
        """Do one thing, and wake what has slept for long enough."""
        getattr(self, name)(number)
        self.away = max(0, self.away - 1)
        if not self.away:
            self.clickhouse.start()
        for role in [role for role, left in self.stopped.items() if left <= 0]:
            self.wake(role)
        self.stopped = {role: left - 1 for role, left in self.stopped.items()}

    def wake(self, role: Role) -> None:
        self.stopped.pop(role, None)
        role.signal(signal.SIGCONT)

    def calm(self) -> None:
        """Everything is there again."""
        self.clickhouse.start()
        for role in [*self.stopped]:
            self.wake(role)

    def take(self, number: int) -> Role:
        return self.members.pop(number % len(self.members))

    def join(self, _number: int) -> None:
        if len(self.members) < MOST_MEMBERS:
            self.members.append(self.spare.go())
            self.spare = self.world.role("aggregate")

    def produce(self, _number: int) -> None:
        self.world.feed(self.world.fed + len(self.world.load) // (2 * ACTIONS))

    def kill(self, number: int) -> None:
        victim = self.take(number)
        self.stopped.pop(victim, None)
        self.world.note(f"kill with {self.world.past()} past the last checkpoint")
        victim.signal(signal.SIGKILL)
        self.join(0)

    def stop(self, number: int) -> None:
        role = self.members[number % len(self.members)]
        role.signal(signal.SIGSTOP)
        self.stopped[role] = number % 3

    def restart(self, number: int) -> None:
        self.end(self.take(number))
        self.join(0)

    def leave(self, number: int) -> None:
        if len(self.members) > 1:
            self.end(self.take(number))

    def end(self, role: Role) -> None:
        self.wake(role)
        role.signal(signal.SIGTERM)

    def clickhouse_away(self, number: int) -> None:
        self.clickhouse.kill()
        self.away = 1 + number % 2


def test_a_seed_is_its_actions() -> None:
    assert plan(7, 50) == plan(7, 50)
    assert plan(7, 50) != plan(8, 50)
    assert {name for name, _ in plan(SEED, 300)} == set(WEIGHTS)


def test_whatever_happens_everything_is_counted_once(
    own_clickhouse: LocalClickHouse, make_world: Callable[..., World]
) -> None:
    world = make_world(clickhouse_url=own_clickhouse.start())
    chaos = Chaos(world, own_clickhouse)
    for number, (name, choice) in enumerate(plan(SEED, ACTIONS)):
        world.feed(world.fed + len(world.load) // (2 * ACTIONS))
        world.note(f"DRIFTLINE_FAULTS_SEED={SEED}, action {number}: {name} {choice}, {world.fed} sent")
        chaos.act("clickhouse_away" if name == "clickhouse" else name, choice)
    chaos.calm()
    world.finish()
    check(world.oracle, world.warehouse)
    check_no_forks(world.warehouse)
