"""The fault tests notice it when stage 1 is broken; ``make mutants`` tries every mutant on the whole scenarios."""

from collections.abc import Callable

import pytest
from comparison import check
from faults_world import World
from mutants import MUTANTS


@pytest.mark.parametrize(
    ("mutant", "steps", "reason"),
    [
        ("", ("C6", "C3", "C4"), ""),
        ("commit-after-publish", ("C6",), "aggregate ended"),
        ("unbounded-look-up", ("C6", "C3"), "sketches: "),
        ("watermark-not-restored", ("C6",), "sketches: "),
    ],
)
def test_a_mutant_is_noticed(
    make_world: Callable[..., World], mutant: str, steps: tuple[str, ...], reason: str
) -> None:
    assert not mutant or mutant in MUTANTS
    # Half of the predictions come hours late, so that the first ones that a successor reads are among them for certain.
    world = make_world(load={"events": 20_000, "slow": 0.5})
    following = world.role("aggregate", mutant)
    for number, step in enumerate(steps):
        victim, following = following, world.role("aggregate", mutant)
        world.hold(victim, step, 0.3 + 0.2 * number)
        world.kill(victim, why=step)
    following.go()

    def count() -> None:
        world.finish()
        check(world.oracle, world.warehouse)

    if mutant:
        with pytest.raises(AssertionError, match=reason):
            count()
    else:
        count()
