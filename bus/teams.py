"""The teams that owners have declared, on the compacted ``teams`` topic: the newest record of a key counts."""

from contextlib import closing

import msgspec
import structlog
from pydantic import ValidationError

from bus.compacted import CompactedReader
from bus.generations import send
from schemas.models import TeamRecord
from schemas.settings import Settings

log = structlog.get_logger()


def read_teams(settings: Settings) -> dict[str, TeamRecord]:
    """``namespace/team`` -> its record; one that cannot be used is said and left out.

    Raises:
        KafkaException: the brokers cannot be asked now.
    """
    found: dict[str, TeamRecord] = {}
    with closing(CompactedReader(settings, "teams")) as reader:
        for entry in reader.read():
            try:
                key = entry.key.decode()
                if entry.value is None:
                    found.pop(key, None)
                    continue
                record = msgspec.json.decode(entry.value, type=TeamRecord)
                record.parsed()
                found[key] = record
            except (msgspec.MsgspecError, ValidationError, UnicodeDecodeError) as error:
                place = f"{settings.topic('teams')}/{entry.partition}/{entry.offset}"
                log.error("teams.invalid", place=place, error=str(error)[:500])
    return found


def publish_team(settings: Settings, key: bytes, record: TeamRecord | None) -> None:
    """Write a team's record, or delete it with None.

    Raises:
        KafkaException: the brokers did not take it.
    """
    send(settings, key, None if record is None else msgspec.json.encode(record), topic="teams")
