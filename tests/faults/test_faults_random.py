"""Random actions from one seed: produce, kill, stop, restart, join, leave, ClickHouse away. All is counted once.

``make faults ARGS="-k random --seed 7 --actions 200"`` does more of it, and the same of the same seed: the plan is
drawn before anything happens, and printed. Threads and the clock are not of the seed.
"""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from comparison import check, check_no_forks
from faults_world import SEED, Role, World

from compose.clickhouse import LocalClickHouse

ACTIONS = int(os.environ.get("DRIFTLINE_FAULTS_ACTIONS", "12"))
MEMBERS = 2
"""At the start: so the first that is told to leave can, and the first that is told to join."""

MOST_MEMBERS = 3
WEIGHTS = {"produce": 3, "kill": 3, "stop": 2, "restart": 1, "join": 2, "leave": 1, "clickhouse": 1}


def plan(seed: int, actions: int) -> list[tuple[str, int]]:
    """(action, number) in order; the number chooses whom, or how long.

    Every kind is in it, for what is left to chance may never come. The last one produces: what is stopped or away
    before it stays so for an action.
    """
    by_chance = actions - len(WEIGHTS) - 1
    assert by_chance >= 0, f"{actions} actions are too few: every kind, and one to end with, are {len(WEIGHTS) + 1}"
    rng = random.Random(seed)
    names = [*WEIGHTS, *rng.choices(list(WEIGHTS), list(WEIGHTS.values()), k=by_chance)]
    rng.shuffle(names)
    return [(name, rng.randrange(1_000)) for name in [*names, "produce"]]


@pytest.fixture
def own_clickhouse(tmp_path: Path) -> Iterator[LocalClickHouse]:
    """A ClickHouse that this test may end."""
    made = LocalClickHouse(tmp_path / "clickhouse")
    made.start()
    yield made
    made.start()  # the world drops its database
    made.kill()


