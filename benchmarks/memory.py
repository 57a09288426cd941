"""``python -m benchmarks.memory``: what stage 1 keeps resident, and whether that grows."""

import time
from typing import Annotated

import typer
from scipy.stats import theilslopes

from app import wiring
from benchmarks.events import START, shapes, truth
from benchmarks.live import Sending
from benchmarks.load import Plan, declare
from benchmarks.measure import CACHE, ROOT, Cache, Out, Root, report, result
from benchmarks.stage import Stage
from benchmarks.world import world

_LOOK_SECONDS = 1.0
_PATIENCE_SECONDS = 300.0
_SHAPE = {"numbers": 35, "strings": 15, "width": "PT1M", "raw_features": False}


def main(
    minutes: Annotated[float, typer.Option(min=0.2, help="How long; published figures: 10.")] = 10.0,
    warm: Annotated[float, typer.Option(help="Minutes that the slope leaves out, fewer than a third of all.")] = 3.0,
    models: Annotated[int, typer.Option(min=1, help="Each of 50 features in 4 segments.")] = 100,
    rate: Annotated[float, typer.Option(help="Events a second.")] = 5_000.0,
    speed: Annotated[float, typer.Option(help="Seconds of event time in a second; windows are a minute.")] = 3.0,
    cached: Annotated[int, typer.Option(min=1_000, help="DRIFTLINE_CACHE_EVENTS: ids per partition.")] = 100_000,
    events: Annotated[int, typer.Option(hidden=True)] = 0,
    rounds: Annotated[int, typer.Option(hidden=True)] = 1,
    root: Root = ROOT,
    cache: Cache = CACHE,
    out: Out = None,
) -> None:
    """Resident memory of stage 1 under a steady load of many wide models, and its growth (Theil-Sen).

    An event is 1.2 KB of JSON with 35 numbers and 15 strings. The ids that are remembered (--cached, per partition) are
    so many that the memory for them is full before the slope begins; each id more costs what it costs, and the setting
    bounds it. The value is the largest that was seen.
    """
    del events, rounds  # it is time that counts here; `make bench` gives both to everybody
    wiring.configure_logging(quiet=True)
    made = shapes(models, **_SHAPE)
    options = {"DRIFTLINE_CACHE_EVENTS": str(cached)}
    (root / "memory" / "holds.json").unlink(missing_ok=True)
    plan = Plan(models=models, shape=_SHAPE, first=0, rate=rate, start=START, speed=speed)
    resident: list[tuple[float, float]] = []
    with world(root / "memory", cache, {}, lambda found: declare(found.settings, made), options) as running:
        with Stage(running) as stage:
            with Sending(running, plan) as sending:
                while not stage.committed():
                    time.sleep(_LOOK_SECONDS)
                began = time.monotonic()
                while (passed := (time.monotonic() - began) / 60) < minutes:
                    resident.append((passed, stage.sample().resident / 2**20))
                    if len(resident) % 60 == 0:
                        print(f"memory: {passed:.0f} of {minutes:g} minutes, {resident[-1][1]:,.0f} MB", flush=True)
                    time.sleep(_LOOK_SECONDS)
                sent = sending.stop()
            deadline = time.monotonic() + _PATIENCE_SECONDS
            while stage.sample().done < running.ends():
                if time.monotonic() > deadline:
                    raise SystemExit("stage 1 does not keep up with the load: take a lower --rate")
                time.sleep(_LOOK_SECONDS)
        running.check(made, truth(made, sent.last))
    late = [(at, mb) for at, mb in resident if at >= min(warm, minutes / 3)]
    slope = float(theilslopes([mb for _, mb in late], [at for at, _ in late]).slope)
    print(f"memory: {sent.last:,} events; the sender was {sent.behind:.2f} s behind at most")
    results = [
        result("memory", [max(mb for _, mb in resident)], "MB resident", events=sent.last),
        result("memory_slope", [slope], "MB per minute", events=sent.last),
    ]
    report(results, out)


if __name__ == "__main__":
    typer.run(main)
