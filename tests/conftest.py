"""What tests run against: one real Kafka and one ClickHouse a session, and a database of its own for every test.

Unit and contract tests do no I/O: one that asks for a server fails. ``BROKER=docker`` takes the official images through
testcontainers instead of the local servers (unverified where this was written: no Docker there).
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import pytest
import structlog
from clickhouse_connect.driver.client import Client
from hypothesis import settings as hypothesis_settings

from compose.clickhouse import LocalClickHouse
from compose.kafka import VERSION, LocalKafka
from compose.process import free_port

ROOT = Path(__file__).parent.parent
CLICKHOUSE_IMAGE = "clickhouse/clickhouse-server:26.8"
_INFRASTRUCTURE = {"kafka", "kafka_cache", "clickhouse", "clickhouse_url", "analysts", "make_world"}
_RAN_ON = pytest.StashKey[dict[str, str]]()


def docker() -> bool:
    """Whether this run wants the official images."""
    return os.environ.get("BROKER", "local") == "docker"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "blocked(why): set by conftest on a test that may not do what it asks for")
    config.stash[_RAN_ON] = {}
    # How long an example takes says more about the machine's other work than about the code.
    hypothesis_settings.register_profile("driftline", deadline=None)
    hypothesis_settings.load_profile("driftline")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(ROOT / "tests").parts[0]
        asked = _INFRASTRUCTURE.intersection(getattr(item, "fixturenames", ()))
        if folder in {"unit", "contract"} and asked:
            item.add_marker(_blocked(folder, asked))


def _blocked(folder: str, asked: set[str]) -> pytest.MarkDecorator:
    return pytest.mark.blocked(f"tests/{folder} do no I/O, but this test asks for {', '.join(sorted(asked))}")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if mark := item.get_closest_marker("blocked"):
        pytest.fail(f"{mark.args[0]}: move it to tests/component or tests/integration", pytrace=False)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With DRIFTLINE_NO_SKIPS=1 a skipped test fails the run: what did not run proves nothing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", [])) if reporter else 0
    if os.environ.get("DRIFTLINE_NO_SKIPS") == "1" and skipped and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    tell_of_faults(terminalreporter)
    ran = config.stash[_RAN_ON]
    terminalreporter.section("ran on")
    terminalreporter.line(f"broker: {ran.get('broker', 'none')}")
    terminalreporter.line(f"ClickHouse: {ran.get('clickhouse', 'none')}")
    skipped = len(terminalreporter.stats.get("skipped", []))
    if os.environ.get("DRIFTLINE_NO_SKIPS") == "1" and skipped:
        terminalreporter.line(f"{skipped} skipped: DRIFTLINE_NO_SKIPS=1 makes the run fail", red=True)


def tell_of_faults(terminalreporter: pytest.TerminalReporter) -> None:
    """Seeds and positions of kills, also of tests that passed: their captured output is not shown."""
    reports = [report for some in terminalreporter.stats.values() for report in some]
    # A report of the end of a test has what its fixtures said when they ended.
    ended = [report for report in reports if getattr(report, "when", "") == "teardown"]
    found = {report.nodeid: dict(report.user_properties) for report in ended}
    if faults := {test: said for test, said in found.items() if {"seed", "events", "kills"} <= said.keys()}:
        from faults_world import told

        terminalreporter.section("faults")
        for test, said in faults.items():
            for line in told(test.rpartition("/")[2], said):
                terminalreporter.line(line)


@pytest.fixture(autouse=True)
def _log_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command that a test runs in this process configures the log for its own captured stderr, which then closes."""
    configure = structlog.configure

    def without_cache(**options: Any) -> None:
        configure(**options | {"cache_logger_on_first_use": False})

    monkeypatch.setattr(structlog, "configure", without_cache)
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def kafka_cache() -> Path:
    """Where Kafka's jars are kept between runs."""
    return Path(os.environ.get("DRIFTLINE_CACHE", ROOT / "var" / "cache"))


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config, kafka_cache: Path) -> Iterator[str]:
    """Bootstrap servers of a real Kafka. Topics and groups are the test's own: use names that no other test uses."""
    if docker():
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.wait_strategies import LogMessageWaitStrategy

        # testcontainers' own KafkaContainer is for Confluent's images.
        port = free_port()
        container = DockerContainer(f"apache/kafka:{VERSION}").with_bind_ports(port, port)
        for name, value in _kafka_environment(port).items():
            container.with_env(name, value)
        with container.waiting_for(LogMessageWaitStrategy("Kafka Server started")):
            pytestconfig.stash[_RAN_ON]["broker"] = f"apache/kafka:{VERSION} (Docker)"
            yield f"127.0.0.1:{port}"
        return
    with LocalKafka(tmp_path_factory.mktemp("kafka"), cache=kafka_cache) as broker:
        pytestconfig.stash[_RAN_ON]["broker"] = f"Apache Kafka {broker.version} (local)"
        yield broker.bootstrap


