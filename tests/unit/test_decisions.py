"""The same decisions give the same bytes."""

from app.demo.decisions import stable


def test_what_differs_between_equal_runs_is_left_out() -> None:
    body = {"champion": {"version": "2", "artifact": "ab"}, "as_of": {"0": [1, 2]}, "manifest": "cd", "probe": "ef"}
    assert stable(body) == {"champion": {"version": "2"}, "probe": "ef"}


def test_numbers_are_rounded_to_nine_significant_digits() -> None:
    assert stable({"a": [0.1 + 0.2, 1e-12 / 3], "n": 12345678901}) == {
        "a": [0.3, 3.33333333e-13],
        "n": 12345678901,
    }
    assert stable(True) is True
