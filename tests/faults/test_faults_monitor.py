"""Scenario 2: the monitor is killed between merge, insert, send and commit; the final rows are those of a whole run."""

import signal
from types import SimpleNamespace
from typing import cast

import msgspec
import numpy as np
import pytest
from commits import committed
from comparison import check, check_reports
from confluent_kafka import TopicPartition
from faults_world import PAST, Role, World
from loads import NAMESPACE, Load, Shape

from schemas.ids import canonical_json
from schemas.lifecycle import Report, Request
from schemas.partials import PartialMessage
from schemas.spec import TeamSpec
from streams.monitor.core import ModelMonitor
from streams.monitor.generations import Generations
from streams.monitor.held import Held


def uninterrupted(world: World) -> dict[str, list[Report]]:
    """What the pure core decides on the same messages, model by model."""
    messages = [msgspec.json.decode(value, type=PartialMessage) for value in world.values("partials")]
    found = {}
    records = world.load.shape.records()
    for record in records:
        monitor = ModelMonitor(NAMESPACE, record.model, Held(world.settings.source_partitions))
        generations = Generations(Generations.of([record]).ordered, pages=TeamSpec().pages / len(records))
        found[record.model] = reports = list[Report]()
        for message in messages:
            if message.model == record.model:
                monitor.apply(message)
                while (start := monitor.due(generations)) is not None:
                    reports.append(monitor.tick(start, generations).report)
    return found


def stored(world: World, model: str) -> list[bytes]:
    rows = world.warehouse.rows(
        "SELECT body FROM reports FINAL WHERE model = {model:String} ORDER BY `at`", {"model": model}
    )
    return [body.encode() for (body,) in rows]


def undecided(world: World) -> int:
    """Events that were sent, and whose window is in no report yet."""
    rows = world.warehouse.rows("SELECT model, toUnixTimestamp64Milli(max(`at`)) FROM reports GROUP BY model")
    load, through = world.load, dict(rows)
    request = load.table.request[: world.fed]
    request = request[request >= 0]  # what is dead has no window
    decided = np.array([through.get(model, 0) for model in load.shape.names])
    return int(np.count_nonzero(load.time[request] >= decided[load.model[request]]))


@pytest.mark.parametrize("fed", [0, 500, 1_000])
def test_what_was_not_sent_yet_is_not_undecided(fed: int) -> None:
    load = Load(Shape(events=2_000))
    alive = int(np.count_nonzero(load.table.request[:fed] >= 0))
    nothing = SimpleNamespace(rows=lambda _sql: [])
    assert undecided(cast("World", SimpleNamespace(load=load, fed=fed, warehouse=nothing))) == alive
    everything = SimpleNamespace(rows=lambda _sql: [(name, load.shape.end) for name in load.shape.names])
    assert undecided(cast("World", SimpleNamespace(load=load, fed=fed, warehouse=everything))) == 0


def put_behind(world: World) -> int:
    """How many messages the monitor has committed."""
    (place,) = committed(world.settings, "monitor", [TopicPartition(world.settings.topic("partials"), 0)])
    return max(0, place.offset)


def wait_for_a_commit(world: World, before: int) -> None:
    world.until("the monitor commits", lambda: put_behind(world) > before)


def kill(world: World, victim: Role, step: str) -> None:
    """SIGKILL, when enough is undecided: nobody decides while it is frozen, and the log grows until then."""
    victim.signal(signal.SIGSTOP)
    while (left := undecided(world)) < PAST * len(world.load) and world.fed < world.load.first_phase:
        world.feed(min(world.fed + len(world.load) // 50, world.load.first_phase))
    world.kills.append({"at": f"monitor, {step}", "sent": world.fed, "past": left})
    world.note(f"kill {len(world.kills)}: {world.kills[-1]}")
    assert left >= PAST * len(world.load), f"a kill does not count: {left} of {len(world.load)} events are not decided"
    victim.kill()


def test_killed_between_merge_insert_send_and_commit(world: World) -> None:
    world.role("aggregate").go()
    following = world.role("monitor")
    for number, step in enumerate(("decided", "inserted", "sent", "told", "committed")):
        victim, following = following, world.role("monitor")
        before = put_behind(world)
        victim.go(step)
        # Windows of an hour: a twelfth of the first phase each.
        world.feed(0.25 + 0.15 * number)
        if step == "committed":
            wait_for_a_commit(world, before)
        else:
            victim.held(step)
        kill(world, victim, step)
    following.go()
    world.finish()
    world.wait_for_reports(world.load.shape.end + 3_600_000)
    following.alive()
    check(world.oracle, world.warehouse)
    check_reports(world.oracle, world.warehouse)
    asked = []
    for model, reports in uninterrupted(world).items():
        assert stored(world, model) == [canonical_json(report) for report in reports]
        asked += [request.id for report in reports for request in report.requests]
    assert len(asked) == world.load.shape.models
    told = [msgspec.json.decode(value, type=Request) for value in world.values("retraining")]
    assert {request.id for request in told} == set(asked)
    assert len({canonical_json(request) for request in told}) == len(asked), "one id, other content"
