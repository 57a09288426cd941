"""The proof: six weeks of flights lead to the same decisions, byte for byte, however slow or mortal the processes are.

Three runs of the demo's own processes on real Kafka: plain; the trainer and the monitor slower; each process killed.
"""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import pytest
from demo_world import Killer, Played, Slower, play, quick

pytestmark = pytest.mark.timeout(900)

PROCESSES = {"aggregate", "monitor", "trainer", "rollout", "service"}


@pytest.fixture(scope="module", autouse=True)
def shorter_times() -> Iterator[None]:
    with quick():
        yield


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, kafka_cache: Path) -> Played:
    return told("plain", play(tmp_path_factory.mktemp("plain"), kafka_cache))


def told(name: str, played: Played) -> Played:
    """Say how long a run took (``pytest -s`` or a failure shows it)."""
    said = f"{name}: {played.seconds:.1f} s, {len(played.decisions.splitlines())} decisions, {played.restarts}"
    print(said)  # noqa: T201
    return played


def first_difference(one: bytes, other: bytes) -> str:
    """The first line in which two files differ, of both; empty when none does."""
    lines = zip_longest(one.decode().splitlines(), other.decode().splitlines(), fillvalue="(no line)")
    return next((f"line {at}:\n  {a}\n  {b}" for at, (a, b) in enumerate(lines, start=1) if a != b), "")


def same(played: Played, plain: Played) -> None:
    """The decisions are the plain run's, the events all accounted for, and a second count agrees."""
    assert first_difference(plain.decisions, played.decisions) == ""
    assert played.decisions == plain.decisions
    exact(played)


def exact(played: Played) -> None:
    assert played.differences == []
    assert played.counted_again.differences == []
    assert played.counted_again.compared > 1_000


def test_the_first_line_that_differs_is_shown() -> None:
    assert first_difference(b"a\nb\nc\n", b"a\nx\ny\n") == "line 2:\n  b\n  x"
    assert first_difference(b"a\n", b"a\nb\n") == "line 2:\n  (no line)\n  b"
    assert first_difference(b"a\n", b"a\n") == ""


def test_six_weeks_have_every_kind_of_decision(plain: Played) -> None:
    """Else the other tests would compare nothing with nothing."""
    found = [json.loads(line) for line in plain.decisions.splitlines()]
    kinds = Counter(decision["kind"] for decision in found)
    assert kinds["request"] >= 2, kinds
    assert kinds["request"] == kinds["candidate"], kinds
    assert {"incident", "verdict", "rollout"} <= kinds.keys(), kinds
    reasons = {decision["body"]["reason"] for decision in found if decision["kind"] == "request"}
    assert {"bootstrap", "schedule"} <= reasons
    stages = {decision["body"]["stage"] for decision in found if decision["kind"] == "verdict"}
    assert {"judge", "shadow"} <= stages
    assert plain.restarts == dict.fromkeys(PROCESSES, 0)
    exact(plain)


def test_a_slower_trainer_and_monitor_decide_the_same(
    plain: Played, tmp_path_factory: pytest.TempPathFactory, kafka_cache: Path
) -> None:
    slower = told("slower", play(tmp_path_factory.mktemp("slower"), kafka_cache, Slower))
    requests = sum(json.loads(line)["kind"] == "request" for line in plain.decisions.splitlines())
    assert slower.seconds > requests * Slower.trainer_seconds
    same(slower, plain)


def test_each_process_killed_once_decides_the_same(
    plain: Played, tmp_path_factory: pytest.TempPathFactory, kafka_cache: Path
) -> None:
    killed = told("killed", play(tmp_path_factory.mktemp("killed"), kafka_cache, Killer))
    assert killed.restarts == dict.fromkeys(PROCESSES, 1)
    fits = Counter(line.split("request='")[1] for line in killed.logs["trainer"].splitlines() if "trainer.fit" in line)
    assert max(fits.values()) == 2, f"the trainer was not killed in a fit: {fits}"
    same(killed, plain)
