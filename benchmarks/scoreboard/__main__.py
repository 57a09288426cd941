"""``python -m benchmarks.scoreboard``: measure everything, write the figures, the page and its pictures."""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from benchmarks.scoreboard import delays, errors, estimates, false_pages, report, year
from benchmarks.scoreboard.worlds import NULLS

SEED = 20_261_121
CACHE = Path("var/cache")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is simulated.

    Attributes:
        models: models per null, each with a reference of its own.
        months: months each is watched.
        streams: numbers of features.
        repeats: of every change.
        slow_windows: windows that slow detectors watch, in the first model of each null.
        events: single errors that river's detectors watch per null.
        permutations: quiet months of real days.
    """

    models: int
    months: int
    streams: tuple[int, ...]
    repeats: int
    slow_windows: int
    events: int
    permutations: int


SIZES = {
    "quick": Size(1, 1, (3,), 2, 0, 5_000, 2),
    "usual": Size(8, 3, (20, 200), 40, 720, 300_000, 60),
    "full": Size(40, 3, (20, 200), 200, 2_880, 3_000_000, 500),
}


def measure(size: Size, workers: int, say: Callable[[str], None]) -> dict[str, Any]:
    """All figures, as benchmarks/scoreboard.json has them; the same for a size on any number of cores."""
    started = time.monotonic()
    with ProcessPoolExecutor(workers, initializer=partial(threadpool_limits, 1)) as pool:
        quiet: list[tuple[str, int, Future[Any]]] = []
        for streams in sorted(size.streams, reverse=True):  # the longest first
            for world in NULLS:
                for model in range(size.models):
                    # 200 streams of everybody else are ten times 20 of them: one month is enough to see it.
                    others = size.months if streams < 100 else int(model == 0)
                    task = pool.submit(
                        false_pages.model,
                        replace(world, streams=streams),
                        SEED + 1_000 * streams + model,
                        size.months,
                        others=others,
                        slow_windows=size.slow_windows if model == 0 and streams < 100 else 0,
                    )
                    quiet.append((world.null, streams, task))
        single: dict[str, Future[Any]] = {
            f"delays {streams}": pool.submit(delays.run, streams, size.repeats, SEED + streams)
            for streams in size.streams
        }
        single |= {
            f"category {streams}": pool.submit(delays.one_category, streams, size.repeats, SEED)
            for streams in size.streams
        }
        single["effect"] = pool.submit(delays.around_the_effect, min(size.streams), size.repeats, SEED)
        quiet_errors = {
            null: pool.submit(errors.false_pages, null, size.models * size.months, size.events, SEED)
            for null in errors.NULLS
        }
        few = max(1, size.repeats // 4)
        single["jumps"] = pool.submit(errors.jumps, few, SEED)
        single["concepts"] = pool.submit(errors.concepts, max(1, few // 2), SEED)
        single["estimates"] = pool.submit(estimates.measure, CACHE, SEED)
        single["permuted"] = pool.submit(year.permuted, CACHE, size.permutations, SEED)
        single["year"] = pool.submit(year.year, CACHE)

        pages = []
        for world in NULLS:
            for streams in size.streams:
                found = [task.result() for name, n, task in quiet if (name, n) == (world.null, streams)]
                pages.append({"null": world.null, "streams": streams, **_gathered(found)})
                rate = pages[-1]["who"]["driftline"]
                say(
                    f"{time.monotonic() - started:5.0f} s  {world.null}, {streams} streams: "
                    f"{rate['pages']:.0f} false pages in {rate['months']:.0f} months"
                )
        results: dict[str, Any] = {"false pages": pages}
        results["quiet errors"] = {}
        for null, watched in quiet_errors.items():
            tally, claim = watched.result()
            results["quiet errors"][null] = {"who": report.rates(tally), "claim": claim}
        for name, task in single.items():
            results[name] = task.result()
            say(f"{time.monotonic() - started:5.0f} s  {name}")
    results["settings"] = asdict(size) | {
        "seed": SEED,
        "seconds": round(time.monotonic() - started),
        "workers": workers,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    return results


def _gathered(models: list[tuple[false_pages.Tally, dict[str, int]]]) -> dict[str, Any]:
    total: false_pages.Tally = {}
    claims: dict[str, int] = {}
    for tally, claimed in models:
        for who, counted in tally.items():
            of = total.setdefault(who, dict.fromkeys(counted, 0.0))
            for name, value in counted.items():
                of[name] += value
        for claim, streams in claimed.items():
            claims[claim] = claims.get(claim, 0) + streams
    return {"who": report.rates(total), "claims": claims}


def main() -> None:
    """Measure false pages a month together with delays, and write benchmarks/scoreboard.json and docs/scoreboard.md."""
    parser = argparse.ArgumentParser(prog="make scoreboard", description=main.__doc__)
    parser.add_argument("--full", action="store_true", help="five times the months and repeats: hours")
    parser.add_argument("--quick", action="store_true", help="a minute, to see that it works; figures mean nothing")
    parser.add_argument("--models", type=int, help="models per null, each watched for three months")
    parser.add_argument("--streams", type=int, nargs="+", help="numbers of features (default: 20 200)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)")
    parser.add_argument(
        "--out", type=Path, default=Path(), help="folder that has benchmarks/ and docs/ (default: here)"
    )
    parser.add_argument("--report-only", action="store_true", help="write the page anew from the figures of last time")
    parser.add_argument("--json", action="store_true", help="print the figures, too")
    given = parser.parse_args()
    figures, docs = given.out / "benchmarks" / "scoreboard.json", given.out / "docs"
    if not given.report_only:
        size = SIZES["full" if given.full else "quick" if given.quick else "usual"]
        size = replace(size, models=given.models or size.models, streams=tuple(given.streams or size.streams))
        results = measure(size, given.workers, lambda line: print(line, file=sys.stderr, flush=True))
        figures.parent.mkdir(parents=True, exist_ok=True)
        figures.write_text(json.dumps(results, indent=1) + "\n")
    elif not figures.exists():
        parser.error(f"there is no {figures} to write a page from: run make scoreboard without --report-only first")
    results = json.loads(figures.read_text())
    report.write(results, docs)
    if given.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
