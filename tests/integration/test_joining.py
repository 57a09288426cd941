"""A client that is stuck in joining its group is given up."""

import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from observe import Observer
from schemas.settings import GroupProtocol, Settings
from streams.aggregate.breaker import Breaker
from streams.aggregate.checkpoint import Outputs
from streams.aggregate.consumer import Member
from streams.aggregate.models import Models


def member(folder: Path, protocol: GroupProtocol, minutes: Iterator[int], stop: threading.Event) -> Member:
    """Of a group that never answers, by a clock on which every look takes a minute; it stops after ten."""
    settings = Settings(
        bootstrap_servers="127.0.0.1:1", kafka_options={"log_level": "0"}, store=folder, group_protocol=protocol
    )

    def now() -> float:
        if (minute := next(minutes)) > 10:
            stop.set()
        return 60.0 * minute

    return Member(
        settings,
        models=Models(),
        reader=cast(Any, None),
        out=Outputs(settings, cast(Any, None), Producer(settings.producer()), lambda _step: None),
        breaker=Breaker(0.5, 1000),
        now=now,
        owner_id=lambda: "nobody",
        observer=Observer(),
    )


def test_a_group_that_does_not_answer_is_joined_again(tmp_path: Path) -> None:
    minutes, stop = count(), threading.Event()
    with pytest.raises(KafkaException, match="what this member reads") as caught:
        member(tmp_path, "classic", minutes, stop).run(stop)
    assert caught.value.args[0].code() == KafkaError._TIMED_OUT
    assert not stop.is_set()


def test_nothing_to_read_is_waited_for(tmp_path: Path) -> None:
    """A group of KIP-848 says nothing to a member that is one too many."""
    minutes, stop = count(), threading.Event()
    member(tmp_path, "consumer", minutes, stop).run(stop)
    assert stop.is_set()
