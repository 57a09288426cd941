"""A role that is told to leave is gone within ten seconds, whatever it is at and whoever is away; nothing is redone."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from outage_world import World
from roles_process import ROOT, Role, started, until

from app.roles import ROLES


@pytest.fixture
def world(tmp_path: Path, kafka_cache: Path) -> Iterator[World]:
    made = World(tmp_path, kafka_cache)
    yield made
    made.end()


def busy(role: Role) -> bool:
    """Whether stage 1 is in the middle of it: some is counted, and work waits that no checkpoint holds."""
    said = role.get("/metrics")[1]
    found = {line.split(" ")[0]: float(line.split(" ")[1]) for line in said.splitlines() if line[:1] not in {"", "#"}}
    counted = found.get('driftline_events_total{topic="predictions",verdict="counted"}', 0)
    return counted > 0 and found["driftline_checkpoint_age_seconds"] > 0


def test_stage_1_leaves_under_load_with_all_committed_and_told(world: World, tmp_path: Path) -> None:
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            world.send(500)

    sender = threading.Thread(target=load)
    sender.start()
    try:
        for _ in range(2):
            with started(world.settings, tmp_path, {"aggregate": {}}) as roles:
                until(lambda: busy(roles["aggregate"]), "it is at work")
                assert roles["aggregate"].end() == 0
                assert "role.stopped" in roles["aggregate"].said
            decided = world.decided()
            assert decided
            assert world.told() == decided, "the last checkpoint was told as well: nothing is left to be redone"
            counted = world.counted()["predictions.counted"]
            assert counted == sum(position for position, _ in decided.values()), "all that was committed is counted"
    finally:
        stop.set()
        sender.join()
    with started(world.settings, tmp_path, {"aggregate": {}}):
        until(lambda: world.counted() == {"predictions.counted": world.sent}, "all is counted, once")


def test_every_role_leaves_under_load(world: World, tmp_path: Path) -> None:
    world.send(2_000)
    with started(world.settings, tmp_path, {name: {} for name in ROLES}) as roles:
        for role in roles.values():
            role.until_ready()
        world.send(2_000)
        until(lambda: "driftline_ticks_total 0.0" not in roles["monitor"].get("/metrics")[1], "stage 2 is at work")
        for role in roles.values():
            role.process.send_signal(signal.SIGTERM)
        assert {name: role.gone() for name, role in roles.items()} == dict.fromkeys(ROLES, 0)
        assert all("role.stopped" in role.said for role in roles.values())
    ticks = world.warehouse.rows("SELECT count() FROM reports")
    with started(world.settings, tmp_path, {"aggregate": {}, "monitor": {}}) as roles:
        until(lambda: world.counted() == {"predictions.counted": world.sent}, "all is counted, once")
        roles["monitor"].until_ready()
    assert world.warehouse.rows("SELECT count() FROM reports") >= ticks


@pytest.mark.parametrize("how", ["gone", "frozen"])
def test_every_role_leaves_while_clickhouse_is_away(world: World, tmp_path: Path, how: str) -> None:
    world.send(2_000)
    with started(world.settings, tmp_path, {name: {} for name in ROLES}) as roles:
        for role in roles.values():
            role.until_ready()
        pid = world.clickhouse.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP if how == "frozen" else signal.SIGKILL)
        world.send(5_000)
        if how == "gone":
            until(lambda: "clickhouse.away" in roles["aggregate"].said, "stage 1 waits for it")
        else:
            until(lambda: "clickhouse: no answer" in roles["aggregate"].get("/readyz")[1], "it does not answer")
        for role in roles.values():
            role.process.send_signal(signal.SIGTERM)
        # Who hangs in a request that is not answered is cut off, as a crash would; that loses nothing either.
        allowed = {0} if how == "gone" else {0, 1}
        for role in roles.values():
            assert role.gone() in allowed, role.said
    if how == "frozen":
        os.kill(pid, signal.SIGCONT)
    else:
        world.clickhouse.start()
    with started(world.settings, tmp_path, {"aggregate": {}}):
        until(lambda: world.counted() == {"predictions.counted": world.sent}, "all is counted, once")


def test_every_role_leaves_while_kafka_is_away(world: World, tmp_path: Path) -> None:
    with started(world.settings, tmp_path, {name: {} for name in ROLES}) as roles:
        for role in roles.values():
            role.until_ready()
        world.send(2_000)
        world.broker.kill()
        until(lambda: "kafka: no answer" in roles["aggregate"].get("/readyz")[1], "it does not answer")
        for role in roles.values():
            role.process.send_signal(signal.SIGTERM)
        for role in roles.values():
            assert role.gone() in {0, 1}, role.said
    world.broker.start()
    with started(world.settings, tmp_path, {"aggregate": {}}):
        until(lambda: world.counted() == {"predictions.counted": world.sent}, "all is counted, once")


HUNG = """
from confluent_kafka import Producer
from app import leaving
stop = leaving.when_told(grace=0.3)
producer = Producer({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})
producer.produce("nowhere", b"")
print("up", flush=True)
producer.flush(600)
"""


DEAF = """
import re
from app import leaving
stop = leaving.when_told(grace=0.3)
print("up", flush=True)
stop.wait()
re.match("(a*)*b", "a" * 200)
"""


def cut_off(program: str) -> str:
    """What a program says that is told to leave and does not."""
    command: list[Any] = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(10) == 1
        finally:
            process.kill()
        return process.stdout.read()


def test_a_main_thread_that_hears_nothing_is_cut_off() -> None:
    """Python's signal handlers wait for a call into C to return, and a flush without brokers does not."""
    said = cut_off(HUNG)
    assert "role.cut_off" in said
    assert "in <module>" in said, "where it was"


def test_a_call_that_keeps_the_interpreter_is_cut_off() -> None:
    """As librdkafka's can in closing: no thread runs in Python any more."""
    assert "in match" in cut_off(DEAF)
