"""Nobody is called for the replay of a table."""

import msgspec

from schemas.models import TeamRecord
from schemas.spec import REPLAYS, Metadata, Team, TeamSpec
from streams.notify.teams import Teams


def test_a_replay_rings_nowhere_whatever_its_team_is() -> None:
    teams = Teams(["pager"])
    assert teams.channels("default", "nobody-knows", ["critical"]) == {"pager"}
    assert teams.channels(REPLAYS, "nobody-knows", ["critical"]) == frozenset()
    document = Team(metadata=Metadata(namespace=REPLAYS, name="fraud"), spec=TeamSpec(channels=("pager",)))
    record = TeamRecord.of(document)
    teams.learn(record.key(), msgspec.json.encode(record))
    assert teams.channels(REPLAYS, "fraud", ["critical"]) == frozenset()
