"""The owner's own rules at a tick: the windows in a row that broke each, and what somebody must be called for."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from schemas.lifecycle import Condition
from schemas.partials import ALL
from schemas.rules import COVERAGE, Rule
from streams.monitor import words
from streams.monitor.close import Metric
from streams.monitor.conditions import Findings
from streams.monitor.generations import Generation
from streams.monitor.state import RuleRun


class _Number(NamedTuple):
    """What a rule is held against; ``value`` None: too little data."""

    window: int
    version: str
    value: float | None
    n: int


def judge(
    runs: Mapping[str, RuleRun],
    generation: Generation,
    metrics: Iterable[Metric],
    *,
    window: int,
    served: str | None,
    mature: int,
    tested_by: str | None,
) -> tuple[dict[str, RuleRun], Findings]:
    """The runs after a tick, by rule, and the rules that are broken for as long as they say.

    A number that is missing or has too few rows neither starts nor ends a run: whether its rule is broken is unknown.
    Rules that the spec does not have any more are forgotten.

    Args:
        runs: before the tick.
        generation: of the window that closes.
        metrics: that the tick found.
        window: start of the window that closes.
        served: the version that gave most of its answers, None when unknown.
        mature: start of the window that was tested.
        tested_by: the version that gave most of its answers, None when unknown or when no window was tested.
    """
    rules = generation.spec.rules()
    if not rules:
        return {}, Findings((), frozenset())
    found = {(m.view, m.version, m.segment, m.name, m.metric): m for m in metrics if m.window_start in (window, mature)}
    after: dict[str, RuleRun] = {}
    active: list[Condition] = []
    unknown: set[str] = set()
    for rule in rules:
        version = {"labelled": tested_by, "estimate": served, "score": served, "latency": served}.get(rule.view, ALL)
        number = _number(rule, found, version, mature if rule.view == "labelled" else window)
        before = runs.get(rule.text)
        if number is None or number.value is None:
            unknown.add(_key(rule))
            after |= {rule.text: before} if before else {}
        elif rule.broken(number.value):
            run = RuleRun(
                since=before.since if before else number.window,
                last=number.window,
                windows=before.windows + 1 if before else 1,
                value=number.value,
                n=number.n,
                version=number.version,
            )
            after[rule.text] = run
            if run.windows >= rule.windows:
                active.append(_condition(rule, run, _by_segment(rule, found, run.version)))
    return after, Findings(tuple(active), frozenset(unknown))


def _number(
    rule: Rule, metrics: Mapping[tuple[str, str, str, str, str], Metric], version: str | None, window: int
) -> _Number | None:
    if version is None:
        return None
    if rule.metric == COVERAGE:
        tested = next((m for k, m in metrics.items() if k[:3] == ("tested", version, ALL)), None)
        return _Number(window, version, tested.coverage, tested.n) if tested else None
    view = "tested" if rule.view == "labelled" else rule.view
    found = metrics.get((view, version, rule.segment, rule.name, rule.measure))
    if found is None:
        # A segment without a row has no number; that it has no row is one.
        return _Number(window, version, 0.0, 0) if rule.metric == "quality.counted" else None
    return _Number(window, version, found.value, found.n)


def _key(rule: Rule) -> str:
    return f"rule/{rule.text}"


def _by_segment(
    rule: Rule, metrics: Mapping[tuple[str, str, str, str, str], Metric], version: str
) -> dict[str, tuple[float, int]]:
    """Segment -> (value, rows) of the same number, where it is known; nothing for a rule about one segment."""
    view = "tested" if rule.view == "labelled" else rule.view
    return {
        m.segment: (m.value, m.n)
        for (found, whose, segment, name, metric), m in metrics.items()
        if (found, whose, name, metric) == (view, version, rule.name, rule.measure)
        and m.value is not None
        and segment != ALL
        and not rule.segment
    }


def _condition(rule: Rule, run: RuleRun, by_segment: Mapping[str, tuple[float, int]]) -> Condition:
    summary, text = words.rule(rule, run)
    return Condition(
        key=_key(rule),
        kind="rule",
        version=run.version,
        segment=rule.segment,
        name=rule.name,
        metric=rule.metric,
        value=run.value,
        limit=rule.limit,
        since=run.since,
        last=run.last,
        text=text,
        summary=summary,
        where=words.where_rule(rule, by_segment),
    )
