"""A team's number: how it is read, and what is refused."""

import pytest
from pydantic import ValidationError

from schemas.spec import TeamSpec


@pytest.mark.parametrize(
    ("written", "pages"),
    [("1 per P30D", 1.0), ("2 per P15D", 4.0), ("1 per P60D", 0.5), ("0 per P30D", 0.0), ("3 per P4W", 90 / 28)],
)
def test_it_is_a_number_of_pages_in_thirty_days(written: str, pages: float) -> None:
    assert TeamSpec(falseAlarmBudget=written).pages == pytest.approx(pages)


@pytest.mark.parametrize(
    "written", ["1 per month", "1 per P0D", "1 per P-3D", "-1 per P30D", "1 per PxD", f"1{'0' * 400} per P30D"]
)
def test_what_is_no_number_per_time_is_refused(written: str) -> None:
    with pytest.raises(ValidationError, match="falseAlarmBudget"):
        TeamSpec(falseAlarmBudget=written)


def test_the_default_is_one_a_month() -> None:
    assert TeamSpec().pages == 1.0
