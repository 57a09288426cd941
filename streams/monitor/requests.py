"""When a retraining is asked for: never within the cooldown, never above the budget, at most once a tick."""

from typing import Literal

from msgspec.structs import replace

from schemas.ids import content_id
from schemas.lifecycle import Incident, Request, RequestReason
from schemas.spec import milliseconds
from schemas.windows import iso
from streams.monitor.conditions import Findings
from streams.monitor.generations import Generation
from streams.monitor.held import Mark
from streams.monitor.state import Asked, State

_DAY = 24 * 3600 * 1000
YEAR = 365 * _DAY
"""The time that a budget is for, in milliseconds."""

Barred = Literal["disabled", "budget", "cooldown"]
"""Why no training may be asked for; the first that applies."""

Cause = tuple[RequestReason, str, str | None]
"""Why, the evidence in plain words, and the id of the cause when it is not the passing of time."""


def ask(
    state: State,
    generation: Generation,
    *,
    found: Findings,
    incident: Incident | None,
    marks: dict[int, Mark],
    namespace: str,
    model: str,
    at: int,
) -> tuple[Request | None, State]:
    """The request that tick ``at`` makes, if any, and the state that remembers it.

    Args:
        state: after what was decided before.
        generation: the newest at ``at``.
        found: conditions that hold at ``at``, whether they page or not.
        incident: the one that gathers them.
        marks: partition -> the checkpoint by which it had passed ``at``.
        namespace: of the model.
        model: its name.
        at: end of the window that closed.
    """
    retraining = generation.spec.retraining
    if barred(state, generation, at):
        return None, state
    recent = _recent(state, at)
    cause = _bootstrap(state, generation, at) or _performance(found, incident) or _schedule(state, generation, at)
    if cause is None:
        return None, state
    reason, evidence, cause_id = cause
    cause_id = cause_id or content_id(reason, namespace, model, at)
    request = Request(
        id=content_id("request", namespace, model, reason, cause_id, at),
        namespace=namespace,
        model=model,
        ordinal=state.asked + 1,
        reason=reason,
        cause_id=cause_id,
        evidence=evidence,
        at=at,
        due=at + milliseconds(retraining.candidate_delay),
        as_of={str(partition): mark.positions for partition, mark in marks.items()},
        history_from=max(state.first, at - milliseconds(retraining.history)),
        holdout_from=at if reason == "bootstrap" else at - milliseconds(retraining.holdout),
        generation=generation.number,
    )
    return request, replace(
        state, asked=request.ordinal, recent=[*recent, Asked(request.id, at, reason, request.ordinal)]
    )


def barred(state: State, generation: Generation, at: int) -> Barred | None:
    """Why nothing may be asked for at ``at``, whatever the cause; None when it may."""
    retraining = generation.spec.retraining
    if not retraining.enabled:
        return "disabled"
    if len(_recent(state, at)) >= retraining.budget:
        return "budget"
    cooling = bool(state.recent) and at - state.recent[-1].at < milliseconds(retraining.cooldown)
    return "cooldown" if cooling else None


def _recent(state: State, at: int) -> list[Asked]:
    return [asked for asked in state.recent if at - asked.at < YEAR]


def _bootstrap(state: State, generation: Generation, at: int) -> Cause | None:
    """A model without a reference has no version of its own yet: the first training also makes the reference.

    One that failed is asked for again, like any other within cooldown and budget; not before the answer to the last one
    can have become a generation, which is after the tick at which it is due.
    """
    retraining = generation.spec.retraining
    collected = at >= state.first + milliseconds(retraining.collect)
    awaited = bool(state.recent) and at <= state.recent[-1].at + milliseconds(retraining.candidate_delay)
    if generation.reference is not None or awaited or not collected:
        return None
    return "bootstrap", f"history since {iso(state.first)}, and no reference yet", None


def _performance(found: Findings, incident: Incident | None) -> Cause | None:
    losses = {condition.key: condition for condition in found.active if condition.kind == "labelled_loss"}
    if not losses:
        return None
    # A band that was left asks for a training before there is evidence enough to wake somebody: it has no incident.
    paged = {c.key: c for c in incident.conditions if c.key in losses} if incident else {}
    texts = [f"{c.text}, since {iso(c.since)}" for c in (losses | paged).values()]
    return "performance", "; ".join(texts), incident.id if incident and paged else None


def _schedule(state: State, generation: Generation, at: int) -> Cause | None:
    """Without a reference there is nothing to train anew: the bootstrap comes first, until one succeeds."""
    schedule = generation.spec.retraining.schedule
    if schedule is None or generation.reference is None:
        return None
    last = state.recent[-1].at if state.recent else state.first
    if at - last < milliseconds(schedule):
        return None
    return "schedule", f"{(at - last) / _DAY:g} days since {iso(last)}", None
