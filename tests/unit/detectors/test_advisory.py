"""Advice by river's detectors: a function of the last 500 values, whoever restarts."""

from typing import Any

import numpy as np
import pytest
from river.drift import ADWIN

from detectors.advisory import DETECTORS, LAST, LEAST, Advice, advise
from detectors.sketch import Floats

RNG = np.random.default_rng(4)
QUIET = RNG.normal(5, 0.1, 300)
MOVED = np.concatenate([QUIET, RNG.normal(5.5, 0.1, 100)])


def drifts(values: Floats) -> dict[str, tuple[int, ...]]:
    return {one.detector: one.drifts for one in advise(values)}


def test_a_shift_is_seen_by_all_and_after_it() -> None:
    found = drifts(MOVED)
    assert set(found) == set(DETECTORS)
    for places in found.values():
        assert any(300 <= place < 345 for place in places)
    assert found["adwin"] == tuple(place for place in found["adwin"] if place >= 300)


def test_it_is_rivers_own_word() -> None:
    away = MOVED - np.median(MOVED)
    detector: Any = ADWIN()  # type: ignore[no-untyped-call]
    said = []
    for place, value in enumerate(away / (1.4826 * np.median(np.abs(np.diff(MOVED))) / np.sqrt(2))):
        detector.update(float(value))
        if detector.drift_detected:
            said.append(place)
    assert drifts(MOVED)["adwin"] == tuple(said)


def test_only_the_last_500_count_and_every_restart_says_the_same() -> None:
    """At any window, advice from all values is that of a process which has read back only the last 500."""
    series = np.concatenate([RNG.normal(90, 30, 400), MOVED, MOVED])
    for end in (len(series), len(series) - 37, LAST + 1):
        whole, again = drifts(series[:end]), drifts(series[:end][-LAST:])
        assert whole == {name: tuple(place + end - LAST for place in places) for name, places in again.items()}


def test_the_unit_of_a_quantity_does_not_matter() -> None:
    assert drifts(1e6 * MOVED - 3) == drifts(MOVED)


def test_little_and_nothing_that_moves_give_no_advice() -> None:
    assert advise(np.zeros(LEAST - 1)) == ()
    assert advise(np.full(LEAST, 3.0)) == tuple(Advice(name, ()) for name in DETECTORS)
    with pytest.raises(ValueError, match="finite"):
        advise([1.0, float("nan")])
