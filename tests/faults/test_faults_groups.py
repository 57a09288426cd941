"""Scenario 9: aggregators are added and removed under load; partitions move, and every event is counted once."""

from collections.abc import Callable

import pytest
from comparison import check, check_no_forks
from faults_world import World

OWNERS = "SELECT uniqExact(owner) FROM heads FINAL"
CHECKPOINTS = "SELECT uniqExact(owner) FROM checkpoints FINAL"


def share(world: World, members: int, what: str) -> None:
    """Feed a tenth, then a little at a time, until so many members have each decided something of their own."""
    world.feed(world.fed + world.load.first_phase // 10)

    def shared() -> bool:
        world.feed(world.fed + 20)
        return bool(world.warehouse.rows(OWNERS)[0][0] == members)

    world.until(what, shared)


@pytest.mark.parametrize(
    "protocols",
    [
        pytest.param(("classic", "classic", "classic"), id="classic"),
        pytest.param(("consumer", "consumer", "consumer"), id="kip848"),
        pytest.param(("classic", "consumer", "consumer"), id="from_classic_to_kip848"),
    ],
)
def test_members_come_and_go_under_load(make_world: Callable[..., World], protocols: tuple[str, str, str]) -> None:
    world = make_world()
    first, second, third = (world.role("aggregate", group_protocol=protocol) for protocol in protocols)
    world.feed(0.1)
    first.go()
    share(world, 1, "one counts all")
    second.go()
    share(world, 2, "two share the partitions")
    third.go()
    share(world, 3, "three share the partitions")
    first.leave()
    share(world, 2, "the others take over")
    second.leave()
    share(world, 1, "the last one counts all")
    assert world.fed < world.load.first_phase, "all was sent before the last one had left"
    assert world.warehouse.rows(CHECKPOINTS)[0][0] >= 5, "partitions were assigned anew at every change"
    world.finish()
    third.alive()
    check(world.oracle, world.warehouse)
    check_no_forks(world.warehouse)
