"""The sentences of docs/scoreboard.md, and what is computed for them: targets, and where driftline loses."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.scoreboard import estimates
from benchmarks.scoreboard.errors import WINDOW
from benchmarks.scoreboard.worlds import MANY
from benchmarks.scoreboard.year import BUDGET, MONTHS, QUARTER_DAYS
from detectors.budget import SHARES
from detectors.effects import loss_effect

Row = tuple[str, str, str, bool]
"""What, target, measured, whether it holds."""

OURS = "driftline"
MISSED = "**does not hold**"
NO_WORSE = 0.05
"""A ratio so much above that of 512 groups still counts as no worse: an allowance, and no test."""

MUST_HOLD_NULLS = ("iid", "overdispersed", "seasonal", "rho .5")
"""Nulls under which a page a month is promised; under the others a report says *estimated, dependence high*."""

HEAD = """# Scoreboard

What makes people turn a monitor off is alarms. This page counts false pages a month **together with** delays at the
same thresholds: either alone is worth nothing. Written by `make scoreboard` (seed {seed}, up to {models} models x
{months} months per null, {repeats} repeats per change; {took}); do not edit it.
The figures are in [benchmarks/scoreboard.json](../benchmarks/scoreboard.json).

The budget is one false page a month per model of 15-minute windows: the only number an owner sets. Here are the
detectors in `detectors/` as the default weights use them, alone on simulated and on real windows; the monitor pages by
them ([ADR 16](adr/0016-pages-by-budget.md), [incidents.md](incidents.md)).

![False pages and delay at the same threshold](scoreboard-tradeoff.png)
"""

LOSE = """
## Where driftline loses

{lost}
- A correlation that changes while every feature keeps its distribution is invisible to the monitor: no stream looks at
  two features at once (`driftline check --together` does, and pages nobody; below).
- The labelled error is judged here with seasonal slots where they explain the days (`benchmarks/scoreboard/errors.py`).
  The monitor has none for losses yet: it holds each window against all days, and a model that is worse every night or
  every weekend may page for it ([ADR 24](adr/0024-what-appears-has-a-share.md)).
- After a promotion nothing that a model answers is watched without labels: estimate, scores and predicted classes, a
  fifth of the budget, rest until somebody builds a reference of the new version's rows ([reference.md](reference.md)).
  Features, labelled loss and latency go on.
- Below the minimum effect nothing pages, at any number of rows and for any length of time. That is meant, and it is a
  loss to whom .05 standard deviations matter.
- A null is about last month. No row of this page proves that next month is like it, so no report says "guaranteed".
"""

FALSE_PAGES = """Nothing is wrong; every page is false. In brackets the 95% interval of a Poisson rate.
*overdispersed*: the level of each window wanders by .05 sd, 5,000 rows; *seasonal*: ± .15 sd over the day; *rho*: the
level of .05 sd is autocorrelated from window to window; 1,000 rows but where said. driftline resets and counts every
alarm; a rule that stays in alarm is counted once per run of windows, with the share of windows it is in alarm beside
it: few pages at 100% of windows are a rule that nobody can listen to. *tuned*: one number changed by hand, knowing
the iid null.
"""

DELAYS = """From the change to the first page, 1 is at once; missed after {after} windows. A rule that is in alarm half
of the time anyway is quick: read it beside its false pages.
"""

CATEGORY = "\nOne of ten categories gains .05 of all rows: driftline pages after {median:g} windows (worst {worst}).\n"

CORRELATIONS = """Every two of 20 features have a correlation of .5; then some share nothing with the others any more,
and each keeps its own distribution. `driftline check --together` holds a window of 1,000 rows against 28,000 by the
reconstruction error of their principal components (`detectors/together.py`). The monitor has no such stream.
"""

BREAKS = """What breaks at once is for the hard rules (`detectors/quality.py`), which compare a window's rates with the
worst of the reference's own windows: a score that is bounded, as all the others here are, needs three windows at least.
1,000 rows; in the quiet months 5% of the rows have no value, on some days 10%.
"""

ERRORS = """Error rate .10, driftline in windows of 500 events, river's detectors by single events (1 = wrong), a
month is 1.44 million events. FHDDM of the installed release behaves opposite to its docstring; it is fed both ways.
"""

ERROR_DELAYS = """
From a jump of the error rate to the page, **in events** (driftline decides at the end of a window, so 1,500 are three
windows); missed after {watched:,} events:
"""

ESTIMATES = """Confidence-based performance estimation: mean error of the estimate over 41 chunks, relative to assuming
that the reference's value still holds; below 1 is a gain. *census*: employment in Massachusetts (American Community
Survey), a model's scores and labels of 2015 as the reference, chunks of 5,000 people of 2016-2018 in their order.
*flights by covariates*: a random third of the year in chunks of one hour and airport. *flights by time*: the year after
January, in which lateness itself changes: concept drift, to which it is blind by construction. *by chance* is what an
estimate would err by whose every probability is right: labels scatter. No method gets below it. A mean error counts as
no worse than that of 512 groups if it is at most .05 above it.
"""

YEAR = """Daily windows, January is the reference, the model is frozen after it. An incident gathers pages at most 14
days apart; a person would want it if the model's Brier score in the four weeks around it was worse than January's by
the minimum effect. This is the detectors alone on the data; the whole circle's incidents, retraining included, are in
the demo's report. *Skill* is 1 - Brier / that of the month's own rate given as every answer: a month may be harder
without the model being worse. *p* is a one-sided t-test (Welch) of the month's days against January's, which knows
beforehand where the month begins and ends: a detector knows neither.