def _kafka_environment(port: int) -> dict[str, str]:
    return {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": f"PLAINTEXT://:{port},CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
        "KAFKA_GROUP_CONSUMER_MIN_SESSION_TIMEOUT_MS": "1000",
        "KAFKA_GROUP_CONSUMER_SESSION_TIMEOUT_MS": "6000",
        "KAFKA_GROUP_CONSUMER_MIN_HEARTBEAT_INTERVAL_MS": "500",
        "KAFKA_GROUP_CONSUMER_HEARTBEAT_INTERVAL_MS": "500",
    }


@pytest.fixture(scope="session")
def clickhouse_url(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[str]:
    """URL of a ClickHouse's HTTP interface; user ``default`` without a password."""
    if docker():
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.wait_strategies import HttpWaitStrategy

        container = DockerContainer(CLICKHOUSE_IMAGE).with_exposed_ports(8123)
        container.with_env("CLICKHOUSE_SKIP_USER_SETUP", "1").waiting_for(HttpWaitStrategy(8123, "/ping"))
        with container:
            pytestconfig.stash[_RAN_ON]["clickhouse"] = f"{CLICKHOUSE_IMAGE} (Docker)"
            yield f"http://{container.get_container_host_ip()}:{container.get_exposed_port(8123)}"
        return
    with LocalClickHouse(tmp_path_factory.mktemp("clickhouse")) as server:
        pytestconfig.stash[_RAN_ON]["clickhouse"] = f"{server.version} (embedded)"
        yield server.url


def connect(url: str, **options: Any) -> Client:
    """Connect clickhouse-connect to ``url`` as everybody does."""
    parts = urlsplit(url)
    return clickhouse_connect.get_client(
        host=parts.hostname or "", port=parts.port or 0, autogenerate_session_id=False, **options
    )


@pytest.fixture
def clickhouse(clickhouse_url: str, request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client in an empty database of this test's own, dropped afterwards."""
    database = "test_" + re.sub(r"\W", "_", f"{request.module.__name__}_{request.node.name}")[-100:]
    with connect(clickhouse_url) as admin:
        admin.command(f"DROP DATABASE IF EXISTS {database}")
        admin.command(f"CREATE DATABASE {database}")
        with connect(clickhouse_url, database=database) as client:
            yield client
        admin.command(f"DROP DATABASE {database}")


@pytest.fixture(scope="session")
def analysts(clickhouse_url: str) -> Iterator[Client]:
    """A client in a database as analysts find it (``analysts_world``), made once: only read it."""
    import analysts_world

    from warehouse.client import Warehouse

    with connect(clickhouse_url) as admin:
        admin.command("DROP DATABASE IF EXISTS analysts")
        admin.command("CREATE DATABASE analysts")
        with connect(clickhouse_url, database="analysts", tz_mode="aware") as client:
            analysts_world.build(Warehouse(client, patience=30))
            yield client
        admin.command("DROP DATABASE analysts")


@pytest.fixture
def owned(kafka: str, clickhouse_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """An installation as a model's owner has it (``owner_world.Owned``), of the test's name."""
    from owner_world import Owned

    made = Owned(kafka, clickhouse_url, tmp_path, request.node.name)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def make_world(
    kafka: str,
    clickhouse_url: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> Iterator[Callable[..., Any]]:
    """Makes a ``faults_world.World`` with settings of its own, given by name; it ends with the test."""
    from faults_world import World

    made: list[World] = []
    name = re.sub(r"\W+", "_", request.node.name.removeprefix("test_")).strip("_")[:60]

    def make(**options: Any) -> World:
        bootstrap, url = options.pop("kafka", kafka), options.pop("clickhouse_url", clickhouse_url)
        made.append(World(bootstrap, url, name, tmp_path, **options))
        return made[-1]

    yield make
    for world in made:
        world.close()
        for what, value in world.summary().items():
            record_property(what, value)


@pytest.fixture
def world(make_world: Callable[..., Any]) -> Any:
    """A ``faults_world.World`` with the usual settings."""
    return make_world()
