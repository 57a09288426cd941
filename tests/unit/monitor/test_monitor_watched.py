"""A reference as it is built from rows watches the windows as stage 1 counts them: every stream has observations."""

import monitor_world as world
import numpy as np
import pyarrow as pa
import pytest

from retrain.baseline import build_reference
from schemas.lifecycle import Report
from schemas.models import Reference
from schemas.spec import AlertSpec, RetrainingSpec
from streams.monitor import queries
from streams.monitor.core import ModelMonitor, Tick
from streams.monitor.generations import Generations
from streams.monitor.held import Held
from streams.monitor.promises import NOT_SEEN
from streams.monitor.state import named

DAYS = 20
REFERENCE_DAYS = 60
SPEC = world.spec(alerts=AlertSpec(min_rows=50), retraining=RetrainingSpec(enabled=False))


def built() -> Reference:
    """From the rows of sixty days, as a registration or a first training makes it."""
    parts = [(-day, world.rows(-day, p)) for day in range(REFERENCE_DAYS, 0, -1) for p in (0, 1)]
    starts = np.repeat([world.START + day * world.DAY for day, _ in parts], world.ROWS)

    def column(name: str) -> np.ndarray:
        return np.concatenate([getattr(d, name) for _, d in parts])

    return build_reference(
        SPEC,
        event_time=starts,
        features={"temp": pa.array(column("temp")), "origin": pa.array([o for _, d in parts for o in d.origin])},
        segments={"origin": pa.array([o for _, d in parts for o in d.origin])},
        scores={"late": pa.array(column("scores"))},
        label=pa.array(["late" if label else "not" for label in column("labels")]),
        latency_ms=pa.array(column("latency")),
    )


@pytest.fixture(scope="module")
def reference() -> Reference:
    return built()


def run(of: Reference, faults: world.Faults | None = None) -> tuple[list[Tick], ModelMonitor]:
    generations = Generations.of([world.record(of=of, alerts=SPEC.alerts, retraining=SPEC.retraining)])
    monitor = ModelMonitor(world.NAMESPACE, world.MODEL, Held(2))
    found = []
    for message in world.in_turn(world.stream(DAYS, faults=faults, of=of)):
        monitor.apply(message)
        while (start := monitor.due(generations)) is not None:
            found.append(monitor.tick(start, generations))
    return found, monitor


def reports(of: Reference, faults: world.Faults | None = None) -> tuple[list[Report], ModelMonitor]:
    ticks, monitor = run(of, faults)
    return [tick.report for tick in ticks], monitor


def test_every_stream_is_observed_in_every_window_and_none_pages(reference: Reference) -> None:
    found, monitor = reports(reference)
    streams = {(stream.stream, stream.segment): stream for stream in found[-1].streams}
    whole = {stream for stream, segment in streams if not segment}
    assert whole == {"loss", "estimate", "score", "latency", "feature.temp", "feature.origin"}
    assert {who for who in streams if who[1]} == {("loss", "origin=EWR"), ("loss", "origin=JFK")}
    assert monitor.state is not None
    windows = {name: entry.evidence["n"] for name, entry in monitor.state.watched.items()}
    assert windows == {
        named(*who): DAYS - (who[0] == "loss") for who, one in streams.items() if one.threshold is not None
    }
    assert {"loss", "score", "feature.temp", named("loss", "origin=JFK")} <= windows.keys()
    assert streams["loss", "origin=EWR"].reason == NOT_SEEN, "no label of it ever came"
    assert not any(report.incident for report in found)


@pytest.mark.parametrize(
    ("faults", "kinds"),
    [
        (world.Faults(slow=range(8, DAYS)), {"latency"}),
        (world.Faults(warm=range(8, DAYS)), {"drift"}),
        (world.Faults(bad=range(8, DAYS)), {"labelled_loss", "score"}),
    ],
)
def test_what_goes_wrong_is_what_pages(reference: Reference, faults: world.Faults, kinds: set[str]) -> None:
    found, _ = reports(reference, faults)
    last = found[-1].incident
    assert last is not None
    assert {condition.kind for condition in last.conditions} == kinds
    assert all(condition.since == world.START + 8 * world.DAY for condition in last.conditions)
    opened = [report for report in found if report.incident is not None and report.incident.opened == report.at]
    assert len(opened) == 1


def test_an_estimate_that_pages_tells_the_accuracy_that_is_stored(reference: Reference) -> None:
    ticks, _ = run(reference, world.Faults(unsure=range(8, DAYS)))
    last = ticks[-1].report.incident
    assert last is not None
    (estimate,) = [condition for condition in last.conditions if condition.kind == "estimate"]
    assert (estimate.metric, estimate.since) == ("accuracy", world.START + 8 * world.DAY)
    # Usually some three quarters of the answers are right; of scores about .41, three fifths.
    assert estimate.value == pytest.approx(0.59, abs=0.03)
    assert estimate.value < estimate.limit < 0.75
    assert f"expected to be wrong in {1 - estimate.value:.2%} of" in estimate.text
    stored = {
        metric.window_start: metric.value
        for tick in ticks
        for metric in tick.metrics
        if (metric.view, metric.segment, metric.metric) == ("estimate", "", "accuracy")
    }
    assert len(stored) == DAYS
    assert stored[estimate.last] == pytest.approx(estimate.value, abs=1e-12)
    assert "view = 'estimate' AND segment = '' AND metric = 'accuracy' ORDER" in queries.numbers("", estimate)


def test_an_estimate_that_labels_contradict_gives_its_weight_to_them(reference: Reference) -> None:
    before, _ = reports(reference)
    ticks, monitor = run(reference, world.Faults(bad=range(8, DAYS)))
    after = [tick.report for tick in ticks]
    (kept,) = [stream for stream in before[-1].streams if stream.stream == "estimate"]
    (lost,) = [stream for stream in after[-1].streams if stream.stream == "estimate"]
    assert kept.threshold is not None
    assert lost.threshold is None
    assert lost.reason.startswith("matured labels say that scores do not mean what they meant in the reference")
    thresholds = [next(s.threshold for s in r.streams if s.stream == "loss") for r in after]
    assert thresholds[0] == pytest.approx(30 / 0.45)
    assert thresholds[-1] == pytest.approx(30 / 0.55)
    assert monitor.state is not None
    assert monitor.state.matured is not None
    assert sum(monitor.state.matured.rows) == (DAYS - 1) * 140
    for tick in ticks:
        watched = next(stream for stream in tick.report.streams if stream.stream == "estimate").threshold is not None
        assert any(metric.view == "estimate" for metric in tick.metrics) == watched, "what is wrong is not stored"
