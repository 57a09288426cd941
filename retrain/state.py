"""Where a model's rollout stands: all that the next decision depends on, and what of it the public is told."""

from msgspec import Struct

from detectors.gate import Wealth
from schemas.lifecycle import Phase, Request, RequestReason, Rollout, Route


class Contender(Struct, frozen=True):
    """A version that may serve; ``artifact`` and ``manifest`` are content addresses and decide nothing."""

    version: str
    artifact: str
    manifest: str
    reason: RequestReason


class Trial(Struct, frozen=True):
    """A pair under observation since ``since``: windows that start there or later count.

    In a shadow ``challenger`` is the candidate and ``opponent`` the champion; in a guard the challenger serves all
    traffic, and the opponent is the former champion.
    """

    challenger: Contender
    opponent: Contender
    since: int
    margin: float
    better: Wealth
    worse: Wealth
    total: float = 0.0


class Waiting(Struct, frozen=True):
    """A candidate that passed the judge (``verdict_id``) while a guard ran: its shadow begins when the guard ends."""

    contender: Contender
    verdict_id: str
    margin: float


class State(Struct, frozen=True):
    """All that a decision depends on; JSON in the ``state`` column of ``rollouts``.

    Attributes:
        waiting: in a guard only: who shadows next; a guard is never cut short, since only it can roll back.
        pending: requests that have been reported and not yet been answered, in order.
        rolled_back: versions that never serve again.
        step_id: last rollout step in the audit log.
    """

    namespace: str
    model: str
    phase: Phase = "none"
    champion: Contender | None = None
    trial: Trial | None = None
    waiting: Waiting | None = None
    pending: tuple[Request, ...] = ()
    rolled_back: tuple[str, ...] = ()
    step_id: str = ""


def public(state: State, at: int) -> Rollout:
    """The public record: who serves and who shadows from ``at`` on."""
    shadows: list[Contender] = []
    if state.trial is not None:
        shadows = [state.trial.challenger if state.phase == "shadow" else state.trial.opponent]
    return Rollout(
        namespace=state.namespace,
        model=state.model,
        decided_through=at,
        phase=state.phase,
        champion=_route(state.champion) if state.champion else None,
        shadows=[_route(contender) for contender in shadows],
        step_id=state.step_id,
    )


def _route(contender: Contender) -> Route:
    return Route(version=contender.version, artifact=contender.artifact)
