"""The protocol's model holds, and sees what breaks when a rule of it is left out."""

import pytest

from .__main__ import first_violation
from .mutants import MUTANTS
from .schedule import run
from .world import Violation

SCHEDULES = 150
RARE = {"adopt-uncommitted": 1288, "verdict-last-wins": 326, "no-reemit": 155, "ack-first": 121}
"""Mutants of which hundreds of schedules know nothing, and one that does: ``python -m tests.protocol --mutant all``."""


def test_the_protocol_counts_exactly_under_any_schedule_of_faults() -> None:
    assert first_violation(1, SCHEDULES) is None


@pytest.mark.parametrize("mutant", sorted(MUTANTS.keys() - RARE.keys()))
def test_a_rule_that_is_left_out_is_missed(mutant: str) -> None:
    assert first_violation(1, SCHEDULES, mutant) is not None


@pytest.mark.parametrize("mutant", sorted(RARE))
def test_a_rule_that_is_seldom_needed_is_missed_by_a_schedule_that_needs_it(mutant: str) -> None:
    assert first_violation(RARE[mutant], 1) is None
    assert first_violation(RARE[mutant], 1, mutant) is not None


def test_a_seed_repeats_its_schedule() -> None:
    failing = first_violation(1, SCHEDULES, "no-fence")
    assert failing is not None
    with pytest.raises(Violation) as again:
        run(failing[0], "no-fence")
    assert " ".join(str(part) for part in again.value.args)[:300] == failing[1]
