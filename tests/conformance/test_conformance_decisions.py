"""Every detector that remembers: the same input decides the same, and saving it anywhere on the way changes nothing.

One table of detectors; a new one is a new line. What is saved is JSON, as columns of ``reports`` and ``rollouts`` have
it. The monitor as a whole is held to the same laws, with kills and interleavings, by ``test_monitor_core``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import monitor_world as world
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import evidence, gate
from detectors.evidence import Evidence
from detectors.gate import GatePolicy, Wealth
from schemas.lifecycle import PerformanceWindow
from schemas.spec import AlertSpec
from streams.monitor import conditions, rules
from streams.monitor.close import Metric
from streams.monitor.generations import Generation
from streams.monitor.observing import Observed
from streams.monitor.promises import Promise
from streams.monitor.state import RuleRun, Run, Watched
from streams.monitor.watching import advance

PLAIN = Generation.of(world.record())
RULED = Generation.of(world.record(alerts=AlertSpec(rules=("labelled.log_loss > 0.5 for 2 windows",))))
BETTER = GatePolicy(margin=0.0, bound=0.5, bets=(0.1, 0.5, 0.9), min_windows=2)
WORSE = GatePolicy(margin=0.1, bound=0.3, bets=(0.2, 0.4), alpha=0.1, direction="worse")


@dataclass(frozen=True)
class Remembering:
    """A detector with a memory; a value is the loss (difference) of one window, or None for too little data."""

    name: str
    start: Any
    step: Callable[[Any, float | None, int], Any]
    decided: Callable[[Any], object]
    kind: Any


def window(value: float | None, number: int) -> PerformanceWindow:
    verdict = "insufficient" if value is None else "outside"
    return PerformanceWindow("1", number * world.DAY, 140, 160, 0.9, "log_loss", value, {}, 0.1, 0.4, verdict)  # type: ignore[arg-type]


def band_run(run: Run | None, value: float | None, number: int) -> Run | None:
    return conditions.advance(run, window(value, number), PLAIN)


def rule_run(runs: dict[str, RuleRun], value: float | None, number: int) -> dict[str, RuleRun]:
    start = number * world.DAY
    metrics = [Metric(1, start, "tested", "1", "", "", "log_loss", value, 140, 0.9)]
    after, _ = rules.judge(runs, RULED, metrics, window=start, served="1", mature=start, tested_by="1")
    return after


def bet(policy: GatePolicy) -> Callable[[Wealth, float | None, int], Wealth]:
    return lambda wealth, value, _: wealth if value is None else gate.step(policy, wealth, value)


def e_sr(before: Evidence, value: float | None, _: int) -> Evidence:
    """Two bets on a score in [0, 1] whose mean is at most a half while nothing is wrong."""
    if value is None:
        return before
    score = (value + 2) / 4
    return evidence.step(before, [1 + bet / 0.5 * (score - 0.5) for bet in (0.2, 0.9)], 30.0).evidence


LOSS, _ = world.calibrated().watched
PROMISE = Promise("calibration", LOSS, 30.0, "within budget on held-out reference", "")


def watched(before: dict[str, Watched], value: float | None, number: int) -> dict[str, Watched]:
    """The labelled loss as the monitor watches it, with what a report keeps of it."""
    observed = None if value is None else Observed(number * world.DAY, "1", LOSS.usual + value, 160)
    return advance(before, [PROMISE], {} if observed is None else {"loss": observed}).watched


DETECTORS = [
    Remembering(
        "a watched stream, with its latch",
        {},
        watched,
        lambda state: [stream for stream, entry in state.items() if entry.paged is not None],
        dict[str, Watched],
    ),
    Remembering("labelled loss above its band", None, band_run, lambda run: run and run.windows >= 2, Run | None),
    Remembering("an owner's rule", {}, rule_run, lambda runs: sorted(runs.items()), dict[str, RuleRun]),
    Remembering("gate, better", gate.start(BETTER), bet(BETTER), lambda wealth: gate.decided(BETTER, wealth), Wealth),
    Remembering("e-detector", evidence.start(2), e_sr, lambda state: state.alarms, Evidence),
    Remembering("gate, worse", gate.start(WORSE), bet(WORSE), lambda wealth: gate.decided(WORSE, wealth), Wealth),
]
every = pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
windows = st.lists(st.none() | st.floats(-2, 2), max_size=40)


def decisions(
    detector: Remembering, values: Sequence[float | None], saved: Sequence[int] = ()
) -> list[tuple[object, bytes]]:
    """What is decided after each window; before the windows of ``saved`` the process ends, and another goes on."""
    state, found = detector.start, list[tuple[object, bytes]]()
    for number, value in enumerate(values):
        if number in saved:
            state = msgspec.json.decode(msgspec.json.encode(state), type=detector.kind)
        state = detector.step(state, value, number)
        found.append((detector.decided(state), msgspec.json.encode(state)))
    return found


@every
@settings(max_examples=60)
@given(values=windows, data=st.data())
def test_a_restart_anywhere_changes_no_decision_and_no_byte(
    detector: Remembering, values: list[float | None], data: st.DataObject
) -> None:
    saved = data.draw(st.lists(st.integers(0, len(values))))
    assert decisions(detector, values, saved) == decisions(detector, values)


@every
def test_it_decides_something_on_one_stream_and_nothing_on_another(detector: Remembering) -> None:
    """Otherwise the laws above would hold of a detector that never fires."""
    streams: list[list[float | None]] = [[1.9] * 30, [-1.9] * 30]
    quiet, loud = sorted(any(bool(d) for d, _ in decisions(detector, stream)) for stream in streams)
    assert (quiet, loud) == (False, True)


@pytest.mark.parametrize("policy", [BETTER, WORSE], ids=["better", "worse"])
@given(values=st.lists(st.floats(-2, 2), min_size=1, max_size=40))
def test_the_order_of_windows_changes_when_a_gate_decides_and_not_what_it_knows(
    policy: GatePolicy, values: list[float]
) -> None:
    def known(told: Sequence[float]) -> Wealth:
        wealth = gate.start(policy)
        for value in told:
            wealth = gate.step(policy, wealth, value)
        return wealth

    there, back = known(values), known(values[::-1])
    assert gate.log_e_value(there) == pytest.approx(gate.log_e_value(back), abs=1e-9)
    assert (there.n, there.n_clipped) == (back.n, back.n_clipped)
