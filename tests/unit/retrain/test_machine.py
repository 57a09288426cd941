"""The life of versions: every transition, and what never happens."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from retraining_world import DAY, SPEC, day, request

from retrain.answers import candidate_id
from retrain.judge import Finding
from retrain.machine import Baseline, Effects, Tick, due, step, wants
from retrain.paired import Observation
from retrain.state import State, public
from schemas.lifecycle import Candidate, Request, RequestReason, VerdictOutcome

GATE = SPEC.gate
PASS = Finding("pass", "good", {})
START = State("default", "toy")


def candidate(asked: Request, status: str = "ready") -> Candidate:
    return msgspec.convert(
        {
            "id": candidate_id(asked.id), "request_id": asked.id, "namespace": "default", "model": "toy",
            "version": str(asked.ordinal), "status": status, "error": "no rows" if status == "error" else "",
            "manifest": "m" * 64, "artifact": f"{asked.ordinal:064d}", "snapshot": "s" * 64, "probe": "", "rows": 1,
            "holdout_rows": 1, "metrics": {},
        },
        Candidate,
    )  # fmt: skip


class Play:
    """Ticks in a row, remembering what was said."""

    def __init__(self, finding: Finding = PASS) -> None:
        self.state = START
        self.index = 0
        self.finding = finding
        self.verdicts: list[dict[str, Any]] = []
        self.steps: list[dict[str, Any]] = []
        self.audit: dict[str, str] = {}

    def tick(
        self,
        *,
        difference: float | None = None,
        n: int = 100,
        ordinal: int = 0,
        reason: RequestReason = "schedule",
        status: str = "ready",
    ) -> Effects:
        at = day(self.index + 1)
        seen = None
        if difference is not None and self.state.trial is not None:
            trial = self.state.trial
            seen = Observation(at - 2 * DAY, trial.challenger.version, trial.opponent.version, n, difference)
        asked = request(at, ordinal, reason)
        answers = ((asked, candidate(asked, status)),) if ordinal else ()
        before = self.state
        self.state, effects = step(before, GATE, Tick(at, (), seen, answers), lambda *_: self.finding)
        again, same = step(before, GATE, Tick(at, (), seen, answers), lambda *_: self.finding)
        assert (again, same) == (self.state, effects)
        for row in effects.audit:
            (self.verdicts if row.kind == "verdict" else self.steps).append(row.body)
            assert row.id not in self.audit, "an id is used once"
            self.audit[row.id] = row.cause_id
        self.index += 1
        return effects

    def first(self) -> None:
        self.tick(ordinal=1, reason="bootstrap")

    def shadow(self, reason: RequestReason = "schedule") -> None:
        self.first()
        self.tick(ordinal=2, reason=reason)

    def guard(self) -> None:
        self.shadow()
        while self.state.phase == "shadow":
            self.tick(difference=-0.2)

    def serves(self) -> tuple[str, str | None, list[str]]:
        record = public(self.state, day(self.index))
        champion = record.champion.version if record.champion else None
        return record.phase, champion, [r.version for r in record.shadows]

    def said(self) -> tuple[str, str, str]:
        last = self.verdicts[-1]
        return last["stage"], last["outcome"], last["version"]


def test_first_champion_needs_no_judge_but_an_answer() -> None:
    play = Play()
    assert play.serves() == ("none", None, [])
    play.tick(ordinal=1, reason="bootstrap", status="error")
    assert play.serves() == ("none", None, [])
    assert play.said() == ("judge", "error", "1")
    effects = play.tick(ordinal=2, reason="bootstrap")
    assert effects.baseline == Baseline("m" * 64, play.state.step_id)
    assert play.serves() == ("steady", "2", [])


def test_a_collected_reference_serves_nobody() -> None:
    play = Play()
    effects = play.tick(ordinal=1, reason="reference")
    assert effects.baseline == Baseline("m" * 64, candidate_id(request(day(1), 1, "reference").id))
    assert effects.audit == ()
    assert play.serves() == ("none", None, [])
    assert play.state.pending == ()
    assert play.tick(ordinal=2, reason="reference", status="error").baseline is None


@pytest.mark.parametrize("outcome", ["fail", "inconclusive", "error"])
def test_who_does_not_pass_the_judge_does_not_shadow(outcome: VerdictOutcome) -> None:
    play = Play()
    play.first()
    play.finding = Finding(outcome, "no", {})
    play.tick(ordinal=2)
    assert play.serves() == ("steady", "1", [])
    assert play.said() == ("judge", outcome, "2")
    assert len(play.steps) == 1


def test_an_error_answer_is_not_judged() -> None:
    play = Play()
    play.first()
    play.tick(ordinal=2, status="error")
    assert play.said() == ("judge", "error", "2")
    assert "no rows" in play.verdicts[-1]["text"]


def test_shadow_then_promotion_then_guard_then_steady() -> None:
    play = Play()
    play.shadow()
    assert play.serves() == ("shadow", "1", ["2"])
    while play.state.phase == "shadow":
        play.tick(difference=-0.2)
    assert play.serves() == ("guard", "2", ["1"])
    assert play.said() == ("shadow", "pass", "2")
    assert play.verdicts[-1]["numbers"]["e_better"] >= 1 / GATE.alpha
    started = play.index
    while play.state.phase == "guard":
        play.tick(difference=0.0)
    assert play.index - started == GATE.guard.days
    assert play.serves() == ("steady", "2", [])
    assert play.said() == ("guard", "pass", "2")
    assert [s["step"] for s in play.steps] == ["first champion", "start shadow", "promote", "end guard"]


def test_the_chain_of_causes_has_no_gap() -> None:
    play = Play()
    play.guard()
    while play.state.phase == "guard":
        play.tick(difference=0.2)
    for identity, cause in play.audit.items():
        assert cause in play.audit or cause.startswith("candidate-"), f"{identity} names {cause}"


def test_harm_in_the_guard_rolls_back_to_exactly_the_former_and_never_serves_again() -> None:
    play = Play()
    play.guard()
    former = play.state.trial and play.state.trial.opponent
    while play.state.phase == "guard":
        play.tick(difference=0.2)
    assert play.state.champion == former
    assert play.said() == ("guard", "fail", "2")
    assert play.steps[-1]["step"] == "roll back"
    assert play.state.rolled_back == ("2",)
    asked = request(day(99), 3)
    disguised = msgspec.structs.replace(candidate(asked), version="2")
    after, effects = step(play.state, GATE, Tick(day(99), answers=((asked, disguised),)), lambda *_: PASS)
    assert (after.phase, after.champion) == ("steady", former)
    assert effects.audit[0].body["outcome"] == "fail"


def test_a_worse_candidate_is_stopped_in_the_shadow() -> None:
    play = Play()
    play.shadow()
    while play.state.phase == "shadow":
        play.tick(difference=0.2)
    assert play.serves() == ("steady", "1", [])
    assert play.said() == ("shadow", "fail", "2")


def test_an_identical_candidate_is_not_promoted_for_a_cause_but_may_be_on_schedule() -> None:
    cause, schedule = Play(), Play()
    cause.shadow("performance")
    schedule.shadow("schedule")
    while cause.state.phase == "shadow":
        cause.tick(difference=0.0)
    assert cause.said() == ("shadow", "inconclusive", "2")
    assert cause.verdicts[-1]["numbers"]["e_better"] == 1.0
    schedule.tick(difference=0.0)
    assert schedule.state.trial is not None
    assert schedule.state.trial.better.log_wealth > (0.0, 0.0)


def test_a_shadow_without_decision_ends_inconclusive_after_its_time() -> None:
    play = Play()
    play.shadow()
    started = play.index
    while play.state.phase == "shadow":
        play.tick()
    assert play.index - started == GATE.shadow_max.days
    assert play.said() == ("shadow", "inconclusive", "2")
    assert play.serves() == ("steady", "1", [])


def test_a_newer_candidate_supersedes_a_shadow() -> None:
    play = Play()
    play.shadow()
    play.tick(ordinal=3)
    assert play.serves() == ("shadow", "1", ["3"])
    assert play.said() == ("shadow", "inconclusive", "2")
    assert "superseded by 3" in play.verdicts[-1]["text"]


@pytest.mark.parametrize(("difference", "served", "ended"), [(0.2, "1", "roll back"), (0.0, "2", "end guard")])
def test_a_newer_candidate_waits_for_the_end_of_the_guard(difference: float, served: str, ended: str) -> None:
    play = Play()
    play.guard()
    began = play.index
    play.tick(ordinal=3, reason="performance")
    assert play.serves() == ("guard", "2", ["1"])
    assert play.said() == ("judge", "pass", "3")
    assert "waits for the end of the guard on 2" in play.verdicts[-1]["text"]
    passed = play.verdicts[-1]["id"]
    while play.state.phase == "guard":
        play.tick(difference=difference)
    assert play.index - began <= GATE.guard.days, "a guard takes no longer because somebody waits"
    assert play.serves() == ("shadow", served, ["3"])
    assert play.state.waiting is None
    assert [s["step"] for s in play.steps[-2:]] == [ended, "start shadow"]
    assert play.audit[play.state.step_id] == passed, "the shadow's cause is the judge's verdict"
    assert play.state.trial is not None
    assert (play.state.trial.since, play.state.trial.margin) == (day(play.index), GATE.margin_cause)
    assert not wants(play.state, day(play.index - 1)), "windows of the guard say nothing about this pair"


def test_who_waits_is_superseded_by_a_newer_that_passes_only() -> None:
    play = Play()
    play.guard()
    play.tick(ordinal=3)
    third = play.verdicts[-1]["id"]
    play.finding = Finding("fail", "bad", {})
    play.tick(ordinal=4)
    assert play.state.waiting is not None
    assert play.state.waiting.contender.version == "3"
    play.finding = PASS
    play.tick(ordinal=5)
    assert play.serves() == ("guard", "2", ["1"])
    assert play.said() == ("shadow", "inconclusive", "3")
    assert play.verdicts[-1]["cause_id"] == third
    assert "superseded by 5" in play.verdicts[-1]["text"]
    assert set(play.verdicts[-1]["numbers"]) == set(next(v["numbers"] for v in play.verdicts if v["stage"] == "shadow"))
    while play.state.phase == "guard":
        play.tick()
    assert play.serves() == ("shadow", "2", ["5"])


def test_a_verdict_says_how_many_windows_were_clipped() -> None:
    play = Play()
    play.guard()
    assert GATE.bound < 0.2 + GATE.margin_schedule
    assert "100% of them clipped" in next(v["text"] for v in play.verdicts if v["stage"] == "shadow")


def test_a_newer_candidate_that_fails_leaves_the_shadow_alone() -> None:
    play = Play()
    play.shadow()
    play.finding = Finding("fail", "bad", {})
    play.tick(ordinal=3)
    assert play.serves() == ("shadow", "1", ["2"])


def test_few_pairs_are_no_observation() -> None:
    play = Play()
    play.shadow()
    effects = play.tick(difference=-0.2, n=GATE.min_pairs - 1)
    assert effects.trial is not None
    assert effects.trial.better.n == 0


def test_windows_from_before_the_pair_do_not_count() -> None:
    play = Play()
    play.shadow()
    assert play.state.trial is not None
    assert not wants(play.state, play.state.trial.since - DAY)
    assert wants(play.state, play.state.trial.since)
    assert not wants(START, day(0))


def test_an_observation_of_another_pair_is_refused() -> None:
    play = Play()
    play.shadow()
    with pytest.raises(ValueError, match="not the running pair"):
        step(play.state, GATE, Tick(day(9), (), Observation(day(7), "1", "2", 100, 0.0), ()), lambda *_: PASS)


def test_requests_wait_for_their_time() -> None:
    asked = request(day(3), 2)
    state, _ = step(START, GATE, Tick(day(3), (asked,)), lambda *_: PASS)
    assert due(state, (), day(3)) == ()
    assert due(state, (), day(4)) == (asked,)
    assert due(START, (msgspec.structs.replace(asked, due=day(3)),), day(3)) != ()
    state, _ = step(state, GATE, Tick(day(4), answers=((asked, candidate(asked)),)), lambda *_: PASS)
    assert state.pending == ()


TICKS = st.lists(
    st.tuples(
        st.sampled_from([None, -0.3, -0.01, 0.0, 0.01, 0.3]),
        st.booleans(),
        st.sampled_from(["schedule", "performance"]),
        st.sampled_from(["pass", "pass", "fail", "inconclusive", "error"]),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(ticks=TICKS)
def test_whatever_comes_one_version_serves_and_a_rollback_restores_the_former(ticks: list[Any]) -> None:
    play = Play()
    play.first()
    ordinal, former = 1, None
    for difference, asks, reason, outcome in ticks:
        before = play.state
        if before.phase == "guard" and before.trial is not None:
            former = before.trial.opponent
        play.finding = Finding(outcome, "", {})
        ordinal += asks
        play.tick(difference=difference, ordinal=ordinal if asks else 0, reason=reason)
        state = play.state
        record = public(state, day(play.index))
        assert record.champion is not None
        assert len(record.shadows) == (state.phase in ("shadow", "guard"))
        assert state.waiting is None or state.phase == "guard"
        if before.phase == "guard":
            ends = [v["outcome"] for v in play.verdicts if v["stage"] == "guard" and v["at"] == day(play.index)]
            assert len(ends) == (state.phase != "guard"), "a guard ends by its own verdict only"
            assert set(ends) <= {"pass", "fail"}
        assert record.champion.version not in [r.version for r in record.shadows]
        assert record.champion.version not in state.rolled_back
        if len(state.rolled_back) > len(before.rolled_back):
            assert before.champion is not None
            assert state.rolled_back[-1] == before.champion.version
            assert state.champion == former
        if state.champion != before.champion:
            assert play.verdicts[-1]["at"] == day(play.index), "who serves changes by a verdict of this tick only"
        assert msgspec.json.decode(msgspec.json.encode(state), type=State) == state
