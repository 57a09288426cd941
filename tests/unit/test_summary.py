"""What is compared with the injector, and how promotions are counted."""

from typing import Any

import pytest

from app.demo.summary import compare, promotions

AGREEING = {"events_in": 10, "counted": 6, "late": 1, "duplicate": 1, "correction": 1, "dead_lettered": 1}
SUMMARY: dict[str, Any] = {**AGREEING, "pairs_joined": 3, "tallies": {"predictions.counted": 6}}


def test_agreement_is_no_difference() -> None:
    assert compare(SUMMARY, AGREEING) == []
    assert compare(SUMMARY, {**AGREEING, "pairs_joined": 3, "seed": 7, "tallies": {"predictions.counted": 6}}) == []


@pytest.mark.parametrize("name", AGREEING)
def test_one_event_is_a_difference(name: str) -> None:
    (line, *_) = compare(SUMMARY, {**AGREEING, name: AGREEING[name] + 1})
    assert line.startswith(f"{name}: ")
    assert "(-1)" in line


def test_tallies_are_compared_one_by_one() -> None:
    lines = compare(SUMMARY, {**AGREEING, "tallies": {"predictions.counted": 6, "outcomes.dead": 1}})
    assert lines == ["tallies.outcomes.dead: the injector sent 1, driftline found 0 (-1)"]


def test_a_missing_field_is_named() -> None:
    (line,) = compare(SUMMARY, {name: value for name, value in AGREEING.items() if name != "late"})
    assert "'late'" in line


def test_the_identity_is_a_finding_not_a_definition() -> None:
    (line,) = compare({**SUMMARY, "events_in": 11}, {**AGREEING, "events_in": 11})
    assert line.startswith("in = counted + late + duplicate + correction + dead does not hold")


def rollout(champion: str | None, phase: str = "steady", *shadows: str) -> dict[str, Any]:
    def route(version: str) -> dict[str, str]:
        return {"version": version, "artifact": "a" * 64}

    return {
        "champion": route(champion) if champion else None,
        "phase": phase,
        "shadows": [route(version) for version in shadows],
    }


def test_the_first_version_is_installed_not_promoted() -> None:
    assert promotions([rollout(None, "none"), rollout("1"), rollout("1")]) == (0, 0)


def test_promotion_and_a_guard_that_ends_well() -> None:
    assert promotions([rollout("1", "shadow", "2"), rollout("2", "guard", "1"), rollout("2")]) == (1, 0)


def test_a_rollback_goes_back_to_the_guarding_version() -> None:
    assert promotions([rollout("1", "shadow", "2"), rollout("2", "guard", "1"), rollout("1")]) == (1, 1)