![Pages by month](scoreboard-year.png)
"""

METHOD = """
## How

- `benchmarks/scoreboard/worlds.py` simulates counts in 32 bins of equal mass (Poisson; of 200 features rounded
  normals, for speed); everybody judges the same counts. Distances at bin edges are a little smaller than exact ones,
  which favours the other rules in false pages and costs them delay.
- Rules of other tools are re-implemented from their documentation (`rules.py`), not run: Evidently's default for
  references above 1,000 rows (Wasserstein distance of .1 standard deviations; dataset drift at half of the columns),
  Alibi Detect's `KSDrift` (p < .05, Bonferroni over features), NannyML's `UnivariateDriftCalculator` (Jensen-Shannon
  above .1; KS above mean + 3 sd of the reference's chunks).
- river's detectors are run as installed, on the mean of each window in standard deviations of the reference's
  windows, and on single errors. KSWIN takes 1.5 ms an update and so watches fewer windows. With 200 features the
  others are counted for one month only.
- driftline: KS and W1 of each feature against a fixed reference of 28 days, or seasonal slots where they explain at
  least half of what days differ; calibrated on held-out days (weeks for slots); see `detectors/calibration.py` and
  [ADR 13](adr/0013-a-budget-of-false-pages.md).
"""


def head(settings: Mapping[str, Any]) -> str:
    """The beginning of the page, with what it took where all of it was measured at once."""
    took = "measured in parts"
    if settings["seconds"] is not None:
        took = "{seconds} s with {workers} processes on {cores} cores".format(**settings)
    return HEAD.format(**settings, took=took)


def targets(results: Mapping[str, Any]) -> list[list[str]]:
    """Rows: what, target, measured, whether it holds."""
    rows = [*_quiet(results), *_changes(results), *_estimates(results["estimates"])]
    return [[what, target, measured, "holds" if holds else MISSED] for what, target, measured, holds in rows]


def _quiet(results: Mapping[str, Any]) -> Iterator[Row]:
    for world in results["false pages"]:
        own = world["who"][OURS]
        what = f"false pages a month: {world['null']}, {world['streams']} features"
        measured = _rate(own)
        if world["null"] in MUST_HOLD_NULLS:
            yield what, "upper limit ≤ 1", measured, own["high"] <= 1
        else:
            honest = sum(n for claim, n in world["claims"].items() if claim == "estimated, dependence high")
            streams = sum(n for claim, n in world["claims"].items() if claim != "seasonal slots")
            measured += f"; {honest} of {streams} streams say *estimated, dependence high*"
            yield what, "the honest label", measured, own["rate"] <= 1 or honest >= 0.9 * streams
    rules = results["quiet breaks"][OURS]
    yield "false pages a month: hard rules, 20 features", "upper limit ≤ 1", _rate(rules), rules["high"] <= 1
    for null, found in results["quiet errors"].items():
        own = found["who"][OURS]
        yield f"false pages a month: labelled error, {null}", "upper limit ≤ 1", _rate(own), own["high"] <= 1
    real = results["permuted"]["rate"]
    what = "false pages a month: flights, days permuted, 18 streams"
    measured = f"{_rate(real)}; the interval is too narrow: all months are of the same {QUARTER_DAYS} days"
    yield what, "upper limit ≤ 1", measured, real["high"] <= 1


def _changes(results: Mapping[str, Any]) -> Iterator[Row]:
    for streams in results["settings"]["streams"]:
        found = results[f"delays {streams}"]
        shifts = (("mean .2 sd", 5), ("mean .5 sd", 4)) if streams < MANY else (("mean .5 sd", 5),)
        for shift, limit in shifts:
            delay = float(median(found[shift][OURS]))
            yield f"{shift}, one of {streams} features", f"≤ {limit} windows", f"{delay:g}", delay <= limit
    worst = {name: max(delays) for name, delays in results["breaks"].items()}
    late = [name for name, delay in worst.items() if delay > 1]
    yield f"total break ({', '.join(worst)})", "1 window", ", ".join(late) or "1", not late
    jump = float(median(results["jumps"]["error 0.1 to 0.2"][OURS])) / WINDOW
    yield "error .10 to .20", "≤ 3 windows of 500", f"{jump:g}", jump <= 3
    effect = results["effect"]
    pages, windows = effect["pages at .8"], effect["windows"]
    measured = f"{pages} (KS p < .05: {effect['windows with KS p < .05 at .8']:,} windows)"
    yield f".8 of the minimum effect, 1M rows, {windows:,} windows", "0 pages", measured, pages == 0
    longest = int(max(effect["delays at 2"]))
    yield "twice the minimum effect, 1M rows", "≤ 10 windows", f"{longest} at worst", longest <= 10


def _estimates(found: Mapping[str, Any]) -> Iterator[Row]:
    for data in (estimates.CENSUS, estimates.COVARIATES):
        coarse, fine, chance = (found[data][how] for how in ("32 groups", f"{estimates.FINE} groups", "by chance"))
        for metric, most in (("accuracy", 0.6), ("precision", 0.6), ("auc", 0.6), ("recall", 0.3), ("f1", 0.3)):
            error = f"{coarse[metric]:.2f} (512 groups: {fine[metric]:.2f}; by chance alone: {chance[metric]:.2f})"
            good = coarse[metric] <= most and coarse[metric] <= fine[metric] + NO_WORSE
            target = f"≤ {most}, and at most {NO_WORSE} above 512 groups"
            yield f"without labels, {data}: error of {metric} to a constant guess", target, error, good


def _rate(found: Mapping[str, float]) -> str:
    return f"{found['rate']:.2f} ({found['low']:.2f}-{found['high']:.2f})"


def lost(results: Mapping[str, Any]) -> Iterator[str]:
    """Sentences on targets that do not hold, and on who is faster without paging more."""
    for what, target, measured, verdict in targets(results):
        if verdict == MISSED:
            yield f"{what}: {measured}; the target is {target}."
    yield from _unreachable(results["estimates"])
    yield from _coarser(results["estimates"])
    streams = min(results["settings"]["streams"])
    worlds = [found for found in results["false pages"] if found["streams"] == streams]
    for shift, delays in results[f"delays {streams}"].items():
        own = median(delays[OURS])
        faster = [
            f"{who} ({median(theirs):g})"
            for who, theirs in delays.items()
            if median(theirs) < own and _within_budget(worlds, who)
        ]
        if faster:
            yield (
                f"{shift}: {'missed' if own > 100 else f'{own:g} windows'}; faster, and at most a false page a month "
                f"under {', '.join(MUST_HOLD_NULLS)} here: {', '.join(faster)}."
            )
    yield from _not_paged(results["year"]["months"])
    jump = results["jumps"]["error 0.1 to 0.2"]
    own_error = median(jump[OURS])
    faster_errors = [f"{who} ({median(theirs):g})" for who, theirs in jump.items() if median(theirs) < own_error]
    yield (
        f"error .10 to .20: {own_error:g} events; by single events, whatever they page when nothing is wrong: "
        f"{', '.join(faster_errors) or 'nobody'}. A window has to end, and three are the least."
    )


def _unreachable(found: Mapping[str, Any]) -> Iterator[str]:
    """Why precision on the flights cannot be told, if chance alone is beyond the target."""
    chance = found[estimates.COVARIATES]["by chance"]["precision"]
    if chance > 0.6:
        yield (
            f"the precision of the flights cannot be told by anybody: at the threshold of .5 many chunks hold a few "
            f"dozen predicted positives, so that labels drawn by the right probabilities already err {chance:.2f} of "
            f"what a constant guess does. On the census each chunk has thousands."
        )


def _coarser(found: Mapping[str, Any]) -> Iterator[str]:
    """Where 32 groups err more than 512, however little."""
    for data in (estimates.CENSUS, estimates.COVARIATES):
        coarse, fine = found[data]["32 groups"], found[data][f"{estimates.FINE} groups"]
        worse = {metric: coarse[metric] - fine[metric] for metric in coarse if coarse[metric] > fine[metric]}
        if worse:
            most = max(worse.values())
            yield (
                f"without labels, {data}: 32 groups err more than 512 in {', '.join(worse)}, by {most:.3f} at most; "
                f"up to {NO_WORSE} counts as no worse on this page."
            )


def _not_paged(months: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Months of real harm without a page of the labelled loss; the first month is the reference."""
    first, usual = months[0]["month"], months[0]["brier"]
    worse = [month for month in months[1:] if month["brier"] > usual + loss_effect(usual)]
    missed = [month["month"] for month in worse if not month["loss pages"]]
    if not missed:
        return
    level = 1 / BUDGET.of(SHARES["loss"])
    clear = [month["month"] for month in worse if month["p"] <= level]
    yield (
        f"a year of flights by daily windows: the frozen model was worse than in {first} by the minimum "
        f"effect in {len(worse)} months, and the labelled loss paged in {len(worse) - len(missed)} of them; not in "
        f"{', '.join(missed)}. Days differ so much that even a t-test which is told the month beforehand would see "
        f"{', '.join(clear) or 'none of them'} at the level that the loss has by its weight (1 / {1 / level:.0f}). "
        f"A month may be harder without the model being worse (see *skill* below), and the mean loss alone cannot "
        f"tell the two apart; the paired shadow of a retrained model can (docs/architecture.md, Rollout)."
    )


def _within_budget(worlds: Sequence[Mapping[str, Any]], who: str) -> bool:
    known = [world["who"][who] for world in worlds if world["null"] in MUST_HOLD_NULLS and who in world["who"]]
    return bool(known) and all(found["rate"] <= 1 and found["in alarm"] / found["months"] <= 1 for found in known)


def permuted(found: Mapping[str, Any]) -> str:
    """The real null: what was paged in permuted months, and which features never may page."""
    pages, claims = found["pages"], found["claims"]
    total = sum(pages.values())
    by = ", ".join(f"{name} {n}" for name, n in pages.items() if n) or "none"
    variable = {name: claim for name, claim in claims.items() if claim.startswith("structurally")}
    silent = [f"{name} ({claim.split('(')[1]}" for name, claim in variable.items()]
    first, last = MONTHS[0], MONTHS[2]
    return (
        f"\nA real null: {found['months']} times the days of {first}-{last} in random order, 60 as the reference "
        f"and 30 watched: **{total} pages in {found['months']} months** ({by}). Structurally variable, so reported and "
        f"never paged: {', '.join(silent) or 'none'}: a day's flights share a few hours of weather, or one weekday. "
        f"The months are orders of the same {QUARTER_DAYS} days and not independent: a Poisson interval takes them for "
        f"so many months and is too narrow. It says how sure the mean over these days is, and nothing of other "
        f"quarters.\n"
    )
