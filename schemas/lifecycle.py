"""Reports, incidents, requests, candidates, verdicts and rollouts: the chain from a window to a served version.

Every record names its cause. All times are event time in milliseconds; nothing here holds a wall time or anything
random, so that the same events lead to the same bytes.
"""

from typing import Any, Literal

from msgspec import Struct

from schemas.ids import canonical_json
from schemas.tasks import Loss
from schemas.windows import from_ms

RequestReason = Literal["bootstrap", "schedule", "performance", "reference"]
"""``reference`` asks for no training: a model that is trained elsewhere gets its reference from its first rows."""

Severity = Literal["critical", "warning"]
"""``critical`` wakes somebody, ``warning`` can wait for the morning (Prometheus' words)."""

VerdictOutcome = Literal["pass", "fail", "inconclusive", "error"]
"""A verdict; the worst of several wins, in this order: error, fail, inconclusive, pass."""

Phase = Literal["none", "steady", "shadow", "guard"]
"""Phase of a model's rollout.

``none``: no version yet. ``steady``: one champion, nothing under test. ``shadow``: a candidate that the judge let
through answers beside the champion, unseen. ``guard``: the candidate serves all traffic (full), and the former
champion answers beside it, unseen, so that it can be rolled back to.
"""


class PerformanceWindow(Struct, frozen=True):
    """Labelled performance of one version in one window of prediction time, at label maturity.

    Attributes:
        coverage: pairs / counted predictions, in [0, 1].
        metric: which of the metrics is the loss that is tested.
        loss: its value, ``metrics`` those of ``schemas.tasks.REPORTED``; None where undefined.
        low: lower end of the band that the loss is held against, ``high`` its upper end.
        verdict: what the band said; ``insufficient`` is too few rows or labels.
    """

    version: str
    window_start: int
    n: int
    predictions: int
    coverage: float
    metric: Loss
    loss: float | None
    metrics: dict[str, float | None]
    low: float | None
    high: float | None
    verdict: Literal["inside", "outside", "insufficient", "no reference"]


Kind = Literal["quality", "latency", "labelled_loss", "estimate", "score", "drift", "rule", "dead_man"]
"""What a condition is about; ``drift`` is of a feature, ``score`` of what a version answers."""


class Condition(Struct, frozen=True):
    """One thing that is wrong: a row inside an incident. ``key`` names it for as long as it lasts.

    Attributes:
        metric: what was measured; of a rule its whole path, as in ``labelled.auc``.
        since: start of the first window that it held in; ``last`` of the newest.
        text: what moved, in its unit, from what to what, how sure.
        summary: the same in half a line, without jargon.
        where: the segments that it is worst in; empty when they cannot be told.
    """

    key: str
    kind: Kind
    version: str
    segment: str
    name: str
    metric: str
    value: float
    limit: float
    since: int
    last: int
    text: str
    severity: Severity = "critical"
    summary: str = ""
    where: str = ""


class Incident(Struct, frozen=True):
    """At most one per model while open. ``id`` is derived from the model and the window that opened it.

    Attributes:
        updated: when a condition last held, or when it was resolved.
        severity: the worst of its conditions'; it never falls while the incident is open.
        team: who is called for it.
        summary: what moved, in one line without jargon.
        text: all that a person needs at 3 a.m.: what moved, in its unit, from what to what, since when, how sure, which
            segments, what it means for performance, what the system has done and will do next, and where to look.
        changed: when it was opened or resolved, became more severe, or met a condition that is new to it: what people
            are told of. Everything else only refreshes its row.
    """

    id: str
    namespace: str
    model: str
    opened: int
    updated: int
    state: Literal["open", "resolved"]
    conditions: list[Condition]
    severity: Severity = "critical"
    team: str = "default"
    summary: str = ""
    text: str = ""
    changed: int = 0


class Request(Struct, frozen=True):
    """Ask for a new version. ``ordinal`` counts the requests of a model from 1 and is the version's name.

    Attributes:
        at: end of the last window that was decided on, the evidence's time.
        due: when the candidate exists in event time, however long the fit takes.
        as_of: source partition (as a string) -> next offsets of (predictions, outcomes); rows below are usable.
        holdout_from: rows predicted from here to ``at`` are the judge's; ``at`` itself when there is none.
    """

    id: str
    namespace: str
    model: str
    ordinal: int
    reason: RequestReason
    cause_id: str
    evidence: str
    at: int
    due: int
    as_of: dict[str, tuple[int, int]]
    history_from: int
    holdout_from: int
    generation: int


