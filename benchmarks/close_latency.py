"""``python -m benchmarks.close_latency``: from the last event of a window to its report."""

import time
from typing import Annotated

import numpy as np
import typer

from app import wiring
from benchmarks.events import HOUR_MS, NAMESPACE, START, shapes, truth
from benchmarks.live import Sending, most
from benchmarks.load import LATENESS_MS, Closing, Plan, Sent, declare
from benchmarks.measure import CACHE, ROOT, Cache, Events, Out, Root, Rounds, report, result
from benchmarks.stage import Stage, stages
from benchmarks.world import World, world

EVERY = 10
_POLL_SECONDS = 0.05
_PATIENCE_SECONDS = 120.0
_SHAPE = {"raw_features": False}
_READABLE = """
SELECT model, toUnixTimestamp64Milli(window_end) FROM windows
WHERE namespace = {namespace:String} AND window_end > fromUnixTimestamp64Milli({after:Int64})
"""


def main(
    events: Events = 2_000_000,
    rounds: Rounds = 5,
    models: Annotated[int, typer.Option(min=1, help="Models, whose windows all end at the same times.")] = 20,
    closes: Annotated[int, typer.Option(min=20, help="Windows to close, of all models and rounds together.")] = 320,
    seconds: Annotated[float, typer.Option(min=0.5, help="How long a window of an hour takes.")] = 6.0,
    rate: Annotated[float, typer.Option(help="Events a second; 0: half of what is measured first.")] = 0.0,
    root: Root = ROOT,
    cache: Cache = CACHE,
    out: Out = None,
) -> None:
    """From the last event that moves a watermark past a window's end, to its report's row in ClickHouse's view.

    First --events are sent as fast as one process can, while stages 1 and 2 count them beside it on the same cores.
    Half of the rate at which they are counted is then sent, outcomes of one prediction in ten among it. The instant of
    the last event is the broker's; the view `windows` is asked every 50 ms. A round is as many closes as the others;
    the first close of every model is not among them.
    """
    wiring.configure_logging(quiet=True)
    made = shapes(models, **_SHAPE)
    span = 4 * HOUR_MS
    holds = {"name": "close_latency", "events": events, "models": [repr(shape) for shape in made]}
    wanted = (-(-closes // models) + 1) * models
    # A topic with a live load on it is of one run.
    (root / "close_latency" / "holds.json").unlink(missing_ok=True)
    with world(root / "close_latency", cache, holds, lambda found: declare(found.settings, made)) as running:
        highest = most(running, made, events, span, beside=["monitor"])
        print(f"close_latency: {highest:,.0f} events/s at most", flush=True)
        plan = Plan(
            models=models,
            shape=_SHAPE,
            first=events,
            rate=rate or highest / 2,
            every=EVERY,
            start=START + span + HOUR_MS,
            speed=HOUR_MS / 1000 / seconds,
            width_ms=HOUR_MS,
        )
        sent, closings, readable = _run(running, plan, wanted)
        running.check(made, truth(made, sent.last, EVERY, events))
    after = min(closing.end for closing in closings)
    delays = [
        readable[closing.model, closing.end] - closing.at
        for closing in sorted(closings, key=lambda c: c.end)
        if closing.end > after
    ]
    reached = (sent.last - plan.first + sent.outcomes) / sent.seconds
    print(
        f"close_latency: {len(delays)} closes at {reached:,.0f} events/s; "
        f"the sender was {sent.behind:.2f} s behind at most; the longest took {max(delays) / 1000:.2f} s"
    )
    parts = [part / 1000 for part in np.array_split(np.array(delays), rounds)]
    results = [
        result("close_latency", [float(np.percentile(delays, 99)) / 1000], "s (p99)", events=len(delays)),
        result("close_latency_p50", [float(np.median(part)) for part in parts], "s", events=len(delays)),
        result("close_latency_rate", [reached], "events/s"),
    ]
    report(results, out)


def _run(running: World, plan: Plan, closes: int) -> tuple[Sent, list[Closing], dict[tuple[str, int], float]]:
    """Send until so many windows are closed; then wait until every one can be read. When each was, in ms."""
    aggregate, monitor = Stage(running), Stage(running, "monitor")
    readable: dict[tuple[str, int], float] = {}
    sent: Sent | None = None
    after = plan.start - LATENESS_MS - plan.width_ms
    with stages(aggregate, monitor), Sending(running, plan) as sending:
        deadline = time.monotonic() + closes / plan.models * plan.width_ms / 1000 / plan.speed + _PATIENCE_SECONDS
        while True:
            asked = time.monotonic()
            for model, end in running.warehouse.rows(_READABLE, {"namespace": NAMESPACE, "after": after}):
                readable.setdefault((model, int(end)), time.time() * 1000)
            if sent is None and len(sending.closings) >= closes:
                sent = sending.stop()
            told = all((closing.model, closing.end) in readable for closing in sending.closings)
            if sent is not None and told and aggregate.committed() >= running.ends():
                break
            if asked > deadline:
                raise SystemExit(f"windows do not close; the logs are {running.stack.root}/*.log")
            time.sleep(max(0.0, _POLL_SECONDS - (time.monotonic() - asked)))
    return sent, sending.closings, readable


if __name__ == "__main__":
    typer.run(main)
