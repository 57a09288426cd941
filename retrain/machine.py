"""The life of a model's versions, as a pure state machine: ``none -> steady -> shadow -> guard -> steady``.

``step`` takes one tick of the model's decision clock: first what the running pair showed in the window that matured,
then what that decides, then the answers to requests that are due. It reads nothing and writes nothing; whoever has the
same reports and answers gets the same verdicts, steps and ids.
"""

from collections.abc import Callable
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from detectors import gate
from detectors.gate import GatePolicy
from retrain.judge import Finding
from retrain.paired import Observation
from retrain.state import Contender, State, Trial, Waiting, public
from schemas.ids import content_id
from schemas.lifecycle import AuditRow, Candidate, Phase, Request, Verdict
from schemas.spec import GateSpec, milliseconds

StepName = Literal["first champion", "start shadow", "end shadow", "promote", "end guard", "roll back"]


class Tick(Struct, frozen=True):
    """What one instant ``at`` brings.

    Attributes:
        observation: of the running pair in the window tested at ``at``, if the pair was running when it started.
        answers: (request, candidate) of every request due by ``at`` and not answered before, in order.
    """

    at: int
    requests: tuple[Request, ...] = ()
    observation: Observation | None = None
    answers: tuple[tuple[Request, Candidate], ...] = ()


class Baseline(Struct, frozen=True):
    """A reference that a generation is to carry: the manifest that names it, and why."""

    manifest: str
    cause_id: str


class Effects(Struct, frozen=True):
    """What is to be recorded, and then told.

    Attributes:
        audit: verdicts and rollout steps, each naming its cause.
        trial: the pair after its observation, for the record; None when nothing was observed.
        baseline: whose reference begins a new generation of the model: the first champion's, or one that was collected.
    """

    audit: tuple[AuditRow, ...] = ()
    trial: Trial | None = None
    baseline: Baseline | None = None


Judge = Callable[[Request, Candidate, Contender | None], Finding]
"""Examines a candidate, against the champion if there is one; the only thing that looks outside."""


def step(state: State, spec: GateSpec, tick: Tick, judge: Judge) -> tuple[State, Effects]:
    """Decide one tick.

    Args:
        state: after the previous tick.
        spec: the gate's numbers in the window that is decided.
        tick: what has come in; ticks of a model are decided in order, each once.
        judge: called for every candidate that may serve.
    """
    run = _Run(state, spec, tick.at)
    if tick.observation is not None:
        run.observe(tick.observation)
    run.gate()
    for request, candidate in tick.answers:
        if request.reason == "reference":
            run.collected(candidate)
        else:
            run.answer(request, candidate, judge)
    answered = {request.id for request, _ in tick.answers}
    pending = tuple(r for r in (*state.pending, *tick.requests) if r.id not in answered)
    return replace(run.state, pending=pending), Effects(tuple(run.audit), run.observed, run.baseline)


def due(state: State, requests: tuple[Request, ...], at: int) -> tuple[Request, ...]:
    """Requests, old and new, that must be answered before ``at`` can be decided."""
    return tuple(r for r in (*state.pending, *requests) if r.due <= at)


def wants(state: State, window_start: int) -> bool:
    """Whether a window was wholly under the running pair and so is an observation of it."""
    return state.trial is not None and window_start >= state.trial.since


def policies(spec: GateSpec, margin: float) -> tuple[GatePolicy, GatePolicy]:
    """The two games on a pair: that the challenger is better than the margin, and that it is worse."""
    return (
        GatePolicy(margin=margin, bound=spec.bound, bets=spec.bets, alpha=spec.alpha, direction="better"),
        GatePolicy(margin=margin, bound=spec.bound, bets=spec.bets, alpha=spec.alpha, direction="worse"),
    )


