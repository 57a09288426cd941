"""Scenario 1: aggregators are killed, between any two steps and anywhere; every closed window is the oracle's."""

import time

import msgspec
from comparison import check, check_no_forks, check_reports
from faults_world import World, rng

from schemas.lifecycle import Incident


def check_alerts(world: World) -> None:
    """One alert for the one condition, however often it was told."""
    told = [msgspec.json.decode(value, type=Incident) for value in world.values("alerts")]
    opened = {(incident.id, incident.changed): incident for incident in told}
    assert {(i.model, i.state) for i in opened.values() if i.state == "open"} == {("model0", "open")}, opened
    assert len({incident.id for incident in told}) == 1, opened


def check_everything(world: World) -> None:
    """When all is counted: every number, every closed window, and what people were told."""
    world.wait_for_reports(world.load.shape.end)
    check(world.oracle, world.warehouse)
    check_reports(world.oracle, world.warehouse)
    check_no_forks(world.warehouse)
    check_alerts(world)


def test_nothing_fails(world: World) -> None:
    monitor = world.role("monitor").go()
    world.role("aggregate").go()
    world.finish()
    check_everything(world)
    monitor.alive()


def test_killed_between_every_two_steps(world: World) -> None:
    monitor = world.role("monitor").go()
    following = world.role("aggregate")
    # Those after the decision first: what is killed before it then has something to take up.
    for number, step in enumerate(("C4", "C5", "C6", "C7", "C0", "C1", "C2", "C3")):
        victim, following = following, world.role("aggregate")
        world.hold(victim, step, 0.1 + 0.1 * number)
        world.kill(victim, why=step)
        if step == "C4":
            # Its successor repeats what was decided, and dies of that too.
            victim, following = following, world.role("aggregate")
            victim.go("C5").held("C5")
            world.kill(victim, why="C5, repeated")
    following.go()
    world.finish()
    check_everything(world)
    monitor.alive()


def test_killed_five_times_anywhere(world: World) -> None:
    """Two members: the one that is killed leaves its partitions to the other, which is killed next."""
    choose = rng("anywhere")
    monitor = world.role("monitor").go()
    victim, other = world.role("aggregate").go(), world.role("aggregate").go()
    for number in range(5):
        # Anything between a moment and the whole time between two checkpoints.
        world.wait_for_a_checkpoint(0.08 + 0.16 * number)
        delay = choose.uniform(0, world.settings.checkpoint_seconds)
        time.sleep(delay)
        world.kill(victim, why=f"{delay:.3f} s after a checkpoint")
        victim, other = other, world.role("aggregate").go()
    world.finish()
    check_everything(world)
    monitor.alive()
    other.alive()
