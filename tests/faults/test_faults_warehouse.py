"""Scenario 8: ClickHouse is away, or has done what was asked and its answer is lost."""

import os
import time
from collections.abc import Iterator
from functools import partial

import psutil  # type: ignore[import-untyped]
import pytest
from comparison import check, check_no_forks
from faults_world import EVENTS, World
from flaky_network import Proxy

AWAY = float(os.environ.get("DRIFTLINE_FAULTS_AWAY_SECONDS", "60" if EVENTS >= 1_000_000 else "6"))
MORE_BYTES = 400_000_000
"""What stage 1 may hold more than before, while everything waits; the log is larger than what it may hold of it."""


@pytest.fixture
def proxy(clickhouse_url: str) -> Iterator[Proxy]:
    made = Proxy(clickhouse_url)
    yield made
    made.close()


def test_away_while_events_come(world: World, proxy: Proxy) -> None:
    role = world.role("aggregate", clickhouse_url=proxy.url).go()
    world.wait_for_a_checkpoint(0.2)
    process = psutil.Process(role.process.pid)
    held = process.memory_info().rss
    proxy.away()
    world.feed(world.load.first_phase)
    most, until = 0, time.monotonic() + AWAY

    def put_down() -> bool:
        """Whether ClickHouse has been away for long enough, and stage 1 has said so: it waits for a hiccup first."""
        nonlocal most
        most = max(most, process.memory_info().rss)
        return time.monotonic() >= until and "aggregate.paused" in role.log.read_text()

    world.until("the partitions are put down", put_down, AWAY + 60)
    committed = world.committed()
    world.note(f"{AWAY:g} s away, {len(world.load) - committed} events wait, {(most - held) / 1e6:.0f} MB more")
    assert most - held < MORE_BYTES
    proxy.back()
    world.finish()
    role.alive()
    check(world.oracle, world.warehouse)
    check_no_forks(world.warehouse)


def lost_more_than(proxy: Proxy, number: int) -> bool:
    return proxy.lost > number


def test_the_answer_to_an_insert_is_lost(world: World, proxy: Proxy) -> None:
    role = world.role("aggregate", clickhouse_url=proxy.url).go()
    tables = ("raw_predictions", "raw_outcomes", "dead_letters", "redo", "partial_messages", "checkpoints")
    for number, table in enumerate(tables):
        proxy.lose_an_answer(table)
        world.feed(0.15 * (number + 1))
        world.until(f"the answer of {table} is lost", partial(lost_more_than, proxy, number))
    world.finish()
    role.alive()
    check(world.oracle, world.warehouse)
    check_no_forks(world.warehouse)
