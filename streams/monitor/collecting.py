"""When a model that is trained elsewhere gets its reference: from its first rows, with their labels, and calibrated.

The first ``reference.collect`` of event time or ``reference.rows`` counted predictions, whichever is full first, become
the reference at the tick that finds them full. Drift can be told from then on; what is normal for the labelled loss can
not yet, since labels come later. When those of the rows are mature, the same rows are asked for again: the second
reference has the same bins, and a band.

Such a reference may be too short to calibrate evidence by, as a week of daily windows is. Then one more is asked for,
once, of the first four weeks of days or of as many windows if they are longer, when their labels are mature and nothing
is wrong.
"""

from msgspec.structs import replace

from detectors import enough
from schemas.ids import content_id
from schemas.lifecycle import Request
from schemas.spec import milliseconds
from schemas.windows import iso
from streams.monitor.generations import Generation
from streams.monitor.held import Mark
from streams.monitor.state import Asked, State

Rows = tuple[int, int, str]
"""Event time that the rows of a reference start at, and end before, and why it is asked for."""


def ask(
    state: State, generation: Generation, *, marks: dict[int, Mark], namespace: str, model: str, at: int
) -> tuple[Request | None, State]:
    """The request for a reference that tick ``at`` makes, if any, and the state that remembers it.

    Args:
        state: after what was decided before; the window that closed is among ``rows``.
        generation: the newest at ``at``.
        marks: partition -> the checkpoint by which it had passed ``at``.
        namespace: of the model.
        model: its name.
        at: end of the window that closed.
    """
    if generation.spec.retraining.enabled:
        return None, state
    wanted = _first(state, generation, at) or _labelled(state, generation, at) or _calibrating(state, generation, at)
    if wanted is None:
        return None, state
    start, end, evidence = wanted
    cause_id = content_id("reference", namespace, model, at)
    request = Request(
        id=content_id("request", namespace, model, "reference", cause_id, at),
        namespace=namespace,
        model=model,
        ordinal=state.asked + 1,
        reason="reference",
        cause_id=cause_id,
        evidence=evidence,
        at=at,
        # Nothing is trained, so no time is charged for it.
        due=at,
        as_of={str(partition): mark.positions for partition, mark in marks.items()},
        history_from=start,
        holdout_from=end,
        generation=generation.number,
    )
    asked = Asked(request.id, at, "reference", request.ordinal)
    return request, replace(state, asked=request.ordinal, recent=[*state.recent, asked])


def _first(state: State, generation: Generation, at: int) -> Rows | None:
    """All rows so far, when they are enough; again after as long a time, when the answer was an error."""
    spec = generation.spec.reference
    collect = milliseconds(spec.collect)
    asked = _asked(state)
    if generation.reference is not None or (asked is not None and at < asked + collect):
        return None
    if state.rows < spec.rows and at < state.first + collect:
        return None
    return state.first, at, f"{state.rows} predictions since {iso(state.first)}, and no reference yet"


def _labelled(state: State, generation: Generation, at: int) -> Rows | None:
    """The same rows as the first time, when their labels are mature and there are any."""
    reference, asked = generation.reference, _asked(state)
    # One that was registered ends at no request of ours.
    if reference is None or asked is None or asked != reference.end or state.tested is None or not state.tested.n:
        return None
    mature = reference.end + generation.maturity
    if at < mature or asked >= mature:
        return None
    return reference.start, reference.end, f"labels of the reference's rows are mature since {iso(mature)}"


def _calibrating(state: State, generation: Generation, at: int) -> Rows | None:
    """More rows from the same beginning, when the reference is one of ours and none of its streams is calibrated."""
    reference, asked = generation.reference, _asked(state)
    if reference is None or asked is None or any(watch.scales for _, watch in generation.watches):
        return None
    if all(earlier.at != reference.end for earlier in state.recent if earlier.reason == "reference"):
        return None  # It was registered.
    spec = generation.spec
    windows = -(-milliseconds(enough.to_calibrate(spec)) // generation.width)
    end = reference.start + windows * generation.width
    due = end + generation.maturity
    # While something is wrong its rows are no reference; what is left once the first have expired is no better one.
    if at < due or asked >= due or state.incident is not None or at - reference.start > milliseconds(spec.raw.ttl):
        return None
    return reference.start, end, f"the reference up to {iso(reference.end)} is too short to calibrate evidence by"


def _asked(state: State) -> int | None:
    """When the last reference was asked for."""
    return next((asked.at for asked in reversed(state.recent) if asked.reason == "reference"), None)
