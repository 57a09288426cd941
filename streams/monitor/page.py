"""What an incident says to whoever is woken by it: what moved, what it means, what is done about it, where to look.

Nothing here decides anything. All of it is a function of what the tick decided, so that a repeated tick says the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from schemas.lifecycle import Claim, Condition, Incident, PerformanceWindow
from schemas.spec import milliseconds
from streams.monitor import queries, requests
from streams.monitor.alarm_words import moved_by
from streams.monitor.context import Moved
from streams.monitor.generations import Generation
from streams.monitor.life import QUIET_TICKS
from streams.monitor.state import State
from streams.monitor.words import Measure, count, when

MOST_TOLD = 20
"""Conditions that a page tells at length; what one unit upstream broke in every segment, nobody reads to the end."""

YEAR_DAYS = requests.YEAR // (24 * 3600 * 1000)


@dataclass(frozen=True, slots=True)
class Scene:
    """A tick as an incident's text is told from it.

    Attributes:
        generation: of the window that closed.
        window: its start; ``at`` its end.
        active: keys of the conditions that hold.
        unknown: keys of those that could not be checked.
        quiet: ticks in a row without any condition.
        moved: the features that moved most, furthest first.
        state: after the tick.
        claim: what the report says of false pages, ``pages`` how many in 30 days the model may have.
    """

    generation: Generation
    window: int
    at: int
    active: frozenset[str]
    unknown: frozenset[str]
    quiet: int
    moved: list[Moved]
    state: State
    claim: Claim
    pages: float


def tell(incident: Incident, scene: Scene) -> Incident:
    """The incident with its summary and its text."""
    ranked = sorted(
        incident.conditions,
        key=lambda c: (c.severity != "critical", c.key not in scene.active, _KINDS.index(c.kind), c.key),
    )
    more = len(ranked) - 1
    summary = (ranked[0].summary or ranked[0].text) + (f"; and {more} more" if more else "")
    sections = (
        ("What moved", [*_conditions(ranked, incident, scene), *_usual(scene)]),
        ("What it means for the predictions", list(_performance(scene))),
        (
            "What also moved (this informs, it does not page)",
            list(_moved(incident, scene)),
        ),
        ("What driftline has done, and does next", [*_done(incident, scene), *_next(incident, scene)]),
        (
            "Look further (driftline trace PREDICTION_ID tells where an answer came from)",
            queries.commands(incident, ranked[0], scene.generation),
        ),
    )
    body = [f"{incident.severity.upper()}  {incident.namespace}/{incident.model}: {summary}"]
    for title, lines in sections:
        if lines:
            body += ["", title, *(f"  {line}" for line in lines)]
    return replace(incident, summary=summary, text="\n".join(body) + "\n")


def _conditions(ranked: list[Condition], incident: Incident, scene: Scene) -> Iterator[str]:
    """What matters most, at length; of the others how many they are, and where they stand."""
    for condition in ranked[:MOST_TOLD]:
        yield from _condition(condition, incident, scene)
    if len(ranked) > MOST_TOLD:
        yield f"- and {count(len(ranked) - MOST_TOLD, 'condition')} more: {queries.conditions(incident)}"


def _condition(condition: Condition, incident: Incident, scene: Scene) -> Iterator[str]:
    yield f"- {condition.text}"
    lasted = (condition.last - condition.since) // scene.generation.width + 1
    since = f"  since {when(condition.since)}"
    if condition.last == condition.since:
        since += ", one window"
    else:
        since += f", last seen in the window from {when(condition.last)} ({count(lasted, 'window')})"
    if incident.state == "open" and condition.key in scene.unknown:
        since += "; too few rows to tell now"
    elif incident.state == "open" and condition.key not in scene.active:
        since += "; no longer so"
    yield since
    if condition.where:
        yield f"  {condition.where}"


def _usual(scene: Scene) -> Iterator[str]:
    reference = scene.generation.reference
    if reference is not None:
        start, end = when(reference.start), when(reference.end)
        yield f'"Usually" is what the reference showed: {reference.rows:,} rows from {start} to {end}.'
    yield from scene.generation.not_judged
    if scene.generation.watches:
        yield f"False pages: {scene.claim}; the budget is {scene.pages:.3g} a month."


def _performance(scene: Scene) -> Iterator[str]:
    tested = scene.state.tested
    if tested is not None:
        yield _tested(tested, Measure.of(scene.generation.spec, tested.metric))
    else:
        yield "No labels yet: nobody knows whether the predictions got worse."
    width, maturity = scene.generation.width, scene.generation.maturity
    if maturity and (tested is None or tested.window_start < scene.window):
        yield f"The window from {when(scene.window)} itself is tested at {when(scene.window + width + maturity)}."


def _tested(window: PerformanceWindow, measure: Measure) -> str:
    labels = f"{window.n:,} of {window.predictions:,} predictions had a label ({window.coverage:.0%})"
    start = f"Newest tested window (from {when(window.window_start)}, version {window.version}): "
    if not window.n:
        return f"{start}no labels yet, of {window.predictions:,} predictions."
    if window.verdict == "insufficient" or window.loss is None:
        return f"{start}too few labels to tell; {labels}."
    more = measure.beside(window.metrics)
    loss = f"{measure.name} {measure(window.loss)}"
    if window.low is None or window.high is None:
        return f"{start}{loss}{more}; there is no usual band yet to hold it against; {labels}."
    band = f"its usual band of {measure(window.low)} to {measure(window.high)}"
    if window.loss > window.high:
        return f"{start}predictions are worse than usual, {loss} is above {band}{more}; {labels}."
    if window.loss < window.low:
        return f"{start}predictions are better than usual, {loss} is below {band}{more}; {labels}."
    return f"{start}predictions are as good as usual, {loss} is inside {band}{more}; {labels}."


def _moved(incident: Incident, scene: Scene) -> Iterator[str]:
    """The features that moved most, those left out that page themselves."""
    paged = {condition.name for condition in incident.conditions if condition.kind == "drift"}
    yield from (f"- {feature.name}: {moved_by(feature)}" for feature in scene.moved if feature.name not in paged)


def _done(incident: Incident, scene: Scene) -> Iterator[str]:
    since = [asked for asked in scene.state.recent if asked.at >= incident.opened and asked.reason in _REASONS]
    for asked in since[-1:]:
        yield (
            f"- It asked for a retraining {_REASONS[asked.reason]} at {when(asked.at)}: version {asked.ordinal} "
            f"({asked.id}). The candidate is judged on held-out rows, then answers beside the served version, unseen, "
            "before it may serve."
        )
    if not any(asked.reason == "performance" for asked in since):
        yield f"- It asked for no retraining because of this: {_why_not(incident, scene)}."


def _why_not(incident: Incident, scene: Scene) -> str:
    retraining, recent = scene.generation.spec.retraining, scene.state.recent
    barred = requests.barred(scene.state, scene.generation, scene.at)
    if barred == "disabled":
        return "the model is trained elsewhere (spec.retraining.enabled is false)"
    losses = [condition for condition in incident.conditions if condition.kind == "labelled_loss"]
    if not losses:
        return "only the labelled loss asks for one"
    losses = [condition for condition in losses if condition.key in scene.active] or losses
    leads = scene.state.tested.version if scene.state.tested else scene.state.leading
    versions = sorted({condition.version for condition in losses})
    if leads not in versions:
        named = ", ".join(versions)
        return f"the labelled loss is of version {named}, which does not lead, and a training mends the one that does"
    if barred == "budget":
        return f"the {retraining.budget} that any {YEAR_DAYS} days allow are used up (spec.retraining.budget)"
    if barred == "cooldown":
        over = when(recent[-1].at + milliseconds(retraining.cooldown))
        return f"the last was asked for at {when(recent[-1].at)}, the next not before {over} (spec.retraining.cooldown)"
    unknown = any(condition.key in scene.unknown for condition in losses)
    return f"the labelled loss is {'of too few rows to tell now' if unknown else 'no longer worse than usual'}"


def _next(incident: Incident, scene: Scene) -> Iterator[str]:
    if incident.state == "resolved":
        yield f"- It resolved the incident at {when(scene.at)}: {QUIET_TICKS} windows in a row without any of this."
        return
    yield (
        f"- It looks again when the next window ends, at {when(scene.at + scene.generation.width)}, and resolves the "
        f"incident after {QUIET_TICKS} windows in a row without any of this ({scene.quiet} so far)."
    )


_KINDS = ("labelled_loss", "estimate", "latency", "rule", "quality", "score", "drift", "dead_man")
"""Kinds of conditions, what matters most first."""

_REASONS = {
    "performance": "because of the labelled loss",
    "schedule": "by the calendar",
    "bootstrap": "for the first version",
}
