"""Faust apps as the stages run them: raw bytes, no tables, nothing declared, every acknowledgement waited for."""

import faust

from bus.credentials import credentials
from schemas.settings import Settings
from schemas.topics import MAX_MESSAGE_BYTES


def create_app(settings: Settings, role: str) -> faust.App:
    """An app of the consumer group of ``role``, without agents; not started.

    Raises:
        CredentialsError: the owner's Kafka options cannot be used for Faust.
    """
    options = settings.kafka()
    servers = options.pop("bootstrap.servers")
    return faust.App(
        settings.group(role),
        broker=[f"kafka://{server}" for server in servers.split(",")],
        broker_credentials=credentials(options),
        datadir=str(settings.store.parent / f"faust-{role}"),
        store="memory://",
        key_serializer="raw",
        value_serializer="raw",
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        stream_wait_empty=False,
        stream_buffer_maxsize=1024,
        broker_max_poll_records=500,
        broker_session_timeout=settings.session_timeout_ms / 1000,
        broker_heartbeat_interval=max(0.3, settings.session_timeout_ms / 10_000),
        broker_commit_interval=1.0,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=MAX_MESSAGE_BYTES,
        producer_acks=-1,
        producer_linger=0,
        producer_max_request_size=MAX_MESSAGE_BYTES,
        web_enabled=False,
    )
