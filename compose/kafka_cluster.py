"""Several local Kafka nodes as one cluster, for tests of what a lost broker does: one machine, loopback only."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from compose.kafka import LocalKafka, Peers, install, new_cluster_id
from compose.process import ServerError, free_port, write_whole

_ANSWER_SECONDS = 2.0


class LocalKafkaCluster:
    """Kafka nodes that are broker and controller at once, with ids from 1 on; topics may have as many replicas.

    With three nodes everything Kafka keeps for itself has three replicas, of which two must acknowledge, so that one
    node may be lost at a time.

    Args:
        root: directory of the nodes' directories, and of what they agree on.
        cache: directory of the downloaded jars.
        nodes: how many; 3 or more survive the loss of one.
        heap: Java heap of each (``-Xmx``).
    """

    def __init__(self, root: Path, *, cache: Path, nodes: int = 3, heap: str = "256m") -> None:
        self._cache = cache
        cluster, controllers = _agreement(root, nodes)
        self.nodes = {
            node: LocalKafka(root / f"node{node}", cache=cache, heap=heap, peers=Peers(node, cluster, controllers))
            for node in controllers
        }

    @property
    def bootstrap(self) -> str:
        """Bootstrap servers: all nodes, ``127.0.0.1:PORT,...``; empty before the start."""
        return ",".join(node.bootstrap for node in self.nodes.values() if node.bootstrap)

    def start(self, *, patience: float = 90.0, say: Callable[[str], None] = lambda _: None) -> str:
        """Start all nodes at once, since none of them answers alone, and wait until every one is known as a broker.

        Args:
            patience: seconds to wait.
            say: told of the progress of a download.

        Returns:
            The bootstrap servers.

        Raises:
            KafkaInstallError: Kafka cannot be installed.
            ServerError: a node does not start, or they do not find each other.
        """
        install(self._cache, say)
        deadline = time.monotonic() + patience
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(lambda node: node.start(patience=patience), self.nodes.values()))
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0}, logger=None)
        while len(_brokers(admin)) < len(self.nodes):
            if time.monotonic() > deadline:
                raise ServerError(f"only {len(_brokers(admin))} of {len(self.nodes)} brokers in {patience:g} s")
            time.sleep(0.05)
        return self.bootstrap

    def leader(self, topic: str, partition: int) -> int | None:
        """Node that leads a partition; None while none does."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0}, logger=None)
        try:
            found = admin.list_topics(topic, timeout=_ANSWER_SECONDS).topics[topic].partitions[partition].leader
        except (KafkaException, KeyError):
            return None
        return found if found in self.nodes else None

    def in_sync(self, topic: str, partition: int) -> int:
        """How many replicas of a partition have everything; 0 while nobody can tell."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0}, logger=None)
        try:
            return len(admin.list_topics(topic, timeout=_ANSWER_SECONDS).topics[topic].partitions[partition].isrs)
        except (KafkaException, KeyError):
            return 0

    def stop(self) -> None:
        """Stop all nodes in order; waits."""
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(lambda node: node.stop(), self.nodes.values()))

    def kill(self) -> None:
        """Kill all nodes (SIGKILL)."""
        for node in self.nodes.values():
            node.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _agreement(root: Path, nodes: int) -> tuple[str, dict[int, int]]:
    """Id of the cluster and port of each controller: what ``root`` remembers, else new ones, written down."""
    notes = root / "cluster.json"
    if notes.exists():
        known = json.loads(notes.read_text(encoding="utf-8"))
        if len(known["controllers"]) != nodes:
            raise ServerError(
                f"{root} has a cluster of {len(known['controllers'])} nodes, not {nodes}; take another folder"
            )
        return known["cluster"], {int(node): port for node, port in known["controllers"].items()}
    cluster, controllers = new_cluster_id(), {node: free_port() for node in range(1, nodes + 1)}
    root.mkdir(parents=True, exist_ok=True)
    write_whole(notes, json.dumps({"cluster": cluster, "controllers": controllers}))
    return cluster, controllers


def _brokers(admin: AdminClient) -> dict[int, object]:
    try:
        return dict(admin.list_topics(timeout=_ANSWER_SECONDS).brokers)
    except KafkaException:
        return {}
