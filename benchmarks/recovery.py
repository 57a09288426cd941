"""``python -m benchmarks.recovery``: kill an aggregator under load, and wait until another has caught up."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from app import wiring
from benchmarks.events import HOUR_MS, START, Shape, truth
from benchmarks.live import Sending, most
from benchmarks.load import Plan, declare
from benchmarks.measure import CACHE, ROOT, Cache, Events, Out, Root, Rounds, report, result
from benchmarks.stage import Stage
from benchmarks.world import world

WIDTHS = ("P1D", "P30D")
_SPAN = 20 * HOUR_MS
_SETTLE_SECONDS = 5.0
_PATIENCE_SECONDS = 300.0
_LOOK_SECONDS = 0.02

# What is committed is what was counted; so often that a second's lag can be seen in it.
_OPTIONS = {"DRIFTLINE_CHECKPOINT_SECONDS": "0.5"}


class Recovered(NamedTuple):
    """Seconds from the kill to the assignment of a new owner, and from there to within one second of the log."""

    detection: float
    recovery: float


def main(
    events: Events = 2_000_000,
    rounds: Rounds = 5,
    rate: Annotated[float, typer.Option(help="Events a second; 0: half of what is measured first.")] = 0.0,
    root: Root = ROOT,
    cache: Cache = CACHE,
    out: Out = None,
) -> None:
    """From a new owner's assignment to within one second of the log, at half of the measured maximum load.

    --events of history, in one open window, are counted first, while they are sent as fast as one process can on the
    same cores: half of that rate is the load. Then a load process goes on in that window, the aggregator is killed (-9)
    and another one started at once, once a round. Until the group notices that the first is gone (here after 6 s
    without a heartbeat) nobody owns its partitions: that time is the detection, and the events of it are caught up in
    the recovery. A second's worth of the log is as many events as are sent in one.
    """
    wiring.configure_logging(quiet=True)
    found = {width: _measure(width, events, rounds, rate, root, cache) for width in WIDTHS}
    results = [
        result("recovery", [r.recovery for r in found["P1D"]], "s", events=events),
        result("recovery_P30D", [r.recovery for r in found["P30D"]], "s", events=events),
        result("recovery_detection", [r.detection for rs in found.values() for r in rs], "s"),
    ]
    report(results, out)


def _measure(width: str, events: int, rounds: int, rate: float, root: Path, cache: Path) -> list[Recovered]:
    models: Sequence[Shape] = [Shape(width=width, raw_features=False)]
    holds = {"events": events, "models": [repr(shape) for shape in models]}
    folder = root / f"recovery_{width}"
    (folder / "holds.json").unlink(missing_ok=True)
    recovered = []
    # All event times are of one day, and so of one window, which does not end while this is measured.
    with world(folder, cache, holds, lambda found: declare(found.settings, models), _OPTIONS) as running:
        highest = most(running, models, events, _SPAN)
        rate = rate or highest / 2
        plan = Plan(
            models=1,
            shape={"width": width, "raw_features": False},
            first=events,
            rate=rate,
            start=START + _SPAN + HOUR_MS,
        )
        with Stage(running) as stage, Sending(running, plan) as sending:
            for round_ in range(1, rounds + 1):
                _catch_up(stage, rate, folder)
                time.sleep(_SETTLE_SECONDS)
                before = set(stage.members())
                killed = time.monotonic()
                stage.kill()
                stage.start()
                while not (after := stage.members()) or set(after) & before or not all(after.values()):
                    if time.monotonic() - killed > _PATIENCE_SECONDS:
                        raise SystemExit(f"nobody took over; the log is {folder}/aggregate.log")
                    time.sleep(_LOOK_SECONDS)
                assigned = time.monotonic()
                _catch_up(stage, rate, folder)
                recovered.append(Recovered(assigned - killed, time.monotonic() - assigned))
                print(
                    f"recovery, windows of {width}, round {round_} of {rounds}: {recovered[-1].recovery:.1f} s at "
                    f"{rate:,.0f} events/s, after {recovered[-1].detection:.1f} s without an owner"
                )
            sent = sending.stop()
            while stage.sample().done < running.ends():
                time.sleep(_LOOK_SECONDS)
        running.check(models, truth(models, sent.last))
    return recovered


def _catch_up(stage: Stage, rate: float, folder: Path) -> None:
    """Wait until what is not counted yet was sent within the last second."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while stage.lag() > rate:
        if time.monotonic() > deadline:
            raise SystemExit(
                f"stage 1 does not catch up at {rate:,.0f} events/s; take a lower --rate. "
                f"Its log is {folder}/aggregate.log"
            )
        time.sleep(_LOOK_SECONDS)


if __name__ == "__main__":
    typer.run(main)
