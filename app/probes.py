"""Whether the servers beneath a role answer: asked for ``/readyz``, by connections of their own."""

from collections.abc import Callable

import httpx
import structlog

from schemas.settings import Settings

log = structlog.get_logger()

_ANSWER_SECONDS = 2.0


def clickhouse(settings: Settings) -> Callable[[], str]:
    """A check that ClickHouse answers a query in driftline's database, as driftline's user."""
    client = httpx.Client(timeout=_ANSWER_SECONDS)
    who = {
        "X-ClickHouse-User": settings.clickhouse_user,
        "X-ClickHouse-Key": settings.clickhouse_password.get_secret_value(),
        "X-ClickHouse-Database": settings.database,
    }

    def check() -> str:
        try:
            answer = client.post(settings.clickhouse_url, content="SELECT 1", headers=who)
        except httpx.HTTPError as error:
            return f"no answer within {_ANSWER_SECONDS:g} s: {type(error).__name__}"
        return "" if answer.status_code == httpx.codes.OK else f"refused with status {answer.status_code}"

    return check


def kafka(settings: Settings) -> Callable[[], str]:
    """A check that a broker answers and knows the topic that all else rests on."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    topic = settings.topic("models")
    # What it finds is said by /readyz; its own log would repeat it at every look.
    admin = AdminClient(settings.kafka(**{"log_level": 0, "socket.connection.setup.timeout.ms": 2_000}))

    def check() -> str:
        try:
            found = admin.list_topics(topic, timeout=_ANSWER_SECONDS).topics[topic]
        except KafkaException as error:
            return f"no answer within {_ANSWER_SECONDS:g} s: {error.args[0].str()}"
        return "" if found.error is None else f"topic {topic}: {found.error.str()}"

    return check
