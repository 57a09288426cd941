"""What is stored of performance without labels: by hand, by ``detectors.estimate``, and of whose scores."""

from dataclasses import astuple

import monitor_world as world
import numpy as np
import pytest
from msgspec.structs import replace

from detectors.estimate import Calibrated, Estimate, estimate
from schemas.partials import SketchRow
from schemas.spec import AlertSpec
from schemas.tasks import ESTIMATED
from streams.monitor import calibrating, close
from streams.monitor.close import Metric
from streams.monitor.core import ModelMonitor
from streams.monitor.generations import Generation, Generations
from streams.monitor.held import Held
from streams.monitor.state import Scored, State, Watched

DAYS = 8
REFERENCE = world.meaning(world.reference())
GENERATION = Generation.of(world.record(of=REFERENCE, alerts=AlertSpec(min_rows=50)))
METRICS = list(ESTIMATED["binary"])


def held(below: int, above: int, version: str = "1") -> Held:
    """A window from 0 with so many scores in either half, all of them served."""
    counts = [0] * 128
    counts[10], counts[100] = below, above
    n, found = below + above, Held(1)
    score = SketchRow(1, "score", version, "", 0, "", n, 0, 0, [0, 0], None, None, counts)
    tally = SketchRow(1, "tally", version, "", 0, "predictions.served", n, 0, 0, [], None, None, [])
    found.put([(0, 1, score), (0, 1, tally)])
    return found


def by_metric(metrics: list[Metric]) -> dict[str, float | None]:
    return {metric.metric: metric.value for metric in metrics}


def test_by_hand() -> None:
    """Of 60 scores in the lower half 12 are positive, of 40 in the upper 36."""
    found = list(close.expected(held(60, 40), GENERATION, 0, "1"))
    assert {metric[:6] + metric[8:] for metric in found} == {(1, 0, "estimate", "1", "", "", 100, None, 0)}
    assert list(by_metric(found)) == METRICS
    pairs = 48 * 52
    assert list(by_metric(found).values()) == pytest.approx(
        [(48 + 36) / 100, 36 / 40, 36 / 48, 72 / (72 + 4 + 12), (12 * 48 / 2 + 36 * (48 + 4 / 2)) / pairs]
    )


@pytest.mark.parametrize(("below", "above"), [(20, 29), (0, 0)])
def test_too_few_rows_say_so(below: int, above: int) -> None:
    found = list(close.expected(held(below, above), GENERATION, 0, "1"))
    assert by_metric(found) == dict.fromkeys(METRICS)
    assert {metric.n for metric in found} == {below + above}


def test_what_is_not_defined_is_null_and_the_rest_is_not() -> None:
    found = by_metric(list(close.expected(held(100, 0), GENERATION, 0, "1")))
    assert found["precision"] is None
    assert found["accuracy"] == pytest.approx(0.8)


def test_nothing_is_said_of_who_did_not_answer_or_without_a_calibration() -> None:
    assert list(close.expected(held(60, 40), GENERATION, 0, "2")) == []
    assert list(close.expected(held(60, 40), Generation.of(world.record()), 0, "1")) == []


def days(*versions: tuple[str, ...]) -> list[list[Metric]]:
    """The estimates of each day; the first of a day's versions serves, the others shadow it."""
    aggregators = [world.Aggregator(partition, REFERENCE) for partition in (0, 1)]
    generations = Generations.of([world.record(of=REFERENCE)])
    monitor = ModelMonitor(world.NAMESPACE, world.MODEL, Held(2))
    found = []
    for day, those in enumerate(versions):
        for aggregator in aggregators:
            aggregator.versions = those
            for message in aggregator.day(day):
                monitor.apply(message)
        while (start := monitor.due(generations)) is not None:
            tick = monitor.tick(start, generations)
            found.append([metric for metric in tick.metrics if metric.view == "estimate"])
    return found


def test_each_window_has_what_its_scores_say() -> None:
    for day, metrics in enumerate(days(*[("1",)] * DAYS)):
        scores = np.concatenate([world.rows(day, partition).scores for partition in (0, 1)])
        counts = np.bincount((scores * 128).astype(int), minlength=128)
        expected = estimate(Calibrated((0, 64), (0.2, 0.9)), counts)
        assert isinstance(expected, Estimate)
        assert [(metric.window_start, metric.version, metric.n) for metric in metrics] == [
            (world.START + day * world.DAY, "1", expected.n)
        ] * len(METRICS)
        n, accuracy, _, *others = astuple(expected)
        assert [metric.value for metric in metrics] == [accuracy, *others]
        assert n == 2 * world.ROWS


def test_another_versions_scores_are_not_read_as_those_of_the_reference() -> None:
    served = [("1",)] * 3 + [("2", "1")] * 2 + [("2",)] * 2 + [("1", "2")]
    found = days(*served)
    whose = [{metric.version for metric in metrics} for metrics in found]
    assert whose == [{"1"}] * 5 + [set()] * 2 + [{"1"}]


def test_who_leads_in_the_first_window_with_enough_rows_is_whose_scores_they_are() -> None:
    before = State(first=0, at=0)
    assert calibrating.scored(before, held(20, 29), GENERATION, 0) is None
    first = calibrating.scored(before, held(60, 40, "2"), GENERATION, 0)
    assert first == Scored(GENERATION.calibrated, "2")
    assert calibrating.scored(replace(before, scored=first), held(60, 40, "3"), GENERATION, 0) == first
    another = replace(before, scored=Scored("another", "2"))
    assert calibrating.scored(another, held(60, 40, "3"), GENERATION, 0) == Scored(GENERATION.calibrated, "3")
    assert calibrating.scored(replace(before, scored=first), held(60, 40), Generation.of(world.record()), 0) is None


def test_a_state_of_an_older_driftline_knows_it_of_the_stream() -> None:
    watch = replace(world.calibrated().watched[0], stream="estimate")
    generation = Generation.of(world.record(of=replace(REFERENCE, watched=[watch])))
    ((name, _),) = generation.watches
    entry = Watched(name, "1", {}, [0])
    before = State(first=0, at=0, watched={"estimate": entry})
    assert calibrating.scored(before, held(60, 40, "2"), generation, 0) == Scored(generation.calibrated, "1")
    stale = replace(before, watched={"estimate": replace(entry, watch="of another reference")})
    assert calibrating.scored(stale, held(60, 40, "2"), generation, 0) == Scored(generation.calibrated, "2")
