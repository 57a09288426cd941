"""Scenario 12: offsets mean something else. Stage 1 does not start, says what happened, and goes on by command."""

from collections.abc import Callable
from typing import Any

import pytest
from comparison import check, check_no_forks
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]
from faults_world import World
from loads import TOPICS
from operating import Aggregator, aggregator, all_counted, as_json, driftline

HALF = 0.5


def count_half(world: World) -> None:
    """Count half of the load, and leave in order."""
    world.feed(HALF)
    with aggregator(world):
        world.until("half is counted", lambda: all_counted(world))
    world.until("the group is empty", lambda: not members(world))


def members(world: World) -> list[Any]:
    group = world.settings.group("aggregate")
    admin = AdminClient(world.settings.kafka())
    return list(admin.describe_consumer_groups([group])[group].result(30).members)


def kinds(world: World) -> set[str]:
    found = as_json(world, "offsets", "show", code=1)
    return {problem["kind"] for problem in found["problems"]}


def goes_on(world: World, *options: str) -> None:
    """The command mends it, says so again for nothing, and the rest is counted."""
    would = as_json(world, "offsets", "restore", "--dry-run", *options)
    done = as_json(world, "offsets", "restore", *options)
    assert would["done"]
    assert len(done["done"]) == len(would["done"])
    assert as_json(world, "offsets", "show")["problems"] == []
    assert as_json(world, "offsets", "restore") == {"dry_run": False, "done": []}


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_offsets_that_have_expired_are_committed_again(make_world: Callable[..., World], protocol: str) -> None:
    world = make_world(group_protocol=protocol)
    count_half(world)
    group = world.settings.group("aggregate")
    admin = AdminClient(world.settings.kafka())
    admin.delete_consumer_groups([group])[group].result(30)

    said = Aggregator(world).refused()
    assert "the offsets were reset, or have expired" in said
    assert "driftline offsets restore" in said
    assert kinds(world) == {"reset"}

    goes_on(world)
    with aggregator(world):
        world.finish()
    check(world.oracle, world.warehouse)
    check_no_forks(world.warehouse)


@pytest.mark.parametrize("topic", TOPICS)
def test_a_recreated_topic_goes_on_behind_the_old_offsets(world: World, topic: str) -> None:
    count_half(world)
    name = world.settings.topic(topic)  # type: ignore[arg-type]
    admin = AdminClient(world.settings.kafka())
    admin.delete_topics([name])[name].result(30)
    world.until("the topic is gone", lambda: name not in admin.list_topics(timeout=10).topics)

    # The first start makes the topic again; before the second one, producers have filled it.
    said = Aggregator(world).refused()
    assert f"topic {name} was deleted and made again" in said
    world.feed(0.6)
    Aggregator(world).refused()
    assert "recreated" in kinds(world)

    goes_on(world)
    with aggregator(world):
        world.finish()
    check(world.oracle, world.warehouse)
    check_no_forks(world.warehouse)


def test_events_that_were_deleted_unread_are_passed_over_by_command_only(world: World) -> None:
    count_half(world)
    world.feed(0.6)
    name = world.settings.topic("predictions")
    places = [TopicPartition(name, p, -1) for p in range(world.settings.source_partitions)]
    admin = AdminClient(world.settings.kafka())
    for done in admin.delete_records(places).values():
        done.result(30)

    assert "were deleted from Kafka before they were counted" in Aggregator(world).refused()
    found = as_json(world, "offsets", "show", code=1)
    assert {problem["kind"] for problem in found["problems"]} == {"deleted"}
    lost = sum(place["log"]["predictions"][0] - place["next"]["predictions"] for place in found["partitions"])
    assert lost > 0

    goes_on(world)
    with aggregator(world):
        world.finish()
    rows = world.warehouse.rows(
        "SELECT sum(events) FROM tallies WHERE startsWith(tally, 'predictions.') AND tally != 'predictions.served'"
    )
    sent = int((world.load.table.topic == 0).sum())
    assert rows[0][0] == sent - lost, "all but the lost ones, each once"


def test_another_number_of_partitions_is_refused_until_its_price_is_accepted(world: World) -> None:
    count_half(world)
    admin, more = AdminClient(world.settings.kafka()), world.settings.source_partitions + 2
    for topic in TOPICS:
        name = world.settings.topic(topic)  # type: ignore[arg-type]
        admin.create_partitions([NewPartitions(name, more)])[name].result(30)

    assert f"set DRIFTLINE_SOURCE_PARTITIONS={more}" in Aggregator(world).refused()
    world.settings = world.settings.model_copy(update={"source_partitions": more})
    assert "were counted until now" in Aggregator(world).refused()
    assert kinds(world) == {"partitions"}
    assert "do not find each other" in driftline(world, "offsets", "restore", code=2)
    before = as_json(world, "offsets", "show", code=1)["partitions"][0]["recorded"]
    assert as_json(world, "offsets", "restore", "--accept-partitions") == {"dry_run": False, "done": []}

    with aggregator(world):
        world.feed(len(world.load))
        world.until("all is counted", lambda: all_counted(world))
    assert as_json(world, "offsets", "show")["partitions"][0]["recorded"] > before
