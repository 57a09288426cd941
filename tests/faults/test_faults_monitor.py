"""Scenario 2: the monitor is killed between merge, insert, send and commit; the final rows are those of a whole run."""

import msgspec
import numpy as np
from commits import committed
from comparison import check, check_reports
from confluent_kafka import TopicPartition
from faults_world import PAST, Role, World
from loads import NAMESPACE

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
    """Events whose window is in no report yet."""
    rows = world.warehouse.rows("SELECT model, toUnixTimestamp64Milli(max(`at`)) FROM reports GROUP BY model")
    load, through = world.load, dict(rows)
    request = np.maximum(load.table.request, 0)
    decided = np.array([through.get(model, 0) for model in load.shape.names])
    return int(np.count_nonzero(load.time[request] >= decided[load.model[request]]))


def put_behind(world: World) -> int:
    """How many messages the monitor has committed."""
    (place,) = committed(world.settings, "monitor", [TopicPartition(world.settings.topic("partials"), 0)])
    return max(0, place.offset)


def wait_for_a_commit(world: World, before: int) -> None:
    world.until("the monitor commits", lambda: put_behind(world) > before)


def kill(world: World, victim: Role, step: str) -> None:
    left = undecided(world)
    world.kills.append({"at": f"monitor, {step}", "sent": world.sent, "past": left})
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
