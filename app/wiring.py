"""Where processes get their things from: settings (read here only), logs, ClickHouse, topics, store."""

import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from schemas.settings import Settings
from schemas.topics import TOPICS, TopicName

if TYPE_CHECKING:
    from retrain.store import Store
    from schemas.models import ModelRecord
    from warehouse.client import Waiting, Warehouse

log = structlog.get_logger()

_TOPIC_PATIENCE_SECONDS = 60.0
_KAFKA_ANSWER_SECONDS = 5.0


def load_settings(env: Mapping[str, str] | None = None) -> Settings:
    """Settings from ``DRIFTLINE_*``; secrets also from files named ``driftline_<field>`` in ``DRIFTLINE_SECRETS_DIR``.

    Args:
        env: variables that count before the environment's.

    Raises:
        SystemExit: with one line for every setting that is wrong.
    """
    from pydantic import ValidationError

    given: dict[str, Any] = {name.removeprefix("DRIFTLINE_").lower(): value for name, value in (env or {}).items()}
    if folder := os.environ.get("DRIFTLINE_SECRETS_DIR"):
        given["_secrets_dir"] = folder
    try:
        return Settings(**given)
    except ValidationError as error:
        lines = [
            f"  DRIFTLINE_{'.'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        ]
        raise SystemExit("settings cannot be used:\n" + "\n".join(lines)) from None


def configure_logging(role: str = "", *, quiet: bool = False) -> None:
    """Log to stderr: key=value (``DRIFTLINE_LOG_FORMAT=json``: JSON lines) from level ``DRIFTLINE_LOG_LEVEL`` on.

    Args:
        role: named in every line.
        quiet: a person is watching: from warning on unless told otherwise.
    """
    level = os.environ.get("DRIFTLINE_LOG_LEVEL", "warning" if quiet else "info").upper()
    if level not in logging.getLevelNamesMapping():
        raise SystemExit(f"DRIFTLINE_LOG_LEVEL is {level!r}; valid: debug, info, warning, error")
    as_json = os.environ.get("DRIFTLINE_LOG_FORMAT", "keyvalue") == "json"
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"], sort_keys=True)
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    # Libraries speak from warning on; driftline's own log is structlog.
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for repeats_what_our_retries_say in ("urllib3.connectionpool", "clickhouse_connect"):
        logging.getLogger(repeats_what_our_retries_say).setLevel(logging.ERROR)
    if role:
        structlog.contextvars.bind_contextvars(role=role)


def open_warehouse(settings: Settings, *, patience: float = 600.0, waiting: "Waiting | None" = None) -> "Warehouse":
    """Connect to ClickHouse, waiting for it up to ``patience`` seconds, or as ``waiting`` says.

    The database must exist (:func:`prepare`).
    """
    from warehouse.client import Warehouse

    return Warehouse.connect(
        settings.clickhouse_url,
        user=settings.clickhouse_user,
        password=settings.clickhouse_password.get_secret_value(),
        database=settings.database,
        patience=patience,
        waiting=waiting,
    )


def open_store(settings: Settings) -> "Store":
    """The content-addressed store of snapshots and artifacts."""
    from retrain.store import Store

    return Store(settings.store)


def prepare(settings: Settings, *, patience: float = 600.0, waiting: "Waiting | None" = None) -> "Warehouse":
    """Bring database and topics to what ``schemas`` declares; safe to run by every role, any number of times.

    Args:
        settings: where.
        patience: seconds to wait for ClickHouse, and for the brokers.
        waiting: the same, and when to give up before.

    Returns:
        The connection to the migrated database.

    Raises:
        SystemExit: an existing topic differs from its declaration; the message says how to mend it.
    """
    warehouse = prepare_warehouse(settings, patience=patience, waiting=waiting)
    ensure_topics(settings, timeout=patience, waiting=waiting)
    return warehouse


def prepare_warehouse(settings: Settings, *, patience: float = 600.0, waiting: "Waiting | None" = None) -> "Warehouse":
    """Bring the database to what ``schemas`` declares, and return the connection to it."""
    from warehouse.client import Warehouse
    from warehouse.migrate import migrate

    server = Warehouse.connect(
        settings.clickhouse_url,
        user=settings.clickhouse_user,
        password=settings.clickhouse_password.get_secret_value(),
        database="default",
        patience=patience,
        waiting=waiting,
    )
    server.command(f"CREATE DATABASE IF NOT EXISTS {settings.database}")
    warehouse = open_warehouse(settings, patience=patience, waiting=waiting)
    migrate(warehouse)
    return warehouse


def ensure_topics(
    settings: Settings, *, timeout: float = _TOPIC_PATIENCE_SECONDS, waiting: "Waiting | None" = None
) -> list[str]:
    """Create the topics that are missing; hold the others to their declaration.

    Args:
        settings: brokers, prefix, partitions, replication.
        timeout: seconds to wait for the brokers.
        waiting: whom to tell that they are waited for, and when to give up before.

    Returns:
        Names of the topics that were created.

    Raises:
        SystemExit: no broker, or an existing topic with other partitions, another clean-up or smaller limits.
    """
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

    admin = AdminClient(settings.kafka(**{"socket.connection.setup.timeout.ms": 5000}))
    found = _topics(admin, settings, timeout, waiting)
    missing: list[TopicName] = [name for name in TOPICS if settings.topic(name) not in found]
    existing: list[TopicName] = [name for name in TOPICS if settings.topic(name) in found]
    new = [
        NewTopic(settings.topic(name), settings.partitions(name), settings.replication, config=TOPICS[name].config)
        for name in missing
    ]
    created = []
    for name, answer in (admin.create_topics(new, operation_timeout=timeout) if new else {}).items():
        try:
            answer.result()
            created.append(name)
        except KafkaException as error:
            # Another role was faster, with the same declaration.
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise SystemExit(f"topic {name} cannot be created: {error.args[0].str()}") from None
    problems = [
        f"topic {settings.topic(name)} has {len(found[settings.topic(name)].partitions)} partitions, "
        f"declared are {settings.partitions(name)}; "
        + (
            f"set DRIFTLINE_SOURCE_PARTITIONS={len(found[settings.topic(name)].partitions)}; "
            "when events were counted already, driftline offsets show says what that costs"
            if not TOPICS[name].partitions
            else "delete it while driftline is stopped; it is made again"
        )
        for name in existing
        if len(found[settings.topic(name)].partitions) != settings.partitions(name)
    ]
    problems += _config_problems(admin, settings, existing)
    if problems:
        raise SystemExit("topics differ from their declaration:\n  " + "\n  ".join(problems))
    if created:
        log.info("kafka.topics_created", topics=sorted(created))
    return sorted(created)


def _topics(admin: Any, settings: Settings, timeout: float, waiting: "Waiting | None") -> Any:
    """The brokers' topics; while nobody answers, that is said and waited for."""
    from confluent_kafka import KafkaException

    deadline = time.monotonic() + timeout
    while True:
        try:
            return admin.list_topics(timeout=min(_KAFKA_ANSWER_SECONDS, timeout)).topics
        except KafkaException as error:
            if time.monotonic() >= deadline or (waiting is not None and waiting.stop.is_set()):
                raise SystemExit(
                    f"no Kafka broker answered at {settings.bootstrap_servers} within {timeout:g} s ({error}); "
                    "check DRIFTLINE_BOOTSTRAP_SERVERS, or start one: driftline up"
                ) from None
            log.warning("kafka.away", bootstrap_servers=settings.bootstrap_servers, error=str(error)[:300])
            if waiting is not None:
                waiting.told()


def _config_problems(admin: Any, settings: Settings, names: list[TopicName]) -> list[str]:
    """Where existing topics differ in what correctness rests on; how long they keep records is their owner's."""
    from confluent_kafka.admin import ConfigResource, ResourceType  # type: ignore[attr-defined]

    by_resource = {ConfigResource(ResourceType.TOPIC, settings.topic(name)): name for name in names}
    problems = []
    for resource, answer in (admin.describe_configs(list(by_resource)) if by_resource else {}).items():
        declared, actual = TOPICS[by_resource[resource]].config, answer.result()
        for option in (*_EXACTLY, *_AT_LEAST):
            value, found = declared.get(option), actual[option].value
            if value is None or found == value or (option in _AT_LEAST and int(found) >= int(value)):
                continue
            problems.append(
                f"topic {resource.name}: {option} is {found}, declared is {value}; mend it: "
                f"kafka-configs --alter --entity-type topics --entity-name {resource.name} "
                f"--add-config {option}={value}"
            )
    return problems


_EXACTLY = ("cleanup.policy", "message.timestamp.type")
_AT_LEAST = ("max.message.bytes", "min.compaction.lag.ms")


def publish_model(settings: Settings, record: "ModelRecord", *, timeout: float = 30.0) -> None:
    """Publish one generation of a model's spec and reference on the compacted ``models`` topic.

    Args:
        settings: where.
        record: checked here, so that nobody downstream meets a spec that cannot be read.
        timeout: seconds to wait for the acknowledgement.

    Raises:
        pydantic.ValidationError: the spec is wrong; path and value are named.
        SystemExit: the record is too large, or the broker refused it, or did not acknowledge it in time.
    """
    from confluent_kafka import KafkaException

    from bus import generations

    record.parsed()
    try:
        generations.send(settings, record.key(), generations.encoded(record), timeout)
    except generations.TooLarge as large:
        raise SystemExit(str(large)) from None
    except KafkaException as error:
        raise SystemExit(
            f"{record.key().decode()} was not published on topic {settings.topic('models')} of "
            f"{settings.bootstrap_servers}: {error.args[0]}; "
            "check that the brokers answer and that this user may write to the topic, then publish it again"
        ) from None


def read_stack(root: Path) -> dict[str, str]:
    """Environment of a local stack that ``driftline up`` or ``driftline demo`` started in ``root``.

    Raises:
        SystemExit: there is none.
    """
    path = root / "stack.env"
    if not path.exists():
        raise SystemExit(f"no stack in {root} ({path} does not exist); start one: driftline up --root {root}")
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)