class _Run:
    """One tick in progress: the state so far and what it caused."""

    def __init__(self, state: State, spec: GateSpec, at: int) -> None:
        self.state = state
        self.spec = spec
        self.at = at
        self.audit: list[AuditRow] = []
        self.observed: Trial | None = None
        self.baseline: Baseline | None = None

    def observe(self, seen: Observation) -> None:
        """Bet on one window; one with too few pairs is no observation."""
        trial = self.state.trial
        if trial is None or (seen.challenger, seen.champion) != (trial.challenger.version, trial.opponent.version):
            raise ValueError(f"observation of {seen.challenger} and {seen.champion}, which are not the running pair")
        if seen.difference is not None and seen.n >= self.spec.min_pairs:
            better, worse = policies(self.spec, trial.margin)
            trial = replace(
                trial,
                better=gate.step(better, trial.better, seen.difference),
                worse=gate.step(worse, trial.worse, seen.difference),
                total=trial.total + seen.difference,
            )
        self.state = replace(self.state, trial=trial)
        self.observed = trial

    def gate(self) -> None:
        """Promote, stop, roll back or time out, when the evidence or the calendar says so."""
        trial = self.state.trial
        if trial is None:
            return
        better, worse = policies(self.spec, trial.margin)
        name, opponent = trial.challenger.version, trial.opponent.version
        if self.state.phase == "shadow":
            if gate.decided(better, trial.better):
                verdict = self._verdict("shadow", "pass", f"{name} beats {opponent} at the margin")
                self._promote(trial, verdict)
            elif gate.decided(worse, trial.worse):
                verdict = self._verdict("shadow", "fail", f"{name} is worse than {opponent} by more than the margin")
                self._settle("end shadow", trial.opponent, verdict)
            elif self.at - trial.since >= milliseconds(self.spec.shadow_max):
                verdict = self._verdict(
                    "shadow", "inconclusive", f"no decision on {name} within {self.spec.shadow_max.days} days of shadow"
                )
                self._settle("end shadow", trial.opponent, verdict)
        elif gate.decided(worse, trial.worse):
            verdict = self._verdict("guard", "fail", f"{name} does harm: worse than {opponent}, which serves again")
            self.state = replace(self.state, rolled_back=(*self.state.rolled_back, name))
            self._end_guard("roll back", trial.opponent, verdict)
        elif self.at - trial.since >= milliseconds(self.spec.guard):
            verdict = self._verdict("guard", "pass", f"no evidence of harm by {name} in {self.spec.guard.days} days")
            self._end_guard("end guard", trial.challenger, verdict)

    def answer(self, request: Request, candidate: Candidate, judge: Judge) -> None:
        """Judge a candidate that is due, and let it shadow if it may: at once, or when a guard that runs has ended."""
        champion = self.state.champion
        contender = Contender(candidate.version, candidate.artifact, candidate.manifest, request.reason)
        if candidate.status == "error":
            finding = Finding("error", f"no candidate: {candidate.error}", {})
        elif candidate.version in self.state.rolled_back:
            finding = Finding("fail", "this version was rolled back once and never serves again", {})
        else:
            finding = judge(request, candidate, champion)
        guarded = self.state.trial if self.state.phase == "guard" else None
        if guarded is not None and finding.outcome == "pass":
            text = f"{finding.text}; its shadow waits for the end of the guard on {guarded.challenger.version}"
            finding = replace(finding, text=text)
        verdict = self._record("judge", finding, candidate.id, candidate.version)
        if finding.outcome != "pass":
            return
        if champion is None:
            self._settle("first champion", contender, verdict)
            self.baseline = Baseline(candidate.manifest, self.state.step_id)
            return
        margin = self.spec.margin_schedule if request.reason == "schedule" else self.spec.margin_cause
        if guarded is not None:
            self._wait(Waiting(contender, verdict.id, margin))
            return
        if self.state.trial is not None:
            self._verdict("shadow", "inconclusive", f"superseded by {candidate.version} before a decision")
        self._begin(verdict.id, "start shadow", "shadow", (contender, champion), margin)

    def collected(self, candidate: Candidate) -> None:
        """Take a reference of a model that is trained elsewhere: nobody is judged, and nobody's traffic changes."""
        if candidate.status == "ready":
            self.baseline = Baseline(candidate.manifest, candidate.id)

    def _wait(self, newer: Waiting) -> None:
        older = self.state.waiting
        if older is not None:
            text = f"superseded by {newer.contender.version} before its shadow began"
            # As of any shadow before its first window: nobody has bet.
            numbers = {"e_better": 1.0, "e_worse": 1.0, "windows": 0.0, "clipped": 0.0, "difference": 0.0}
            found = Finding("inconclusive", text, numbers | {"margin": older.margin})
            self._record("shadow", found, older.verdict_id, older.contender.version)
        self.state = replace(self.state, waiting=newer)

    def _end_guard(self, name: StepName, champion: Contender, verdict: Verdict) -> None:
        waiting = self.state.waiting
        self.state = replace(self.state, waiting=None)
        self._settle(name, champion, verdict)
        if waiting is not None:
            pair = (waiting.contender, champion)
            self._begin(waiting.verdict_id, "start shadow", "shadow", pair, waiting.margin)

    def _promote(self, trial: Trial, verdict: Verdict) -> None:
        # What was promoted as "not worse by more than the margin" is not rolled back for being worse by less.
        margin = max(0.0, trial.margin)
        self.state = replace(self.state, champion=trial.challenger)
        self._begin(verdict.id, "promote", "guard", (trial.challenger, trial.opponent), margin)

    def _begin(
        self, verdict_id: str, name: StepName, phase: Phase, pair: tuple[Contender, Contender], margin: float
    ) -> None:
        challenger, opponent = pair
        better, worse = policies(self.spec, margin)
        trial = Trial(challenger, opponent, self.at, margin, gate.start(better), gate.start(worse))
        self.state = replace(self.state, phase=phase, trial=trial)
        self._step(name, challenger.version, verdict_id)

    def _settle(self, name: StepName, champion: Contender, verdict: Verdict) -> None:
        self.state = replace(self.state, phase="steady", champion=champion, trial=None)
        self._step(name, verdict.version, verdict.id)

    def _verdict(
        self, stage: Literal["shadow", "guard"], outcome: Literal["pass", "fail", "inconclusive"], text: str
    ) -> Verdict:
        """A verdict on the running trial, which the last step began."""
        trial = self.state.trial
        if trial is None:
            raise ValueError("no trial is running")
        windows = trial.better.n
        numbers = {
            "e_better": _shown(gate.e_value(trial.better)),
            "e_worse": _shown(gate.e_value(trial.worse)),
            "windows": float(windows),
            "clipped": _shown(trial.better.share_clipped),
            "difference": _shown(trial.total / windows) if windows else 0.0,
            "margin": trial.margin,
        }
        text = (
            f"{text} (e better {numbers['e_better']:.3g}, e worse {numbers['e_worse']:.3g}, {windows} windows, "
            f"{numbers['clipped']:.0%} of them clipped)"
        )
        return self._record(stage, Finding(outcome, text, numbers), self.state.step_id, trial.challenger.version)

    def _record(
        self, stage: Literal["judge", "shadow", "guard"], finding: Finding, cause_id: str, version: str
    ) -> Verdict:
        verdict = Verdict(
            id=content_id("verdict", self.state.namespace, self.state.model, stage, cause_id),
            cause_id=cause_id,
            namespace=self.state.namespace,
            model=self.state.model,
            version=version,
            stage=stage,
            outcome=finding.outcome,
            at=self.at,
            text=finding.text,
            numbers=finding.numbers,
        )
        self.audit.append(self._row("verdict", verdict.id, cause_id, version, msgspec.to_builtins(verdict)))
        return verdict

    def _step(self, name: StepName, version: str, verdict_id: str) -> None:
        identity = content_id("rollout", name, verdict_id)
        self.state = replace(self.state, step_id=identity)
        body = {"step": name} | msgspec.to_builtins(public(self.state, self.at))
        self.audit.append(self._row("rollout", identity, verdict_id, version, body))

    def _row(
        self, kind: Literal["verdict", "rollout"], identity: str, cause: str, version: str, body: dict[str, Any]
    ) -> AuditRow:
        return AuditRow(
            id=identity,
            kind=kind,
            cause_id=cause,
            namespace=self.state.namespace,
            model=self.state.model,
            version=version,
            at=self.at,
            body=body,
        )


def _shown(value: float) -> float:
    """Twelve significant digits: enough to recompute by, and the same on every machine's libm."""
    return float(f"{value:.12g}")
