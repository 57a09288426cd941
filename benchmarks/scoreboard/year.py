"""Real data: quiet months of permuted days, and every page of the year with what a person would say of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_ind
from sklearn.metrics import roc_auc_score

from app.demo.flights import FEATURES
from benchmarks.scoreboard.delays import categorical
from benchmarks.scoreboard.false_pages import rates
from benchmarks.scoreboard.flights import Table, day_means, histograms, model, out_of_sample, table
from benchmarks.scoreboard.worlds import Counts, Floats
from detectors import budget, calibration, effects, evidence, held_out
from detectors.verdict import Insufficient

REFERENCE_DAYS = 31
QUARTER_DAYS = 90
SAME_INCIDENT = 14
"""Days: a page so soon after another one is the same incident to a person."""

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
BUDGET = budget.Budget(1, 30)


@dataclass(frozen=True)
class Judged:
    """One stream over its days.

    Attributes:
        claim: of its reports, or why it does not page.
        alarms: per watched day.
    """

    claim: str
    alarms: NDArray[np.bool_]


def judge_feature(
    name: str, counts: Counts, reference: NDArray[np.int64], watched: NDArray[np.int64], weight: float
) -> Judged:
    """A feature's days (days, bins), judged by a fixed reference of some of them."""
    own, now, number = counts[reference], counts[watched], FEATURES[name] == "number"
    blocks = np.arange(len(reference))
    effect = held_out.design_effect(own, blocks, ordered=number)
    rows = float(own.sum(axis=1).mean())
    if held_out.structurally_variable(rows, effect):
        effective = held_out.effective_rows(rows, effect)
        return Judged(f"structurally variable ({effective:.0f} effective rows)", np.zeros(len(watched), np.bool_))
    expected, whole = held_out.shares(held_out.of_others(own, blocks)), held_out.shares(own.sum(axis=0))
    if number:
        distances, fresh = (held_out.ks(p, held_out.shares(q))[:, None] for p, q in ((expected, own), (whole, now)))
        return _judge(distances, fresh, (effects.KS_EFFECT,), weight)
    return _judge(categorical(expected, own), categorical(whole, now), (effects.CATEGORY_EFFECT,) * 2, weight)


def judge_loss(losses: Floats, reference: NDArray[np.int64], watched: NDArray[np.int64]) -> Judged:
    """A day's mean loss, higher is worse."""
    own = losses[reference]
    others = (own.sum() - own) / (len(own) - 1)
    effect = effects.loss_effect(float(own.mean()))
    weight = budget.SHARES["loss"]
    return _judge((own - others)[:, None], (losses[watched] - own.mean())[:, None], (effect,), weight)


def _judge(own: Floats, fresh: Floats, least: tuple[float, ...], weight: float) -> Judged:
    blocks = np.arange(len(own))
    examined = calibration.examine(own, blocks, effects=least, threshold=BUDGET.of(weight), streams=18)
    scales = []
    for index, effect in enumerate(least):
        scale = calibration.calibrate(own[:, index], blocks, effect=effect, streams=18)
        if isinstance(scale, Insufficient):
            return Judged(f"not enough data: {scale.reason}", np.zeros(len(fresh), np.bool_))
        scales.append(scale)
    factors = calibration.factors(scales, fresh)
    return Judged(examined.claim, evidence.alarms(factors[:, None, :], examined.threshold)[:, 0])


def permuted(folder: Path, repeats: int, seed: int) -> dict[str, Any]:
    """Pages in quiet months: whole days of the first quarter in random order, 60 of reference, 30 watched."""
    flights = table(folder)
    quarter = flights.day < QUARTER_DAYS
    counts = histograms(flights, quarter)
    brier = (out_of_sample(flights, quarter) - flights.late[quarter]) ** 2
    losses = day_means(flights, brier, quarter)
    weight = budget.SHARES["features"] / len(counts)
    rng = np.random.default_rng(seed)
    pages: dict[str, int] = {"labelled loss": 0, **dict.fromkeys(counts, 0)}
    claims: dict[str, str] = {}
    for _ in range(repeats):
        order = rng.permutation(QUARTER_DAYS)
        reference, watched = order[:60], order[60:]
        judged = {"labelled loss": judge_loss(losses, reference, watched)}
        judged |= {name: judge_feature(name, column, reference, watched, weight) for name, column in counts.items()}
        for name, found in judged.items():
            pages[name] += int(found.alarms.sum())
            claims[name] = found.claim
    (rate,) = rates({"all": {"pages": float(sum(pages.values())), "months": float(repeats)}}).values()
    return {"months": repeats, "pages": pages, "claims": claims, "rate": rate}


