"""Scenario 4: an owner sleeps past its session, wakes up, and goes on where it was."""

import signal
from collections.abc import Callable

import pytest
from comparison import check, check_no_forks
from faults_world import Role, World

REFUSED = (
    "Unknown member", "UNKNOWN_MEMBER_ID", "Specified group generation id is not valid", "ILLEGAL_GENERATION",
    "FENCED_MEMBER_EPOCH", "STALE_MEMBER_EPOCH", "member epoch is",
)  # fmt: skip
"""How the coordinator says that the group has gone on without a member."""


def asleep(world: World, step: str) -> tuple[Role, Role]:
    """A zombie held in its second checkpoint, its session over, and the one that has taken its partitions."""
    zombie, successor = world.role("aggregate"), world.role("aggregate")
    world.hold(zombie, "C7", 0.2)
    zombie.go(step)
    world.feed(0.4)
    zombie.held(step)
    zombie.signal(signal.SIGSTOP)
    before = world.owners()
    assert len(before) == 1
    successor.go()
    world.feed(0.6)
    world.until("all partitions have another owner", lambda: not world.owners() & before)
    return zombie, successor


def check_all(world: World, *roles: Role) -> None:
    world.finish()
    for role in roles:
        role.alive()
    check(world.oracle, world.warehouse)
    check_no_forks(world.warehouse)


@pytest.mark.parametrize(("step", "protocol"), [("C0", "classic"), ("C3", "classic"), ("C3", "consumer")])
def test_its_commit_is_tried_and_refused(make_world: Callable[..., World], step: str, protocol: str) -> None:
    world = make_world(group_protocol=protocol)
    zombie, successor = asleep(world, step)
    said = len(zombie.log.read_text())
    zombie.go("C4").signal(signal.SIGCONT)
    world.until("its commit is answered", lambda: "joins_again" in zombie.log.read_text()[said:] or zombie.waits())
    assert "joins_again" in zombie.log.read_text()[said:], "its commit was refused, and it goes on all the same"
    zombie.go()
    assert any(words in zombie.log.read_text()[said:] for words in REFUSED), zombie.tail()
    # From its old life: what it wrote down before the decision is there, and no checkpoint of that number is its own.
    orphans = world.warehouse.rows(
        "SELECT r.`partition`, r.seq FROM redo AS r INNER JOIN (SELECT * FROM checkpoints FINAL) AS c "
        "ON c.`partition` = r.`partition` AND c.seq = r.seq WHERE r.owner != c.owner"
    )
    assert orphans, "the zombie had written nothing"
    check_all(world, zombie, successor)


def test_what_it_had_decided_may_be_told_again(world: World) -> None:
    zombie, successor = asleep(world, "C4")
    said = len(zombie.log.read_text())
    zombie.go("C7").signal(signal.SIGCONT)
    zombie.held("C7")
    assert "aggregate.assigned" not in zombie.log.read_text()[said:], "it told what was decided in its old life"
    zombie.go()
    check_all(world, zombie, successor)
