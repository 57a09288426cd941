"""A measurement counts a real topic with a real process, and has no result when the counts are not the truth."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.aggregate import SPAN, count
from benchmarks.events import shapes, truth
from benchmarks.load import fill
from benchmarks.world import world

EVENTS = 120_000


def test_counts_that_are_not_the_truth_are_no_result(tmp_path: Path, kafka_cache: Path) -> None:
    models = shapes(2)
    expected = truth(models, EVENTS)
    with world(tmp_path / "bench", kafka_cache, {}, lambda found: fill(found, models, EVENTS, SPAN)) as running:
        round_ = count(running, every=0.2)
        assert 0 < round_.events < EVENTS
        running.check(models, expected)
        first = models[0].name
        for wrong in (
            replace(expected[first], events=expected[first].events + 1),
            replace(expected[first], total=expected[first].total + 1),
            replace(expected[first], pairs=1),
        ):
            with pytest.raises(SystemExit, match=f"for 1 of 2 models: {first}"):
                running.check(models, {**expected, first: wrong})