def year(folder: Path) -> dict[str, Any]:
    """February to December, with January as the reference and a model frozen after it."""
    flights = table(folder)
    january = flights.day < REFERENCE_DAYS
    frozen = model().fit(flights.columns[january], flights.late[january])
    scores = np.empty(len(flights.day))
    scores[january] = out_of_sample(flights, january)
    scores[~january] = frozen.predict_proba(flights.columns[~january])[:, 1]
    losses = day_means(flights, (scores - flights.late) ** 2, np.ones(len(scores), np.bool_))
    days = np.arange(len(losses))
    reference, watched = days[:REFERENCE_DAYS], days[REFERENCE_DAYS:]
    counts = histograms(flights, january)
    weight = budget.SHARES["features"] / len(counts)
    judged = {"labelled loss": judge_loss(losses, reference, watched)}
    judged |= {name: judge_feature(name, column, reference, watched, weight) for name, column in counts.items()}
    harm = losses[reference].mean() + effects.loss_effect(float(losses[reference].mean()))
    return {
        "claims": {name: found.claim for name, found in judged.items()},
        "incidents": incidents(judged, losses, harm),
        "months": _months(flights, scores, losses, judged),
    }


def incidents(judged: Mapping[str, Judged], losses: Floats, harm: float) -> list[dict[str, Any]]:
    """Pages of any stream, gathered; *wanted* is one in whose four weeks the model really was worse than ``harm``."""
    pages = sorted((int(day), name) for name, found in judged.items() for day in np.flatnonzero(found.alarms))
    found: list[dict[str, Any]] = []
    for day, name in pages:
        if not found or day - found[-1]["last"] > SAME_INCIDENT:
            found.append({"first": day, "last": day, "streams": [name]})
        found[-1]["last"] = day
        if name not in found[-1]["streams"]:
            found[-1]["streams"].append(name)
    for incident in found:
        day = incident["first"] + REFERENCE_DAYS
        around = losses[max(0, day - 7) : day + 21]
        incident["date"] = str(np.datetime64("2013-01-01") + day)
        incident["last"] = str(np.datetime64("2013-01-01") + incident["last"] + REFERENCE_DAYS)
        incident["wanted"] = bool(np.nanmean(around) > harm)
        del incident["first"]
    return found


def _months(flights: Table, scores: Floats, losses: Floats, judged: Mapping[str, Judged]) -> list[dict[str, Any]]:
    found = []
    for month, name in enumerate(MONTHS, start=1):
        rows = flights.month == month
        days = np.unique(flights.day[rows])
        own, late = losses[days], float(flights.late[rows].mean())
        watched = days[days >= REFERENCE_DAYS] - REFERENCE_DAYS
        brier = float(((scores[rows] - flights.late[rows]) ** 2).mean())
        test = ttest_ind(own, losses[:REFERENCE_DAYS], equal_var=False, alternative="greater")
        found.append(
            {
                "month": name,
                "late": late,
                "auc": float(roc_auc_score(flights.late[rows], scores[rows])),
                "brier": brier,
                "skill": 1 - brier / (late * (1 - late)),
                "days": float(own.mean()),
                "error": float(own.std(ddof=1) / np.sqrt(len(own))),
                "p": float(test.pvalue),
                "loss pages": int(judged["labelled loss"].alarms[watched].sum()),
                "feature pages": sum(
                    int(found.alarms[watched].sum()) for name, found in judged.items() if name != "labelled loss"
                ),
            }
        )
    return found
