"""Scenario 7: poison is accounted for, a burst stops stage 1 until a command, and what was mended is counted once."""

import json

from comparison import differences, sketches
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from faults_world import World
from loads import NAMESPACE, START, TOPICS, Record, model_record, murmur2
from operating import aggregator, all_counted, as_json, driftline
from oracle import Key, Numbers

from app.wiring import publish_model
from schemas.windows import from_ms

BURST = 3_000
LATER = 400
LARGE = 2_000_000


def event(model: str, number: int, features: str) -> bytes:
    return (
        f'{{"namespace":"{NAMESPACE}","model":"{model}","version":"v1","prediction_id":"{number:09d}","event_time":'
        f'"{from_ms(START).isoformat()}","features":{{{features}}},"scores":{{"late":0.5}}}}'
    ).encode()


def records(world: World, values: list[bytes]) -> list[Record]:
    """Predictions, each in some partition."""
    return [Record("predictions", n % world.settings.source_partitions, b"", value) for n, value in enumerate(values)]


def send(world: World, values: list[bytes]) -> None:
    world.produce(records(world, values))
    world.sent_besides += len(values)


def send_large(world: World) -> None:
    """Two megabytes: the owner of the topic has raised its limit; a producer with another one sends what it likes."""
    name = world.settings.topic("predictions")
    larger = ConfigEntry("max.message.bytes", str(2 * LARGE), incremental_operation=AlterConfigOpType.SET)
    admin = AdminClient(world.settings.kafka())
    for done in admin.incremental_alter_configs(
        [ConfigResource(ResourceType.TOPIC, name, incremental_configs=[larger])]
    ).values():
        done.result(30)
    producer = Producer(world.settings.producer(**{"message.max.bytes": 2 * LARGE}))
    producer.produce(name, event("model0", 1, f'"x":"{"9" * LARGE}"'), b"", 0)
    assert producer.flush(30) == 0
    world.sent_besides += 1


def in_the_log(world: World) -> int:
    """Records of both topics, what a replay sent again among them."""
    reader = Consumer(world.settings.consumer("reader"))
    places = [TopicPartition(world.settings.topic(t), p) for t in TOPICS for p in range(4)]  # type: ignore[arg-type]
    ends = [reader.get_watermark_offsets(place, timeout=30)[1] for place in places]
    reader.close()
    return sum(ends)


def tallies(world: World, model: str = "") -> dict[str, int]:
    where = f"WHERE model = '{model}'" if model else ""
    rows = world.warehouse.rows(
        f"SELECT splitByChar('.', tally)[2] AS verdict, sum(events) FROM tallies {where} GROUP BY verdict"  # noqa: S608
    )
    return dict(rows)


def test_poison_is_accounted_for_and_a_burst_stops_stage_1_until_a_command(world: World) -> None:
    broken = [b"{", b'{"namespace":1}', event("model0", 1, '"x":NaN'), b"\xff\xfe", b"[" * 10_000]
    later = [event("later", number, '"x":0.5') for number in range(LATER)]
    keys = [f"{NAMESPACE}/later/{number:09d}".encode() for number in range(LATER)]
    homes = ((murmur2(keys) & 0x7FFFFFFF) % world.settings.source_partitions).tolist()
    world.feed(0.3)
    send(world, broken * 20)
    send_large(world)
    world.produce(Record("predictions", p, key, value) for p, key, value in zip(homes, keys, later, strict=True))
    world.sent_besides += LATER
    with aggregator(world):
        world.until("all is counted", lambda: all_counted(world))
        assert as_json(world, "breaker", "show") == [], "a few among many stop nobody"

        # All of a stretch is bad.
        send(world, [b"{"] * BURST)
        world.until("the breaker is open", lambda: "open" in str(world.warehouse.rows("SELECT state FROM breakers")))
    found = as_json(world, "breaker", "show", code=1)
    assert [(b["topic"], b["state"]) for b in found] == [("predictions", "open")]
    assert "are dead letters" in found[0]["why"]

    # A restart resumes nothing; a command does.
    stopped = world.committed()
    world.feed(0.6)
    with aggregator(world) as member:
        world.until("it waits", member.said("driftline breaker reset"))
        assert world.committed() == stopped
        assert as_json(world, "breaker", "reset") == {"reset": ["predictions"]}
        assert as_json(world, "breaker", "reset") == {"reset": []}
        world.until("it goes on", lambda: all_counted(world))

        # The cause of some is mended: those are counted, once.
        publish_model(world.settings, model_record("later"))
        sent = as_json(world, "dead-letters", "replay", "--reason", "unknown_model", "--model", "later")["sent"]
        assert len(sent) == LATER
        again = as_json(world, "dead-letters", "replay", "--reason", "unknown_model", "--model", "later")
        assert again["sent"] == []
        world.until("they are counted", lambda: sum(tallies(world, "later").values()) >= LATER)
        world.sent_besides += LATER
        world.finish()
    verdicts = tallies(world)
    served = world.warehouse.rows("SELECT sum(events) FROM tallies WHERE tally = 'predictions.served'")[0][0]
    assert tallies(world, "later").get("duplicate", 0) == 0
    progress = world.settings.source_partitions * len(TOPICS) * len(world.load.shape.names) * 2
    accounted = sum(n for verdict, n in verdicts.items() if verdict in ("counted", "late", "duplicate", "correction"))
    assert accounted + verdicts["dead"] == in_the_log(world) - progress, (verdicts, served)
    letters = dict(world.warehouse.rows("SELECT reason, count() FROM dead_letters FINAL GROUP BY reason"))
    assert sum(letters.values()) == verdicts["dead"]
    assert letters["too_large"] == 1
    assert letters["undecodable"] >= BURST + 4 * 20
    names = world.load.shape.names
    expected = {key: numbers for key, numbers in world.oracle.expected().items() if key.model in names}
    got = {key: numbers for key, numbers in sketches(world.warehouse).items() if key.model in names}
    assert not (found_differences := differences(expected, got)), found_differences
    assert json.loads(driftline(world, "dead-letters", "list", "--reason", "too_large", "--json"))


def test_the_breaker_is_open_for_whoever_starts_later(world: World) -> None:
    send(world, [b"{"] * BURST)
    with aggregator(world) as first:
        world.until("it stops", first.said("aggregate.breaker_open"))
        with aggregator(world) as second:
            world.until("so does the other", second.said("aggregate.waits"))
            driftline(world, "breaker", "reset")
            world.finish()
    expected = world.oracle.expected()
    dead = Key("", 0, "tally", "", "", "predictions.dead")
    expected[dead] = Numbers(expected[dead].n + BURST)
    assert not (found := differences(expected, sketches(world.warehouse))), found
