"""How a process is told where things are: ``DRIFTLINE_*`` in the environment, or files for secrets.

Only ``app`` builds a :class:`Settings`; everybody else is handed one.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.channels import ChannelNames, Channels
from schemas.topics import PARTITIONER, TOPICS, TopicName

_CLASSIC_ONLY = {"session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"}

_MANY_AT_ONCE = {"fetch.min.bytes": 100_000}
"""An aggregator's fetch waits a moment for more: else a steady stream is hundreds of small answers a second."""

GroupProtocol = Literal["classic", "consumer"]
"""How a consumer group shares partitions out: by its members (classic), or by the broker (KIP-848)."""


class Settings(BaseSettings):
    """Settings of one installation; every field is an environment variable ``DRIFTLINE_<FIELD>``.

    Secrets may be files instead: ``DRIFTLINE_SECRETS_DIR`` is read by :mod:`app.wiring`.
    """

    model_config = SettingsConfigDict(env_prefix="DRIFTLINE_", extra="forbid", frozen=True)

    bootstrap_servers: str = Field(default="127.0.0.1:9092", description="Kafka brokers, host:port, comma-separated")
    kafka_options: dict[str, str] = Field(
        default_factory=dict, description="further librdkafka options (JSON), e.g. security.protocol"
    )
    kafka_password: SecretStr | None = Field(default=None, description="sasl.password")
    clickhouse_url: str = Field(default="http://127.0.0.1:8123", description="ClickHouse's HTTP interface")
    clickhouse_user: str = "default"
    clickhouse_password: SecretStr = SecretStr("")
    analyst_password: SecretStr = Field(
        default=SecretStr(""),
        description="of the embedded ClickHouse's user analyst, who can only read; empty: no user",
    )
    database: str = Field(default="driftline", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    topic_prefix: str = Field(default="driftline", description="also the prefix of the consumer groups")
    source_partitions: int = Field(default=4, ge=1, description="partitions of predictions and of outcomes")
    replication: int = Field(default=1, ge=1)
    schema_registry_url: str = Field(
        default="", description="Schema Registry of the topics that a model's source maps from Avro or Protobuf"
    )
    schema_registry_user: str = ""
    schema_registry_password: SecretStr | None = None
    store: Path = Field(default=Path("var/store"), description="content-addressed store of snapshots and artifacts")
    checkpoint_seconds: float = Field(
        default=10.0,
        gt=0,
        description="longest time between two checkpoints; three times that while events wait to be read",
    )
    idle_after_seconds: float = Field(default=300.0, gt=0, description="silence after which a partition is idle")
    session_timeout_ms: int = Field(default=30_000, ge=1_000, description="a dead member is replaced after this")
    group_protocol: GroupProtocol = Field(
        default="classic",
        description="of the aggregators' group; consumer: KIP-848, where a dead member is replaced after the broker's "
        "group.consumer.session.timeout.ms",
    )
    cache_events: int = Field(default=1_000_000, ge=1_000, description="events an aggregator remembers per partition")
    recalled_events: int = Field(
        default=50_000,
        ge=0,
        description="of them, how many it reads back when it takes a partition; others when asked for",
    )
    web_host: str = Field(default="127.0.0.1", description="where the web page listens; it has no log-in of its own")
    web_port: int = Field(default=8080, ge=1, le=65535)
    web_hosts: tuple[str, ...] = Field(
        default=("127.0.0.1", "localhost"), description="names that the web page answers to (JSON list), without port"
    )
    metrics_host: str = Field(
        default="127.0.0.1", description="where /metrics, /healthz and /readyz listen; they have no log-in"
    )
    metrics_port: int | None = Field(
        default=None, ge=0, le=65535, description="their port, each process's own; 0: any free one; none: they are off"
    )
    dead_letter_ratio: float = Field(default=0.5, gt=0, le=1, description="the breaker stops a consumer above this")
    dead_letter_min: int = Field(default=1_000, ge=1, description="fewest events in a row that the breaker looks at")

    channels: Channels = Field(
        default_factory=dict,
        description="where people are called (JSON): name -> schemas/channels.py",
    )
    default_channels: ChannelNames = Field(
        default=(), description="channels of whoever has declared no team, and of the installation's own incidents"
    )
    notify_give_up_seconds: float = Field(default=3600.0, gt=0, description="how long a delivery is tried")
    runbook_url: str = Field(default="docs/oncall.md", description="where a page says what to do; #name is appended")

    def topic(self, name: TopicName) -> str:
        """Full name of a topic on the broker."""
        return TOPICS[name].full_name(self.topic_prefix)

    def partitions(self, name: TopicName) -> int:
        """How many partitions a topic has."""
        return TOPICS[name].partitions or self.source_partitions

    def group(self, role: str) -> str:
        """Consumer group of a role."""
        return f"{self.topic_prefix}.{role}"

    def kafka(self, **options: Any) -> dict[str, Any]:
        """Configuration of librdkafka: the brokers, the owner's security options, then ``options``."""
        secret = {"sasl.password": self.kafka_password.get_secret_value()} if self.kafka_password else {}
        return {"bootstrap.servers": self.bootstrap_servers, **self.kafka_options, **secret, **options}

    def producer(self, **options: Any) -> dict[str, Any]:
        """Configuration of an idempotent producer that waits for all replicas and partitions as everybody does."""
        return self.kafka(
            **{"enable.idempotence": True, "acks": "all", "partitioner": PARTITIONER, "linger.ms": 5} | options
        )

    def counting(self, **options: Any) -> dict[str, Any]:
        """Configuration of an aggregator's consumer: a source partition's topics go to the same member."""
        classic = self.consumer(self.group("aggregate"), **(_MANY_AT_ONCE | options))
        if self.group_protocol == "classic":
            return classic | {"partition.assignment.strategy": "range"}
        # Sessions and heartbeats are the broker's there, and a client that names them is refused.
        kept = {key: value for key, value in classic.items() if key not in _CLASSIC_ONLY}
        return kept | {"group.protocol": "consumer", "group.remote.assignor": "range"}

    def consumer(self, group: str, **options: Any) -> dict[str, Any]:
        """Configuration of a consumer that decides itself when its offsets are committed."""
        return self.kafka(
            **{
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "session.timeout.ms": self.session_timeout_ms,
                "heartbeat.interval.ms": max(300, self.session_timeout_ms // 10),
                "fetch.wait.max.ms": 20,
                "fetch.queue.backoff.ms": 20,
                "check.crcs": True,
            }
            | options
        )
