"""Stages 3 and 4 on real Kafka: a request in, one candidate out, judged and rolled out, whoever is killed where."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from confluent_kafka import KafkaError, KafkaException
from retraining_world import Follower, Topics, World, day, record, report, request, tally
from threadpoolctl import threadpool_limits

from app.wiring import prepare
from retrain.answers import candidate_id
from retrain.fit import load_model, score
from retrain.store import Store
from schemas.lifecycle import Candidate, Request, Rollout, Route
from schemas.models import ModelRecord
from schemas.settings import Settings
from schemas.tables import PARTIALS
from warehouse.client import Warehouse

TESTS = Path(__file__).parent.parent


class Installation:
    """One test's topics, database and store, and the two stages as processes."""

    def __init__(self, settings: Settings, logs: Path) -> None:
        self.settings = settings
        self.warehouse: Warehouse = prepare(settings, patience=60)
        self.store = Store(settings.store)
        self.topics = Topics(settings)
        self.world = World(self.warehouse)
        self.logs = logs
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.follower = Follower(settings)
        self.models: dict[str, object] = {}
        self.index = 0
        self.seconds: list[float] = []
        self.topics.send("models", record(), key=record().key())

    def start(self, role: str, die: str = "") -> subprocess.Popen[bytes]:
        """Run a stage; ``die`` names the place where it kills itself."""
        told = {
            f"DRIFTLINE_{name.upper()}": str(value)
            for name, value in self.settings.model_dump().items()
            if name in TOLD
        }
        with (self.logs / f"{role}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, str(TESTS / "retraining_process.py"), role],
                env=os.environ | told | {"DIE": die, "PYTHONPATH": str(TESTS.parent)},
                stdout=log,
                stderr=log,
            )
        self.processes[role] = process
        return process

    def dies(self, role: str) -> None:
        """Wait until a stage has killed itself."""
        assert self.processes[role].wait(90) == -signal.SIGKILL

    def close(self) -> None:
        """End everything."""
        self.follower.close()
        for process in self.processes.values():
            process.kill()
            process.wait()

    def play(self, *, slope: float = 3.0, asked: Request | None = None) -> Rollout:
        """One day: serve, label, close, wait until it is decided."""
        index, last = self.index, self.follower.last
        if last is None or last.champion is None:
            self.world.predict(index, "0", None)
        else:
            self.world.predict(index, last.champion.version, self.scores(last.champion, index))
            for shadow in last.shadows:
                self.world.predict(index, shadow.version, self.scores(shadow, index), role="shadow")
        self.world.label(index, slope)
        started = perf_counter()
        self.topics.tick(self.warehouse, report(index, *([asked] if asked else [])))
        if asked:
            self.topics.send("retraining", asked)
        self.index += 1
        decided = self.follower.until(day(index + 1), 90)
        self.seconds.append(perf_counter() - started)
        return decided

    def scores(self, route: Route, index: int) -> np.ndarray:
        """Answers of a version to a day's requests, as a service gives them."""
        if route.artifact not in self.models:
            self.models[route.artifact] = load_model(self.store.get(route.artifact))
        with threadpool_limits(limits=1, user_api="openmp"):
            return score(self.models[route.artifact], as_table(self.world.features(index)))

    def audit(self, kind: str) -> list[tuple[str, str, str]]:
        """(id, cause, body) of the audit's rows of a kind, in order of time."""
        return self.warehouse.rows(
            "SELECT id, cause_id, body FROM audit FINAL WHERE kind = {kind:String} ORDER BY `at`, id", {"kind": kind}
        )

    def manifests(self) -> int:
        """How many fits have left a manifest."""
        blobs = [path.read_bytes() for path in self.settings.store.rglob("*") if path.is_file()]
        return sum(blob.startswith(b"{") and b'"parameters"' in blob for blob in blobs)


TOLD = {"bootstrap_servers", "clickhouse_url", "database", "topic_prefix", "session_timeout_ms", "store"}


def as_table(rows: list[dict[str, object]]) -> pa.Table:
    """Requests as a table."""
    kinds = {"x": pa.float64(), "carrier": pa.string(), "weekend": pa.bool_()}
    return pa.table({name: pa.array([row[name] for row in rows], type=kind) for name, kind in kinds.items()})


@pytest.fixture
def installation(
    kafka: str, clickhouse_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Installation]:
    name = f"retrain_{request.node.name}".replace("[", "_").replace("]", "").replace("-", "_")
    made = Installation(
        Settings(
            bootstrap_servers=kafka,
            clickhouse_url=clickhouse_url,
            database=name,
            topic_prefix=name,
            source_partitions=1,
            session_timeout_ms=6_000,
            store=tmp_path / "store",
        ),
        tmp_path,
    )
    try:
        yield made
    finally:
        made.close()


