"""False pages a month of features while nothing is wrong."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import chi2

from benchmarks.scoreboard import ours, rivers, rules
from benchmarks.scoreboard.worlds import DAY, MIDDLES, MONTH, REFERENCE_DAYS, Counts, Floats, Simulated, World

Tally = dict[str, dict[str, float]]
"""Who -> *pages*, *months* they were counted in, and windows *in alarm*."""


def model(world: World, seed: int, months: int, *, others: int, slow_windows: int) -> tuple[Tally, dict[str, Any]]:
    """One model: a reference of 28 days, then so many quiet months.

    Args:
        world: the null.
        seed: of the model.
        months: months to watch.
        others: how many of them the others watch, too.
        slow_windows: windows the slow detectors watch.

    Returns:
        The tally, and what our reports claim: how many streams are of each claim, and are silent.
    """
    simulated = Simulated(world, seed)
    windows = simulated.counts(REFERENCE_DAYS * DAY)
    streams = [ours.fit(windows[:, stream], world.streams) for stream in range(world.streams)]
    reference = rules.Reference(windows)
    tally: Tally = {
        name: {"pages": 0.0, "months": 0.0, "in alarm": 0.0} for name in ("driftline", *rules.RULES, *rivers.ON_WINDOWS)
    }
    means = []
    for month in range(months):
        counts = simulated.counts(MONTH)
        alarms = ours.alarms(streams, counts, len(windows) + month * MONTH)
        _count(tally, "driftline", float(alarms.sum()), in_alarm=float(alarms.any(axis=1).sum()))
        if month < others:
            for name, rule in rules.RULES.items():
                alarms = rule(reference, counts)
                _count(tally, name, rules.incidents(alarms), in_alarm=float(alarms.any(axis=1).sum()))
            means.append(window_means(windows, counts))
    series = np.concatenate(means) if means else np.empty((0, 0))
    for name, make in rivers.ON_WINDOWS.items() if means else ():
        # 20 streams are enough to know a stream's rate; 200 of them page ten times as often.
        watched = series[:slow_windows, :4] if name in rivers.SLOW else series[:, :20]
        scale = world.streams / watched.shape[1]
        found = sum(len(rivers.pages(make, watched[:, stream].tolist())) for stream in range(watched.shape[1]))
        if len(watched):
            _count(tally, name, found, months=len(watched) / MONTH / scale)
    claims: dict[str, Any] = {}
    for stream in streams:
        claim = "structurally variable: no page" if stream.variable else stream.examined.claim
        claims[claim] = claims.get(claim, 0) + 1
    claims["seasonal slots"] = sum(stream.seasonal is not None for stream in streams)
    return tally, claims


def rates(tally: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Pages a month of each who was counted at all, with the exact 95% interval of a Poisson rate (Garwood 1936)."""
    found = {}
    for who, counted in tally.items():
        pages, months = counted["pages"], counted["months"]
        if months:
            low = float(chi2.ppf(0.025, 2 * pages)) / 2 if pages else 0.0
            high = float(chi2.ppf(0.975, 2 * pages + 2)) / 2
            found[who] = {**counted, "rate": pages / months, "low": low / months, "high": high / months}
    return found


def window_means(reference: Counts, counts: Counts) -> Floats:
    """Mean of each window (windows, streams), in standard deviations of the reference's window means."""
    own, now = (_means(windows) for windows in (reference, counts))
    standard: Floats = (now - own.mean(axis=0)) / own.std(axis=0)
    return standard


def _means(counts: Counts) -> Floats:
    mean: Floats = counts @ MIDDLES / counts.sum(axis=-1)
    return mean


def _count(tally: Tally, name: str, pages: float, *, months: float = 1.0, in_alarm: float = 0.0) -> None:
    tally[name]["pages"] += pages
    tally[name]["months"] += months
    tally[name]["in alarm"] += in_alarm
