"""What the monitor knows of teams, from the compacted topics of a real broker: each model's part of the budget."""

from collections.abc import Iterator

import monitor_world as world
import msgspec
import pytest
from msgspec.structs import replace

from app.wiring import ensure_topics
from bus.generations import send
from bus.teams import publish_team
from schemas.models import TeamRecord
from schemas.settings import Settings
from schemas.spec import REPLAYS, Metadata, Team, TeamSpec
from streams.monitor.models import Models


@pytest.fixture
def settings(kafka: str) -> Settings:
    found = Settings(bootstrap_servers=kafka, topic_prefix="budgets")
    ensure_topics(found)
    return found


@pytest.fixture
def models(settings: Settings) -> Iterator[Models]:
    found = Models(settings)
    yield found
    found.close()


def declare(settings: Settings, name: str, *, namespace: str = world.NAMESPACE, generation: int = 1, team: str) -> None:
    record = replace(world.record(generation, team=team), model=name, namespace=namespace)
    send(settings, record.key(), msgspec.json.encode(record))


def pages(models: Models, name: str, namespace: str = world.NAMESPACE) -> float:
    models.read()
    found = models.of(namespace, name)
    assert found is not None
    return found.pages


def test_a_teams_models_have_equal_parts_of_its_budget(settings: Settings, models: Models) -> None:
    declare(settings, "churn", team="risk")
    assert pages(models, "churn") == 1.0, "the default, of a team without a document"

    record = TeamRecord.of(Team(metadata=Metadata(name="risk"), spec=TeamSpec(falseAlarmBudget="3 per P30D")))
    publish_team(settings, record.key(), record)
    assert pages(models, "churn") == 3.0
    declare(settings, "fraud", team="risk")
    declare(settings, "other", team="growth")
    assert (pages(models, "churn"), pages(models, "fraud"), pages(models, "other")) == (1.5, 1.5, 1.0)

    declare(settings, "fraud", generation=2, team="growth")
    assert (pages(models, "churn"), pages(models, "fraud"), pages(models, "other")) == (3.0, 0.5, 0.5)

    # A replay calls nobody, so it neither shares nor takes; a record that cannot be read changes nothing.
    for name in ("one", "two"):
        declare(settings, name, namespace=REPLAYS, team="risk")
    assert pages(models, "one", REPLAYS) == 1.0
    send(settings, b"default/risk", b"nonsense", topic="teams")
    assert pages(models, "churn") == 3.0
    publish_team(settings, record.key(), None)
    assert pages(models, "churn") == 1.0