Claim = Literal["within budget on held-out reference", "estimated, dependence high", "not enough data"]
"""The one thing that a report may claim of its false pages; "guaranteed" is not among it, since next month is not."""


class StreamReport(Struct, frozen=True):
    """Where one watched quantity stands after a tick.

    Attributes:
        stream: ``loss``, ``estimate``, ``score``, ``prediction``, ``latency`` or ``feature.NAME``.
        version: whose it is; empty of a feature, or before anything was observed.
        segment: whose rows alone it is of; empty: of all rows.
        beside: it is of a version that is live beside the one that serves most.
        evidence: what speaks for a change, >= 0; it pages at ``threshold``.
        threshold: A / weight, raised where the reference shows dependence; None: it never pages.
        claim: that may be made of its false pages, ``reason`` why it is not the best one, or why it rests.
        latched: it has paged, and is silent until the incident is resolved or the reference is another.
    """

    stream: str
    version: str
    evidence: float
    threshold: float | None
    claim: Claim
    reason: str = ""
    latched: bool = False
    segment: str = ""
    beside: bool = False


class Report(Struct, frozen=True):
    """All that stage 2 decided at ``at``, when every partition's watermarks had passed it. It is the outbox row.

    Attributes:
        at: end of the window that was decided; the model's decisions happen at these instants only, in order.
        counted: predictions of the window that are in time, first of their id, and not a shadow's.
        tested: performance windows that reached label maturity at ``at``.
        not_judged: what pages nobody for want of data in the reference, and what to do.
        pages: false pages in 30 days that the model may have: its part of its team's budget.
        claim: the worst of the streams that may page.
        streams: every quantity that the reference lets watch.
    """

    namespace: str
    model: str
    at: int
    window_start: int
    generation: int
    as_of: dict[str, tuple[int, int]]
    counted: int
    tested: list[PerformanceWindow]
    incident: Incident | None
    requests: list[Request]
    not_judged: tuple[str, ...] = ()
    pages: float = 1.0
    claim: Claim = "not enough data"
    streams: tuple[StreamReport, ...] = ()


class Candidate(Struct, frozen=True):
    """A trainer's answer to a request: ``status`` ``ready`` with a manifest, or ``error`` with the reason.

    Attributes:
        id: hash of the request id; one per request.
        manifest: content address of the manifest in the store.
        artifact: content address of the model file.
        snapshot: content address of the Parquet snapshot (training and held-out rows).
        probe: hash of the model's rounded answers on a probe set, the same in every run (the artifact's bytes are not).
        metrics: of the candidate on the held-out rows.
    """

    id: str
    request_id: str
    namespace: str
    model: str
    version: str
    status: Literal["ready", "error"]
    error: str
    manifest: str
    artifact: str
    snapshot: str
    probe: str
    rows: int
    holdout_rows: int
    metrics: dict[str, float]


class Verdict(Struct, frozen=True):
    """What the judge or the gate found, with the numbers that it found it by."""

    id: str
    cause_id: str
    namespace: str
    model: str
    version: str
    stage: Literal["judge", "shadow", "guard"]
    outcome: VerdictOutcome
    at: int
    text: str
    numbers: dict[str, float]


class Route(Struct, frozen=True):
    """One version to answer with, and the content address of its artifact."""

    version: str
    artifact: str


class Rollout(Struct, frozen=True):
    """The public record of a model (compacted topic ``rollouts``): who serves, who shadows, and how far decided.

    Attributes:
        decided_through: everything up to this event time is aggregated, reported, answered and applied.
        step_id: id of the last rollout step in the audit log; empty before the first.
    """

    namespace: str
    model: str
    decided_through: int
    phase: Phase
    champion: Route | None
    shadows: list[Route]
    step_id: str


AuditKind = Literal["registration", "generation", "incident", "request", "snapshot", "candidate", "verdict", "rollout"]


class AuditRow(Struct, frozen=True):
    """One row of the audit log: ``id`` happened because of ``cause_id``.

    ``body`` is the record itself.
    """

    id: str
    kind: AuditKind
    cause_id: str
    namespace: str
    model: str
    version: str
    at: int
    body: dict[str, Any]

    def row(self) -> list[object]:
        """As table ``audit`` has it."""
        text = canonical_json(self.body).decode()
        return [self.namespace, self.model, self.kind, self.id, self.cause_id, self.version, from_ms(self.at), text]