class Chaos:
    """Members of the group, and what of them is stopped or away until which action is done."""

    def __init__(self, world: World, clickhouse: LocalClickHouse) -> None:
        self.world, self.clickhouse = world, clickhouse
        self.spare = world.role("aggregate")
        self.members: list[Role] = []
        self.stopped: dict[Role, tuple[int, float]] = {}
        self.done = 0
        self.back = 0
        for _ in range(MEMBERS):
            self.join(0)

    def act(self, name: str, number: int) -> None:
        """Do one thing, and wake what has slept for long enough: not what it has stopped itself."""
        self.done += 1
        getattr(self, name)(number)
        if self.back <= self.done:
            self.clickhouse.start()
        for role in [role for role, (until, _) in self.stopped.items() if until <= self.done]:
            self.wake(role)

    def wake(self, role: Role) -> None:
        _, earliest = self.stopped.pop(role)
        time.sleep(max(0.0, earliest - time.monotonic()))
        role.signal(signal.SIGCONT)

    def calm(self) -> None:
        """Everything is there again."""
        self.clickhouse.start()
        for role in [*self.stopped]:
            self.wake(role)

    def take(self, number: int) -> Role:
        """Who is awake first: a sleeper that is killed never wakes up to find out."""
        among = [role for role in self.members if role not in self.stopped] or self.members
        role = among[number % len(among)]
        self.members.remove(role)
        return role

    def join(self, _number: int) -> None:
        if len(self.members) < MOST_MEMBERS:
            self.members.append(self.spare.go())
            self.spare = self.world.role("aggregate")

    def produce(self, _number: int) -> None:
        self.world.feed(self.world.fed + len(self.world.load) // (2 * ACTIONS))

    def kill(self, number: int) -> None:
        victim = self.take(number)
        self.stopped.pop(victim, None)
        world, committed = self.world, self.world.committed()
        position = {"sent": world.fed, "committed": committed, "past": world.fed - committed}
        world.kills.append({"at": f"action {self.done}", **position})
        world.note(f"kill {len(world.kills)}: {world.kills[-1]}")
        victim.signal(signal.SIGKILL)
        self.join(0)

    def stop(self, number: int) -> None:
        """For an action; or for two, and longer than its session: then others have its partitions when it wakes."""
        role, more = self.members[number % len(self.members)], number % 2
        role.signal(signal.SIGSTOP)
        session = self.world.settings.session_timeout_ms / 1_000
        self.stopped[role] = self.done + 1 + more, time.monotonic() + 1.5 * session * more

    def restart(self, number: int) -> None:
        self.end(self.take(number))
        self.join(0)

    def leave(self, number: int) -> None:
        if len(self.members) > 1:
            self.end(self.take(number))

    def end(self, role: Role) -> None:
        # Who sleeps is told when it wakes.
        role.signal(signal.SIGTERM)

    def clickhouse_away(self, number: int) -> None:
        self.clickhouse.kill()
        self.back = self.done + 1 + number % 2


def run(chaos: Chaos, seed: int, actions: int, before: Callable[[str, int], None]) -> None:
    """A plan, from its first action to the calm behind the last; ``before`` each one is told."""
    for name, number in plan(seed, actions):
        before(name, number)
        chaos.act("clickhouse_away" if name == "clickhouse" else name, number)
    chaos.calm()


def test_a_seed_is_its_actions() -> None:
    assert plan(7, 50) == plan(7, 50)
    assert plan(7, 50) != plan(8, 50)
    for seed, actions in [(SEED, ACTIONS), (1, 12), *((seed, len(WEIGHTS) + 1) for seed in range(50))]:
        assert {name for name, _ in plan(seed, actions)} == set(WEIGHTS), f"seed {seed}, {actions} actions"
    with pytest.raises(AssertionError, match="too few"):
        plan(1, len(WEIGHTS))


@pytest.mark.parametrize("seed", [SEED, *range(2, 12)])
def test_every_kind_happens_and_what_is_stopped_or_away_stays_so_for_an_action(seed: int) -> None:
    seen: list[tuple[str, object]] = []
    fake = SimpleNamespace(
        settings=SimpleNamespace(session_timeout_ms=0), load=range(1_000), fed=0, committed=int, kills=[], note=str,
        feed=lambda _to: seen.append(("feed", None)), role=lambda _name: FakeRole(seen),
    )  # fmt: skip
    clickhouse = SimpleNamespace(start=lambda: seen.append(("back", None)), kill=lambda: seen.append(("away", None)))
    chaos = Chaos(cast("World", fake), cast("LocalClickHouse", clickhouse))
    members = len(chaos.members)
    run(chaos, seed, ACTIONS, lambda name, _: seen.append(("action", name)))
    assert {what for what, _ in seen} >= {"go", "feed", "away", "back", "SIGKILL", "SIGTERM", "SIGSTOP"}
    # One that left for good, and one that nobody had to make room for.
    starts, ends = (sum(what in kinds for what, _ in seen) for kinds in (("go",), ("SIGKILL", "SIGTERM")))
    replaced = sum(what == "action" and name in ("kill", "restart") for what, name in seen)
    assert starts > members + replaced
    assert ends > replaced
    for place, (what, whom) in enumerate(seen):
        if what in ("SIGSTOP", "away"):
            ends_by = [("SIGCONT", whom), ("SIGKILL", whom)] if what == "SIGSTOP" else [("back", None)]
            after = seen[place + 1 :]
            until = min(after.index(end) for end in ends_by if end in after)
            assert any(kind == "action" for kind, _ in after[:until]), f"{what} ended before the next action"


class FakeRole:
    """Takes down what is done to it."""

    def __init__(self, seen: list[tuple[str, object]]) -> None:
        self.seen = seen

    def go(self) -> Any:
        self.seen.append(("go", self))
        return self

    def signal(self, number: signal.Signals) -> None:
        self.seen.append((number.name, self))


def test_whatever_happens_everything_is_counted_once(
    own_clickhouse: LocalClickHouse, make_world: Callable[..., World]
) -> None:
    world = make_world(clickhouse_url=own_clickhouse.start())

    def before(name: str, number: int) -> None:
        world.feed(world.fed + len(world.load) // (2 * ACTIONS))
        world.note(
            f"DRIFTLINE_FAULTS_SEED={SEED} DRIFTLINE_FAULTS_ACTIONS={ACTIONS}: {name} {number}, {world.fed} sent"
        )

    run(Chaos(world, own_clickhouse), SEED, ACTIONS, before)
    world.finish()
    check(world.oracle, world.warehouse)
    check_no_forks(world.warehouse)
