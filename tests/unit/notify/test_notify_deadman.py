"""Dead-man rules by a clock of the test's own: what is raised when, once, and when it is over."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from schemas.lifecycle import Incident
from schemas.spec import FeatureSpec, ModelSpec, WindowSpec
from streams.notify.book import Book
from streams.notify.deadman import SHORTEST, DeadMan
from streams.notify.usual import MINUTE

KEY, OTHER = "default/flights", "default/delays"
START = 2_900 * 7 * 24 * 60 * MINUTE
"""A Thursday, 00:00 UTC."""
HOUR, DAY = 60 * MINUTE, 24 * 60 * MINUTE


def spec(**changes: object) -> ModelSpec:
    windows = WindowSpec(width=timedelta(hours=1), label_maturity=timedelta(hours=2))
    features = (FeatureSpec(name="temp", kind="number"),)
    return ModelSpec(positive_class="late", features=features, windows=windows, team="risk").model_copy(update=changes)


class World:
    """An installation with two source partitions, looked at every minute."""

    def __init__(self, *models: str) -> None:
        self.rules = DeadMan(2)
        self.models = dict.fromkeys(models or (KEY,), spec())
        self.book = Book()
        self.now = START
        self.told: list[Incident] = []
        self.events: list[tuple[str, str]] = []
        self.stuck: int | None = None
        self.away: int | None = None
        self.rules.know(self.models)

    def look(self) -> None:
        lasting = [change.incident for change in self.book.open()]
        self.rules.know(self.models)
        through = self.now if self.stuck is None else self.stuck
        found = self.rules.tick(self.now, through=through, clickhouse_away_since=self.away, lasting=lasting)
        for incident in found:
            change = self.book.learn(len(self.told), incident)
            self.told.append(incident)
            assert change is not None, "nothing is said that nobody is told of"
            self.events.append((change.alertname, change.event))

    def pass_(self, minutes: int, *sides: str, every: int = 1, key: str = KEY) -> None:
        """So many minutes go by; on these sides something arrives in every one of them."""
        for minute in range(minutes):
            for side in sides:
                if minute % every == 0:
                    self.rules.arrived(key, side, self.now)  # type: ignore[arg-type]
            self.look()
            self.now += MINUTE

    def restart(self, history: Sequence[tuple[str, list[int]]] = ()) -> None:
        """Another process takes over: it knows the topic, and what tables say."""
        self.rules = DeadMan(2)
        self.rules.know(self.models)
        for side, minutes in history:
            self.rules.remember(KEY, side, minutes)  # type: ignore[arg-type]


def test_a_model_that_falls_silent_rings_after_five_minutes_once_and_is_over_when_it_has_spoken_for_a_while() -> None:
    world = World()
    world.pass_(120, "predictions")
    silent_from = world.now
    world.pass_(5)
    assert world.events == []
    world.pass_(60)
    assert world.events == [("ModelSilent", "opened")]
    [incident] = world.told
    assert incident.opened - silent_from == SHORTEST
    assert (incident.team, incident.severity, incident.conditions[0].kind) == ("risk", "critical", "dead_man")
    assert (
        incident.summary
        == "No prediction of default/flights has arrived for 6 min; the last one came at 2025-07-31T01:59:00Z."
    )
    world.pass_(10, "predictions")
    assert len(world.events) == 1
    world.pass_(1, "predictions")
    assert world.events[1:] == [("ModelSilent", "resolved")]


def test_what_comes_and_goes_does_not_ring_each_time() -> None:
    world = World()
    world.pass_(120, "predictions")
    world.pass_(7)
    for _ in range(5):
        world.pass_(3, "predictions")
        world.pass_(7)
    assert world.events.count(("ModelSilent", "opened")) == 1


def test_a_model_that_never_spoke_is_not_silent() -> None:
    world = World()
    world.pass_(600)
    assert world.events == []


def test_what_has_no_rhythm_yet_is_waited_for_an_hour() -> None:
    world = World()
    world.pass_(1, "predictions")
    world.pass_(60)
    assert world.events == []
    world.pass_(1)
    assert world.events == [("ModelSilent", "opened")]
    assert "usual rhythm is not known yet; the limit is 1 h." in world.told[0].text


def test_three_times_the_usual_gap_of_the_hour_is_waited_for() -> None:
    world = World()
    world.pass_(20 * 60, "predictions", every=10)
    last = world.now - 10 * MINUTE
    world.pass_(60)
    assert world.events == [("ModelSilent", "opened")]
    assert world.told[0].opened - last == 31 * MINUTE


def test_a_usual_night_rings_nobody_and_the_morning_after_it_does() -> None:
    world = World()
    for _ in range(3):
        world.pass_(22 * 60, "predictions")
        world.pass_(2 * 60)
    assert [event for _, event in world.events] == ["opened", "resolved"], "the first night, when nobody knew"
    world.pass_(24 * 60)
    assert world.events[2:] == [("ModelSilent", "opened")]
    assert world.told[2].opened == START + 3 * DAY + HOUR, "the first hour that was never quiet"


def test_while_events_wait_to_be_counted_no_model_is_called_silent_and_the_monitor_is_called_stalled() -> None:
    world = World()
    world.pass_(60, "predictions")
    world.stuck = world.now
    world.pass_(30)
    assert world.events == [("MonitorStalled", "opened")]
    assert (world.told[0].namespace, world.told[0].model, world.told[0].team) == ("*", "*", "default")
    assert "wait to be counted" in world.told[0].summary
    world.stuck = None
    world.pass_(20, "predictions")
    assert world.events[1:] == [("MonitorStalled", "resolved")]


def test_clickhouse_away_is_one_incident_that_grows() -> None:
    world = World()
    world.away = world.now
    world.pass_(10)
    world.stuck = world.now
    world.pass_(10)
    assert world.events == [("MonitorStalled", "opened"), ("MonitorStalled", "updated")]
    assert "ClickHouse has not answered" in world.told[1].text
    assert "wait to be counted" in world.told[1].text
    world.stuck = world.away = None
    world.pass_(20)
    assert world.events[2:] == [("MonitorStalled", "resolved")]


def test_a_window_that_is_due_must_be_reported() -> None:
    world = World()

    def reach(hours: int) -> None:
        for partition in (0, 1):
            world.rules.passed(KEY, partition, START + hours * HOUR, world.now)

    reach(1)
    world.pass_(20, "predictions")
    assert world.events == [], "what was reported before anybody looked is not known"
    world.rules.passed(KEY, 0, START + 2 * HOUR, world.now)
    world.pass_(20, "predictions")
    assert world.events == [], "one partition is still before the window's end"
    reach(2)
    world.rules.reported(KEY, START + 2 * HOUR, world.now + MINUTE)
    world.pass_(20, "predictions")
    reach(3)
    world.pass_(5, "predictions")
    assert world.events == []
    world.pass_(5, "predictions")
    assert world.events == [("MonitorStalled", "opened")]
    assert (world.told[0].model, world.told[0].team) == ("flights", "risk")
    assert "ends at 2025-07-31T03:00:00Z" in world.told[0].text
    world.rules.reported(KEY, START + 3 * HOUR, world.now)
    world.pass_(20, "predictions")
    assert world.events[1:] == [("MonitorStalled", "resolved")]


def test_a_monitor_that_works_off_a_backlog_is_not_stalled() -> None:
    world = World()
    for hours in range(1, 31):
        for partition in (0, 1):
            world.rules.passed(KEY, partition, START + hours * HOUR, world.now)
    for hours in range(2, 31):
        world.pass_(1, "predictions")
        world.rules.reported(KEY, START + hours * HOUR, world.now)
    assert world.events == []


def test_a_monitor_that_is_away_is_one_page_for_all_models() -> None:
    world = World(KEY, OTHER)
    for hours in (1, 2):
        for key in (KEY, OTHER):
            for partition in (0, 1):
                world.rules.passed(key, partition, START + hours * HOUR, world.now)
    world.pass_(20)
    assert world.events == [("MonitorStalled", "opened")]
    assert world.told[0].model == "*"
    assert "2 models (default/delays, default/flights)" in world.told[0].summary


def test_outcomes_that_stop_while_predictions_go_on_are_a_warning() -> None:
    world = World()
    world.pass_(120, "predictions", "outcomes")
    world.pass_(30, "predictions")
    assert world.events == [("OutcomesSilent", "opened")]
    assert world.told[0].severity == "warning"
    world.pass_(20, "predictions", "outcomes")
    assert world.events[1:] == [("OutcomesSilent", "resolved")]


def test_outcomes_are_not_missed_while_predictions_are_silent_nor_before_their_labels_can_be_there() -> None:
    world = World()
    world.pass_(120, "predictions", "outcomes")
    world.pass_(600)
    assert world.events == [("ModelSilent", "opened")]
    world.pass_(2 * 60, "predictions")
    assert world.events[1:] == [("ModelSilent", "resolved")], "labels take two hours"
    world.pass_(20, "predictions")
    assert world.events[2:] == [("OutcomesSilent", "opened")]


def test_a_model_without_outcomes_does_not_miss_them() -> None:
    world = World()
    world.pass_(24 * 60, "predictions")
    assert world.events == []


@pytest.mark.parametrize("remembers", [True, False])
def test_a_restart_neither_rings_again_nor_forgets_to_resolve(remembers: bool) -> None:
    world = World()
    world.pass_(120, "predictions")
    world.pass_(10)
    assert world.events == [("ModelSilent", "opened")]
    minutes = list(range(START // MINUTE, START // MINUTE + 120))
    world.restart([("predictions", minutes)] if remembers else [])
    world.pass_(3)
    assert world.events == [("ModelSilent", "opened")]
    world.pass_(20, "predictions")
    assert world.events[1:] == [("ModelSilent", "resolved")]


def test_a_restart_knows_the_silence_that_began_before_it() -> None:
    world = World()
    world.now = START + 125 * MINUTE
    world.restart([("predictions", list(range(START // MINUTE, START // MINUTE + 120)))])
    world.pass_(3)
    assert world.events == [("ModelSilent", "opened")]
    again = World()
    again.now = START + 128 * MINUTE
    again.restart([("predictions", list(range(START // MINUTE, START // MINUTE + 120)))])
    again.pass_(1)
    assert again.told[0].id == world.told[0].id, "named after the last event, whoever finds it"


def test_a_silence_is_not_over_because_another_hour_is_usually_quieter() -> None:
    world = World()
    for _ in range(3):
        world.pass_(12 * 60, "predictions")
        world.pass_(12 * 60, "predictions", every=60)
    world.pass_(11 * 60 + 50, "predictions")
    opened = len(world.events)
    world.pass_(2 * 60)
    assert world.events[opened:] == [("ModelSilent", "opened")], "12:00 to 13:50 are within that hour's limit of 3 h"
    world.pass_(24 * 60)
    assert world.events[opened:] == [("ModelSilent", "opened")]
    world.pass_(11, "predictions")
    world.pass_(60, "predictions")
    assert world.events[opened + 1 :] == [("ModelSilent", "resolved")]


def test_a_monitor_that_stops_twice_before_the_same_window_rings_twice() -> None:
    world = World()
    for hours in range(1, 31):
        for partition in (0, 1):
            world.rules.passed(KEY, partition, START + hours * HOUR, world.now)
    world.pass_(10, "predictions")
    for _ in range(15):
        world.pass_(1, "predictions")
        world.rules.reported(KEY, START + HOUR, world.now)
    world.pass_(10, "predictions")
    assert [event for _, event in world.events] == ["opened", "resolved", "opened"]


def test_a_model_that_is_deleted_is_missed_no_more() -> None:
    world = World()
    world.pass_(60, "predictions")
    world.pass_(10)
    world.models = {}
    world.pass_(1)
    assert world.events == [("ModelSilent", "opened"), ("ModelSilent", "resolved")]
    assert world.told[1].summary.startswith("default/flights is not declared any more (it was deleted)")


def test_the_text_says_what_stopped_what_it_means_and_where_to_look() -> None:
    world = World()
    world.pass_(120, "predictions")
    world.pass_(10)
    assert world.told[0].text.splitlines() == [
        "No prediction of default/flights has arrived for 6 min; the last one came at 2025-07-31T01:59:00Z. "
        "At this hour of the week 99 of 100 pauses are 1 min at most; the limit is 5 min.",
        "What it means: the service that asks this model has stopped, or its events no longer reach Kafka. "
        "driftline watches nothing of this model until they come again.",
        "Look at the service first: does it answer, and does it log errors of its Kafka producer?",
        "It resolves by itself when things have gone on for 10 min.",
        "Look further:",
        "  driftline status",
        "  driftline sql \"SELECT max(log_ts) FROM predictions WHERE namespace = 'default' AND model = 'flights'\"",
        f"  driftline incidents show {world.told[0].id}",
    ]
