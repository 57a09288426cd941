"""One tick's observations of a stream: what another version does to what was gathered."""

import monitor_world as world
import numpy as np
import pytest
from msgspec.structs import replace

from detectors.sketch import group_performance
from schemas.lifecycle import Claim, PerformanceWindow, StreamReport
from schemas.models import Watch
from schemas.partials import SketchRow
from schemas.spec import AlertSpec
from streams.monitor.alarm_words import Alarm, Furthest
from streams.monitor.alarm_words import worse as told_worse
from streams.monitor.generations import Generation
from streams.monitor.held import Held
from streams.monitor.observing import Observed, matured
from streams.monitor.promises import Promise
from streams.monitor.state import Watched, named
from streams.monitor.watching import MOST_CHANGES, advance
from streams.monitor.words import Measure

LOSS, TEMP = world.calibrated().watched
KEPT: Claim = "within budget on held-out reference"


def windows(watch: Watch, *seen: Observed) -> tuple[Watched, StreamReport]:
    """Where a stream stands after these observations, one a window; it pages at a million."""
    promise = Promise("calibration", watch, 1e6, KEPT, "")
    watched: dict[str, Watched] = {}
    for observed in seen:
        watched, _, _, (report,) = advance(watched, [promise], {watch.stream: observed})
    return watched[watch.stream], report


def worse(window: int, version: str) -> Observed:
    return Observed(window, version, 2 * LOSS.usual, 160)


def test_another_version_begins_the_loss_anew() -> None:
    before, _ = windows(LOSS, worse(1, "1"), worse(2, "1"), worse(3, "1"))
    after, report = windows(LOSS, worse(1, "1"), worse(2, "1"), worse(3, "1"), worse(4, "2"))
    alone, _ = windows(LOSS, worse(4, "2"))
    assert (before.version, before.evidence["n"]) == ("1", 3)
    assert after == alone
    assert (report.version, report.reason) == ("2", "")


@pytest.mark.parametrize("stream", ["score", "estimate", "prediction"])
def test_what_is_usual_of_one_version_rests_while_another_serves_and_says_so(stream: str) -> None:
    watch = replace(TEMP, stream=stream)
    counts = tuple(round(1e4 * share) for share in TEMP.shares[::-1])
    first, second = Observed(1, "1", counts, 160), Observed(2, "2", counts, 160)
    entry, report = windows(watch, first, second)
    assert (entry.version, entry.evidence["n"], report.evidence) == ("1", 0, 0.0)
    assert report.reason == "rests: version 2 serves, and what is usual is of version 1"
    entry, report = windows(watch, first, second, first._replace(window=3))
    assert (entry.version, entry.evidence["n"], report.reason) == ("1", 1, "")


@pytest.mark.parametrize(("labels", "told"), [(60, True), (30, True), (29, False)])
def test_a_window_with_the_labels_that_a_test_asks_for_is_an_observation(labels: int, told: bool) -> None:
    """The reference's own windows had no more, and the band calls nobody where evidence does."""
    reference = replace(world.calibrated(), watched=[replace(LOSS, rows=60.0)])
    generation = Generation.of(world.record(of=reference, alerts=AlertSpec(min_rows=30)))
    window = PerformanceWindow(
        version="1", window_start=1, n=labels, predictions=labels, coverage=1.0, metric="log_loss", loss=0.9,
        metrics={}, low=0.1, high=0.5, verdict="outside" if labels >= 30 else "insufficient",
    )  # fmt: skip
    assert matured(Held(2), generation, window) == ({"loss": Observed(1, "1", 0.9, labels)} if told else {})


@pytest.mark.parametrize(
    ("labels", "of_all", "told"),
    [(80, 160, True), (41, 160, True), (39, 160, False), (39, 120, True)],
)
def test_a_segment_whose_labels_come_later_than_the_others_is_not_judged_by_its_quick_part(
    labels: int, of_all: int, told: bool
) -> None:
    """It usually has half of the labelled rows: below half of that (``min_coverage``) it is a biased part."""
    segment = "origin=JFK"
    watched = [replace(LOSS, rows=160.0), replace(LOSS, rows=80.0, segment=segment)]
    reference = replace(world.calibrated(), watched=watched)
    generation = Generation.of(world.record(of=reference, alerts=AlertSpec(min_rows=30, min_coverage=0.5)))
    truth, zeros = np.arange(labels) % 2, np.zeros(labels, int)
    (pairs,) = group_performance(np.full(labels, 0.4), truth, zeros, 1)
    held = Held(1)
    row = SketchRow(
        1, "matured", "1", segment, 1, "", pairs.n, 0, 0, list(pairs.sums), pairs.minimum, pairs.maximum,
        list(pairs.counts),
    )  # fmt: skip
    held.put([(0, 1, row)])
    window = PerformanceWindow(
        version="1", window_start=1, n=of_all, predictions=of_all, coverage=1.0, metric="log_loss", loss=0.9,
        metrics={}, low=0.1, high=0.5, verdict="outside",
    )  # fmt: skip
    assert (named("loss", segment) in matured(held, generation, window)) == told


@pytest.mark.parametrize(
    ("lasted", "which"),
    [(MOST_CHANGES, f"the {MOST_CHANGES} windows from 1970-01-01"), (200, f"the last {MOST_CHANGES + 1} windows that")],
)
def test_the_words_of_a_long_run_tell_of_the_windows_that_are_remembered(lasted: int, which: str) -> None:
    generation = Generation.of(world.record(of=world.calibrated()))
    factor = 1.01  # of every component, so that it takes long
    scales = [replace(scale, means=[1 / factor] * 2) for scale in LOSS.scales]
    entry, _ = windows(replace(LOSS, scales=scales), *(worse(window, "1") for window in range(1, lasted)))
    promise = Promise("calibration", replace(LOSS, scales=scales), 1.0, KEPT, "")
    paged = advance({"loss": entry}, [promise], {"loss": worse(lasted, "1")}).watched["loss"].paged
    assert paged is not None
    assert paged.since == 1
    alarm = Alarm(generation, LOSS, paged, worse(lasted, "1"), Furthest("change", 1.0, 0.1), 1.0)
    _, text = told_worse(alarm, Measure.of(generation.spec, "log_loss"))
    assert which in text
