"""Scenario 3: brokers are killed and restarted. What they acknowledged is counted, once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from comparison import check, check_no_forks
from faults_world import World

from compose.kafka import LocalKafka
from compose.kafka_cluster import LocalKafkaCluster

NODES = 3
KILLS = 5


@pytest.fixture
def broker(tmp_path: Path, kafka_cache: Path) -> Iterator[LocalKafka]:
    """A broker of this test's own."""
    made = LocalKafka(tmp_path / "kafka", cache=kafka_cache, heap="256m")
    made.start()
    yield made
    made.kill()


@pytest.fixture
def cluster(tmp_path: Path, kafka_cache: Path) -> Iterator[LocalKafkaCluster]:
    """Three brokers of this test's own."""
    made = LocalKafkaCluster(tmp_path / "kafka", cache=kafka_cache, nodes=NODES)
    made.start()
    yield made
    made.kill()


def test_the_only_broker_is_killed_and_restarted(broker: LocalKafka, make_world: Callable[..., World]) -> None:
    world = make_world(kafka=broker.bootstrap, session_timeout_ms=6_000)
    member = world.role("aggregate").go()
    for number in range(2):
        world.wait_for_a_checkpoint(0.2 + 0.3 * number)
        with world.enough_undecided("the only broker"):
            broker.kill()
        broker.start()
    world.wait_for_a_checkpoint(0.8)
    with world.enough_undecided("the only broker, in order"):
        broker.stop()
    broker.start()
    world.finish()
    member.alive()
    check(world.oracle, world.warehouse)
    check_no_forks(world.warehouse)


def test_the_leader_is_killed_five_times(cluster: LocalKafkaCluster, make_world: Callable[..., World]) -> None:
    world = make_world(kafka=cluster.bootstrap, replication=NODES, session_timeout_ms=6_000)
    topic = world.settings.topic("predictions")
    member = world.role("aggregate").go()
    world.wait_for_a_checkpoint(0.05)
    for number in range(KILLS):
        world.until("every replica has everything", lambda: cluster.in_sync(topic, 0) == NODES)
        with world.enough_undecided(f"leader {number + 1} of {KILLS}"):
            victim = world.until("somebody leads", lambda: cluster.leader(topic, 0))
            cluster.nodes[victim].kill()
        # Acknowledged by the two that are left.
        world.feed((number + 1) / (KILLS + 1))
        cluster.nodes[victim].start()
        world.until("it counts on", lambda: world.committed() > world.kills[-1]["committed"])
    world.finish()
    member.alive()
    check(world.oracle, world.warehouse)
    check_no_forks(world.warehouse)
