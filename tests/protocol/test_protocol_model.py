"""The protocol's model holds, and sees what breaks when a rule of it is left out."""

import pytest

from .__main__ import first_violation
from .mutants import MUTANTS
from .schedule import run
from .world import Violation

SCHEDULES = 150
RARE = {
    "retry-commit",
    "publish-before-record",
    "adopt-uncommitted",
    "verdict-last-wins",
    "no-republish",
    "no-reemit",
    "ack-first",
}
"""Caught after hundreds of schedules: ``python -m tests.protocol --mutant all`` shows them."""


def test_the_protocol_counts_exactly_under_any_schedule_of_faults() -> None:
    assert first_violation(1, SCHEDULES) is None


@pytest.mark.parametrize("mutant", sorted(MUTANTS.keys() - RARE))
def test_a_rule_that_is_left_out_is_missed(mutant: str) -> None:
    assert first_violation(1, SCHEDULES, mutant) is not None


def test_a_seed_repeats_its_schedule() -> None:
    failing = first_violation(1, SCHEDULES, "no-fence")
    assert failing is not None
    with pytest.raises(Violation) as again:
        run(failing[0], "no-fence")
    assert " ".join(str(part) for part in again.value.args)[:300] == failing[1]
