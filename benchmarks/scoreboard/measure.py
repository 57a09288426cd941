"""What ``make scoreboard`` measures, in parts that can be measured alone."""

import json
import os
import platform
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from benchmarks.scoreboard import breaks, census, correlations, delays, errors, estimates, false_pages, year
from benchmarks.scoreboard.worlds import NULLS

SEED = 20_261_121
CACHE = Path("var/cache")
PARTS = ("nulls", "delays", "correlations", "errors", "estimates", "year")


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


Jobs = dict[str, "Future[Any]"]


class Measured:
    """The parts of the scoreboard, each of which can be measured alone: what is simulated depends on the seed only.

    Args:
        size: how much is simulated.
        pool: where it is done.
        say: told of what is done.
    """

    def __init__(self, size: Size, pool: ProcessPoolExecutor, say: Callable[[str], None]) -> None:
        self._size, self._pool, self._say = size, pool, say

    def start(self, part: str) -> Callable[[], dict[str, Any]]:
        """Start a part; the answer waits for its figures."""
        begun: Callable[[], dict[str, Any]] = getattr(self, f"_{part}")()
        return begun

    def _nulls(self) -> Callable[[], dict[str, Any]]:
        size = self._size
        quiet: list[tuple[str, int, Future[Any]]] = []
        for streams in sorted(size.streams, reverse=True):  # the longest first
            for world in NULLS:
                for model in range(size.models):
                    # 200 streams of everybody else are ten times 20 of them: one month is enough to see it.
                    others = size.months if streams < 100 else int(model == 0)
                    task = self._pool.submit(
                        false_pages.model,
                        replace(world, streams=streams),
                        SEED + 1_000 * streams + model,
                        size.months,
                        others=others,
                        slow_windows=size.slow_windows if model == 0 and streams < 100 else 0,
                    )
                    quiet.append((world.null, streams, task))

        def gather() -> dict[str, Any]:
            pages = []
            for world in NULLS:
                for streams in size.streams:
                    found = [task.result() for name, n, task in quiet if (name, n) == (world.null, streams)]
                    pages.append({"null": world.null, "streams": streams, **_gathered(found)})
                    rate = pages[-1]["who"]["driftline"]
                    counted = f"{rate['pages']:.0f} false pages in {rate['months']:.0f} months"
                    self._say(f"{world.null}, {streams} streams: {counted}")
            return {"false pages": pages}

        return gather

    def _delays(self) -> Callable[[], dict[str, Any]]:
        size, submit = self._size, self._pool.submit
        jobs: Jobs = {}
        for streams in size.streams:
            jobs[f"delays {streams}"] = submit(delays.run, streams, size.repeats, SEED + streams)
            jobs[f"category {streams}"] = submit(delays.one_category, streams, size.repeats, SEED)
        jobs["effect"] = submit(delays.around_the_effect, min(size.streams), size.repeats, SEED)
        jobs["breaks"] = submit(breaks.delays, size.repeats, SEED)
        quiet = submit(breaks.false_pages, size.models * size.months, SEED)
        return lambda: self._results(jobs) | {"quiet breaks": false_pages.rates(quiet.result())}

    def _correlations(self) -> Callable[[], dict[str, Any]]:
        few = max(1, self._size.repeats // 4)
        jobs = {"correlations": self._pool.submit(correlations.measure, few, SEED)}
        return lambda: self._results(jobs)

    def _errors(self) -> Callable[[], dict[str, Any]]:
        size, submit = self._size, self._pool.submit
        months, few = size.models * size.months, max(1, size.repeats // 4)
        quiet = {null: submit(errors.false_pages, null, months, size.events, SEED) for null in errors.NULLS}
        jobs = {
            "jumps": submit(errors.jumps, few, SEED),
            "concepts": submit(errors.concepts, max(1, few // 2), SEED),
        }

        def gather() -> dict[str, Any]:
            by_null = {}
            for null, watched in quiet.items():
                tally, claim = watched.result()
                by_null[null] = {"who": false_pages.rates(tally), "claim": claim}
            return {"quiet errors": by_null, **self._results(jobs)}

        return gather

    def _estimates(self) -> Callable[[], dict[str, Any]]:
        jobs = {"estimates": self._pool.submit(estimates.measure, CACHE, SEED)}
        return lambda: self._results(jobs)

    def _year(self) -> Callable[[], dict[str, Any]]:
        jobs = {
            "permuted": self._pool.submit(year.permuted, CACHE, self._size.permutations, SEED),
            "year": self._pool.submit(year.year, CACHE),
        }
        return lambda: self._results(jobs)

    def _results(self, jobs: Jobs) -> dict[str, Any]:
        found = {}
        for name, task in jobs.items():
            found[name] = task.result()
            self._say(name)
        return found


def measure(size: Size, workers: int, parts: Collection[str], say: Callable[[str], None]) -> dict[str, Any]:
    """Figures of these parts, as benchmarks/scoreboard.json has them; the same for a size on any number of cores."""
    if "estimates" in parts:
        census.wheel(CACHE)  # before the minutes, not after
    began = time.monotonic()

    def told(line: str) -> None:
        say(f"{time.monotonic() - began:5.0f} s  {line}")

    with ProcessPoolExecutor(workers, initializer=partial(threadpool_limits, 1)) as pool:
        measured = Measured(size, pool, told)
        begun = [measured.start(part) for part in PARTS if part in parts]
        results: dict[str, Any] = {name: figures for gather in begun for name, figures in gather().items()}
    results["settings"] = asdict(size) | {
        "seed": SEED,
        "seconds": round(time.monotonic() - began),
        "workers": workers,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    return results


def same_size(figures: dict[str, Any], size: Size) -> bool:
    """Whether figures that were read from JSON are of this size, so that parts of them can be measured anew."""
    there = {name: figures["settings"].get(name) for name in ("seed", *Size.__slots__)}
    return bool(there == json.loads(json.dumps({"seed": SEED, **asdict(size)})))  # tuples are lists in JSON


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
    return {"who": false_pages.rates(total), "claims": claims}
