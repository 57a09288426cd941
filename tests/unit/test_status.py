"""Which stage keeps everybody waiting, by what each of them has made public."""

import pytest

from app.demo import model
from app.demo.service import BARRIER_SECONDS
from app.status import ModelStatus

THROUGH = 1_000


def status(*, aggregated: int = THROUGH, reported: int = THROUGH, unanswered: tuple[int, ...] = ()) -> ModelStatus:
    return ModelStatus(
        namespace="default",
        model="toy",
        serving="1",
        shadows=[],
        phase="steady",
        aggregated_through=aggregated,
        reported_through=reported,
        decided_through=THROUGH - 100,
        incident="",
        conditions=0,
        requests=3,
        candidates=3 - len(unanswered),
        unanswered=list(unanswered),
        last_window={},
    )


@pytest.mark.parametrize(
    ("found", "stage"),
    [
        (status(aggregated=THROUGH - 1, reported=THROUGH - 100, unanswered=(THROUGH,)), "aggregate"),
        (status(reported=THROUGH - 1, unanswered=(THROUGH,)), "monitor"),
        (status(unanswered=(THROUGH,)), "trainer"),
        (status(unanswered=(THROUGH - 50, THROUGH + 1)), "trainer"),
        (status(unanswered=(THROUGH + 1,)), "rollout"),
        (status(), "rollout"),
    ],
    ids=["aggregate", "monitor", "due now", "one is due", "not due yet", "all answered"],
)
def test_the_first_stage_that_is_behind_is_late(found: ModelStatus, stage: str) -> None:
    assert found.late_stage(THROUGH) == stage


def test_the_barrier_waits_longer_than_a_fit_may_take() -> None:
    assert model.document().spec.retraining.max_runtime.total_seconds() < BARRIER_SECONDS
