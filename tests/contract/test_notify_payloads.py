"""What channels are sent is what their systems document: JSON Schemas written from the public documentation."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import jsonschema
import notify_world as world
import pytest
from msgspec.structs import replace

from schemas.channels import Channel, ChannelKind
from schemas.windows import from_ms, to_ms
from streams.notify.book import Book, Change
from streams.notify.payloads import Call, call, still_firing
from streams.notify.words import Notice, notice

SCHEMAS = Path(__file__).parent / "schemas"
NAMES: dict[ChannelKind, str] = {
    "alertmanager": "alertmanager-v2-postable-alerts.json",
    "webhook": "alertmanager-webhook-v4.json",
    "slack": "slack-incoming-webhook.json",
    "pagerduty": "pagerduty-events-v2.json",
}
NOW = from_ms(world.NOW)
NASTY = '<!channel> & "quoted" ünïcode 🎉 ' + "x" * 200_000


def changes() -> list[Change]:
    """All that can happen to an incident, and one that is full of what does not belong into JSON or mark-up."""
    mild = world.incident("incident-1", world.condition("quality/a", severity="warning"))
    grown = world.later(mild, world.condition("latency/p99/1", "latency"))
    book = Book()
    found = [book.learn(n, one) for n, one in enumerate([mild, grown, world.later(grown, state="resolved")])]
    nasty = replace(mild, id="incident-2", model="x" * 100, summary=NASTY, text=NASTY, team="a&b")
    found.append(book.learn(3, nasty))
    told = [change for change in found if change is not None]
    assert [change.event for change in told] == ["opened", "updated", "resolved", "opened"]
    return [*told, Change(4, "acknowledged", mild, "ModelDataQuality", frozenset(), note="acknowledged by ann")]


def told(kind: ChannelKind, change: Change, now: datetime = NOW) -> Any:
    made = sent(kind, change, now)
    return None if made is None else json.loads(made.body)


def sent(kind: ChannelKind, change: Change, now: datetime = NOW) -> Call | None:
    return call("pager", target(kind), say(change), now)


def say(change: Change) -> Notice:
    return notice(change, "https://example.org/oncall")


def target(kind: ChannelKind) -> Channel:
    return world.channel(kind, "https://example.org/hook", world.KEY)


def test_every_kind_has_a_schema() -> None:
    assert set(NAMES) == set(get_args(ChannelKind))
    assert {path.name for path in SCHEMAS.iterdir()} == set(NAMES.values())


@pytest.mark.parametrize("kind", get_args(ChannelKind))
def test_what_is_sent_is_as_documented(kind: ChannelKind) -> None:
    schema = json.loads((SCHEMAS / NAMES[kind]).read_text())
    checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    for change in changes():
        body = told(kind, change)
        if body is None:
            assert (kind, change.event) == ("alertmanager", "acknowledged")
        else:
            checker.validate(body)


def test_the_reminder_is_as_documented() -> None:
    schema = json.loads((SCHEMAS / NAMES["alertmanager"]).read_text())
    made = still_firing(target("alertmanager"), [say(change) for change in changes()[:2]], NOW)
    jsonschema.validate(json.loads(made.body), schema)
    assert "Idempotency-Key" not in made.headers


def test_an_alert_has_the_labels_that_people_route_by() -> None:
    [alert] = told("alertmanager", changes()[0])
    assert alert["labels"] == {
        "alertname": "ModelDataQuality",
        "severity": "warning",
        "namespace": "default",
        "model": "flights",
        "team": "default",
        "incident": "incident-1",
    }
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == "https://example.org/oncall#modeldataquality"


def test_an_alert_that_became_more_severe_is_another_alert_and_the_first_is_over() -> None:
    now, before = told("alertmanager", changes()[1])
    assert (now["labels"]["severity"], before["labels"]["severity"]) == ("critical", "warning")
    assert now["labels"]["alertname"] == before["labels"]["alertname"], "after what opened it, as long as it lasts"
    assert before["endsAt"] == "2026-09-21T14:13:20.000Z" < now["endsAt"]


def test_an_alert_ends_by_the_clock_and_never_before_it_began() -> None:
    resolved = changes()[2]
    early = from_ms(resolved.incident.opened - 1)
    for now in (NOW, early):
        [alert] = told("alertmanager", resolved, now)
        assert alert["startsAt"] <= alert["endsAt"]
        assert to_ms(datetime.fromisoformat(alert["endsAt"])) == to_ms(now)


def test_pagerduty_hears_of_one_incident_under_one_key() -> None:
    bodies = [told("pagerduty", change) for change in changes() if change.incident.id == "incident-1"]
    assert [body["event_action"] for body in bodies] == ["trigger", "trigger", "resolve", "acknowledge"]
    assert {body["dedup_key"] for body in bodies} == {"incident-1"}


def test_slack_cannot_be_made_to_call_everybody() -> None:
    body = told("slack", changes()[3])
    assert "<!channel>" not in json.dumps(body)
    assert "&lt;!channel&gt; &amp;" in json.dumps(body)


def test_a_repeat_has_the_same_key_and_another_ring_another() -> None:
    made = [sent("webhook", change) for change in (*changes(), *changes())]
    keys = [one.headers["Idempotency-Key"] for one in made if one]
    assert keys[: len(keys) // 2] == keys[len(keys) // 2 :]
    assert len(set(keys)) == len(keys) // 2
    other = call("another channel", target("webhook"), say(changes()[0]), NOW)
    assert other is not None
    assert other.headers["Idempotency-Key"] not in keys


def test_secrets_are_where_they_belong_and_in_no_repr() -> None:
    for kind in get_args(ChannelKind):
        made = sent(kind, changes()[0])
        assert made is not None
        assert made.headers.get("Authorization") == (
            f"Bearer {world.KEY}" if kind in {"alertmanager", "webhook"} else None
        )
        assert (world.KEY in made.body.decode()) == (kind == "pagerduty")
        assert world.KEY not in repr(made)
        assert "example.org" not in repr(made) + repr(target(kind))