def test_the_whole_circle(installation: Installation, record_property: Callable[[str, object], None]) -> None:
    """First champion, a scheduled candidate that is as good, a drift, a candidate that is better, and the end."""
    installation.start("trainer")
    installation.start("rollout")
    while installation.index < 11:
        installation.play(asked=request(day(11)) if installation.index == 10 else None)
    first = installation.play()
    assert (first.phase, first.champion and first.champion.version) == ("steady", "1")
    generations = installation.topics.read("models", ModelRecord)
    assert [(g.generation, g.effective_from) for g in generations] == [(1, day(0)), (2, day(12))]
    assert generations[1].reference is not None
    assert generations[1].spec == generations[0].spec

    for _ in range(8):
        installation.play()
    record_property("seconds_from_report_to_rollout_message", round(median(installation.seconds[-8:]), 2))
    while installation.index < 25:
        installation.play(slope=-3.0)
    asked = msgspec.structs.replace(request(day(26), 2, "performance", holdout_days=4), history_from=day(20))
    installation.play(slope=-3.0, asked=asked)
    seen = [installation.play(slope=-3.0).phase for _ in range(24)]
    assert list(dict.fromkeys(seen)) == ["shadow", "guard", "steady"]
    last = installation.follower.last
    assert last is not None
    assert last.champion is not None
    assert (last.champion.version, last.shadows) == ("2", [])

    causes = {
        identity: cause
        for kind in ("candidate", "verdict", "rollout")
        for identity, cause, _ in installation.audit(kind)
    }
    at, chain = last.step_id, []
    while at in causes:
        chain.append(at.split("-")[0])
        at = causes[at]
    assert chain == ["rollout", "verdict", "rollout", "verdict", "rollout", "verdict", "candidate"]
    assert at == asked.id
    decided = [r.decided_through for r in installation.topics.read("rollouts", Rollout)]
    assert decided == [day(i + 1) for i in range(installation.index)], "every tick is told, once, in order"


@pytest.mark.parametrize("place", ["mid-fit", "committed"])
def test_one_candidate_wherever_the_trainer_dies(installation: Installation, place: str) -> None:
    for index in range(8):
        installation.world.predict(index, "0", None)
        installation.world.label(index)
    asked = request(day(8))
    installation.start("trainer", die=place)
    installation.topics.send("retraining", asked)
    installation.dies("trainer")
    assert installation.audit("candidate") == []
    installation.start("trainer")
    installation.topics.send("retraining", asked)  # the monitor, too, repeats itself
    installation.topics.send("retraining", request(day(8), 2, "schedule", holdout_days=3))
    rows = wait_for(installation, 2)
    assert (candidate_id(asked.id), asked.id) in [row[:2] for row in rows]
    told = installation.topics.read("candidates", Candidate)
    assert {c.id for c in told} == {row[0] for row in rows}
    assert all(c.status == "ready" for c in told)
    first = {c.manifest for c in told if c.request_id == asked.id}
    assert len(first) == 1, "a request is answered with one candidate, however often"
    assert installation.manifests() == 2, "what was decided is not fitted again"
    snapshots = installation.audit("snapshot")
    assert len(snapshots) == 2


def wait_for(installation: Installation, answers: int) -> list[tuple[str, str, str]]:
    """The candidate rows, once there are so many and the topic has been told."""
    deadline = perf_counter() + 90
    while perf_counter() < deadline:
        rows = installation.audit("candidate")
        try:
            told = {c.id for c in installation.topics.read("candidates", Candidate)}
        except KafkaException as error:
            if error.args[0].code() != KafkaError._TIMED_OUT:
                raise
            continue
        if len(rows) >= answers and len(told) >= answers:
            return rows
    raise AssertionError((installation.logs / "trainer.log").read_text()[-3_000:])


def test_a_rollout_killed_between_record_and_message_says_it_later(installation: Installation) -> None:
    """Without a barrier, too: the source goes on meanwhile, and the generation still begins where it was recorded."""
    installation.start("trainer")
    installation.start("rollout", die="recorded")
    for index in range(8):
        installation.play(asked=request(day(8)) if index == 7 else None)
    installation.warehouse.insert(PARTIALS, [tally(9), tally(10)])
    installation.topics.tick(installation.warehouse, report(8))
    installation.dies("rollout")
    installation.warehouse.insert(PARTIALS, [tally(11)])
    with pytest.raises(AssertionError, match="not decided"):
        installation.follower.until(day(9), 1)
    installation.start("rollout")
    found = installation.follower.until(day(9), 90)
    assert found.champion is not None
    generations = installation.topics.read("models", ModelRecord)
    assert [g.generation for g in generations] == [1, 2]
    assert generations[1].effective_from == day(11), "the first window that nothing had been counted of"
    assert len(installation.audit("rollout")) == 1


def test_a_flipped_byte_is_an_error_and_the_champion_stays(installation: Installation) -> None:
    installation.start("trainer")
    installation.start("rollout")
    for index in range(8):
        installation.play(asked=request(day(8)) if index == 7 else None)
    first = installation.play()
    while installation.index < 12:
        installation.play()
    asked = request(day(13), 2, "schedule", holdout_days=4)
    installation.play(asked=asked)
    rows = wait_for(installation, 2)
    answer = next(c for c in (msgspec.json.decode(row[2], type=Candidate) for row in rows) if c.request_id == asked.id)
    path = installation.store.path(answer.artifact)
    damaged = bytearray(path.read_bytes())
    damaged[1_000] ^= 1
    path.write_bytes(damaged)
    after = installation.play()
    assert (after.phase, after.champion, after.shadows) == ("steady", first.champion, [])
    verdict = json_of(installation.audit("verdict")[-1])
    assert (verdict["stage"], verdict["outcome"], verdict["cause_id"]) == ("judge", "error", answer.id)
    assert answer.artifact in verdict["text"]
    assert after.decided_through == day(14)


def json_of(row: tuple[str, str, str]) -> dict[str, Any]:
    """The body of an audit row."""
    return msgspec.json.decode(row[2], type=dict[str, Any])
