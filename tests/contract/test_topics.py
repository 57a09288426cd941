"""Topics are declared once, and hold what the stages rely on."""

import re
from pathlib import Path
from typing import get_args

import pytest

import schemas
from schemas.settings import Settings
from schemas.topics import MAX_MESSAGE_BYTES, PARTITIONER, TOPICS, TopicName

ROOT = Path(schemas.__file__).parent.parent
ROOMS = ("app", "bus", "compose", "detectors", "retrain", "schemas", "streams", "warehouse", "sdk")


def test_every_name_is_declared() -> None:
    assert set(TOPICS) == set(get_args(TopicName))
    assert all(name == topic.name for name, topic in TOPICS.items())


def test_nobody_spells_a_topic_out() -> None:
    spelled = re.compile(rf"""["']driftline\.({"|".join(TOPICS)})["']""")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if spelled.search(line)
    ]
    assert found == []


def test_source_topics_are_alike_so_that_an_outcome_meets_its_prediction() -> None:
    predictions, outcomes = TOPICS["predictions"], TOPICS["outcomes"]
    assert predictions.partitions == outcomes.partitions == 0
    assert predictions.key == outcomes.key == "namespace/model/prediction_id"
    settings = Settings(source_partitions=7)
    assert settings.partitions("predictions") == settings.partitions("outcomes") == 7
    assert settings.producer()["partitioner"] == PARTITIONER == "murmur2_random"


def test_the_broker_stamps_source_records() -> None:
    for name in ("predictions", "outcomes"):
        assert TOPICS[name].config["message.timestamp.type"] == "LogAppendTime"


@pytest.mark.parametrize("name", ["models", "partials", "rollouts"])
def test_what_a_newcomer_must_find_is_compacted(name: TopicName) -> None:
    assert TOPICS[name].config["cleanup.policy"] == "compact"


def test_a_monitor_that_lags_finds_every_change() -> None:
    assert int(TOPICS["partials"].config["min.compaction.lag.ms"]) == 7 * 24 * 3600 * 1000


@pytest.mark.parametrize("name", ["models", "partials", "reports", "alerts"])
def test_what_carries_bins_or_a_word_on_each_quantity_may_be_large(name: TopicName) -> None:
    assert int(TOPICS[name].config["max.message.bytes"]) == MAX_MESSAGE_BYTES == 16 * 1024 * 1024


def test_names_carry_the_installation() -> None:
    assert Settings(topic_prefix="team-a").topic("dead-letters") == "team-a.dead-letters"
