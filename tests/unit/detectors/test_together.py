"""Two samples of several columns: a correlation that broke is seen, chance and what varies by nature are not."""

import numpy as np
import pytest

from detectors.sketch import Floats
from detectors.together import compare
from detectors.two_samples import Judgement
from detectors.verdict import Insufficient

BLOCKS = np.repeat(np.arange(8), 500)


def rows(seed: int, n: int = 4_000, tie: float | Floats = 0.9) -> Floats:
    """Three columns of standard normals, of which the second follows the first."""
    made: Floats = np.random.default_rng(seed).normal(size=(n, 3))
    made[:, 1] = tie * made[:, 0] + np.sqrt(1 - np.square(tie)) * made[:, 1]
    return made


def judged(before: Floats, after: Floats) -> Judgement:
    found = compare(before, BLOCKS, after, alpha=0.001)
    assert isinstance(found, Judgement)
    return found


def test_like_rows_are_as_before() -> None:
    assert [judged(rows(seed), rows(seed + 100)).word for seed in range(20)] == ["as before"] * 20


def test_a_correlation_that_broke_or_tightened_is_drift() -> None:
    for tie in (0.0, 0.5, 0.999):
        found = judged(rows(1), rows(2, tie=tie))
        assert (found.word, found.variable) == ("drift", False)
    assert judged(rows(1), rows(2, tie=0.89)).word == "as before"


def test_what_varies_by_nature_is_not_drift() -> None:
    by_block = np.repeat([0.95, 0.2, 0.9, 0.4, 0.95, 0.3, 0.9, 0.5], 500)
    found = judged(rows(1, tie=by_block), rows(2, tie=0.4))
    assert (found.word, found.variable) == ("as before", True)


def test_a_constant_column_changes_nothing() -> None:
    # Two directions explain all of it: one of them is watched.
    still = [np.column_stack([rows(seed)[:, [0, 2]], np.full(4_000, 3.0)]) for seed in (1, 2)]
    assert judged(*still).word == "as before"
    still[1][:, 1] = still[1][:, 0]
    assert judged(*still).word == "drift"


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (rows(1)[:50], rows(2), "reference have 50 rows"),
        (rows(1), rows(2)[:50], "current rows have 50 rows"),
        (rows(1)[:, :1], rows(2)[:, :1], "one direction"),
    ],
)
def test_too_little_says_so(before: Floats, after: Floats, says: str) -> None:
    found = compare(before, BLOCKS[: len(before)], after, alpha=0.01)
    assert isinstance(found, Insufficient)
    assert says in found.reason
