"""Notices in the forms that other systems take: Alertmanager API v2 and webhook v4, Slack, PagerDuty. Pure.

Held to the JSON Schemas in ``tests/contract/schemas``, which were written from the public documentation.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from schemas.channels import Channel, ChannelKind
from schemas.windows import from_ms
from streams.notify.words import Notice, shortened

STILL_FIRING = timedelta(minutes=4)
"""An alert that is not sent again for so long is over for Alertmanager: four times the interval, as with Prometheus."""

_NEVER = "0001-01-01T00:00:00Z"
_SLACK_HEADER, _SLACK_SECTION, _SLACK_TEXT = 150, 3_000, 3_000
_PAGERDUTY_SUMMARY, _PAGERDUTY_DETAIL = 1_024, 100_000
_LABEL = 10_000
_SIGNS = {"opened": "🔴", "updated": "🟠", "acknowledged": "👀", "resolved": "🟢"}


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP POST. ``repr`` hides what may be secret."""

    url: str
    headers: dict[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"Call({len(self.body)} bytes)"


def call(name: str, channel: Channel, notice: Notice, now: datetime) -> Call | None:
    """The request by which a channel is told; None when its system has no word for such an event.

    Args:
        name: of the channel.
        channel: its settings.
        notice: what to say.
        now: when; Alertmanager's alerts end by the clock.
    """
    body = _BODIES[channel.kind](name, channel, notice, now)
    return None if body is None else _call(channel, body, notice.change.key(name))


def still_firing(channel: Channel, notices: Iterable[Notice], now: datetime) -> Call:
    """Tell an Alertmanager of all that lasts, in one request, as Prometheus does again and again."""
    return _call(channel, [_alert(notice, now) for notice in notices], "")


def _call(channel: Channel, body: Any, key: str) -> Call:
    url, headers = channel.url.get_secret_value(), {"Content-Type": "application/json"}
    if key:
        headers["Idempotency-Key"] = key
    if channel.kind == "alertmanager":
        url = f"{url.rstrip('/')}/api/v2/alerts"
    if channel.kind in {"alertmanager", "webhook"} and channel.token is not None:
        headers["Authorization"] = f"Bearer {channel.token.get_secret_value()}"
    return Call(url, headers, msgspec.json.encode(body))


def _alert(notice: Notice, now: datetime, *, severity: Any = None, ended: bool = False) -> dict[str, Any]:
    # A simulated time may be ahead of the clock; an alert cannot end before it begins.
    start = min(from_ms(notice.change.incident.opened), now)
    lasts = notice.firing and not ended
    return {
        "labels": {name: shortened(value, _LABEL) for name, value in notice.labels(severity).items()},
        "annotations": notice.annotations(),
        "startsAt": _time(start),
        "endsAt": _time(now + STILL_FIRING if lasts else now),
    }


def _alertmanager(_name: str, _channel: Channel, notice: Notice, now: datetime) -> Any:
    if notice.change.event == "acknowledged":
        return None
    alerts = [_alert(notice, now)]
    if notice.change.was is not None:
        # Labels are an alert's identity: the one of the former severity is another alert, and over.
        alerts.append(_alert(notice, now, severity=notice.change.was, ended=True))
    return alerts


def _webhook(name: str, _channel: Channel, notice: Notice, _now: datetime) -> Any:
    incident, status = notice.change.incident, "firing" if notice.firing else "resolved"
    labels, annotations = notice.labels(), notice.annotations() | {"event": notice.change.event}
    group = {key: labels[key] for key in ("namespace", "model", "incident")}
    return {
        "version": "4",
        "groupKey": "{}:{" + ", ".join(f'{key}="{value}"' for key, value in group.items()) + "}",
        "truncatedAlerts": 0,
        "status": status,
        "receiver": name,
        "groupLabels": group,
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": notice.runbook,
        "alerts": [
            {
                "status": status,
                "labels": labels,
                "annotations": annotations,
                "startsAt": _time(from_ms(incident.opened)),
                "endsAt": _NEVER if notice.firing else _time(from_ms(incident.updated)),
                "generatorURL": notice.runbook,
                "fingerprint": notice.fingerprint(),
            }
        ],
    }


def _slack(_name: str, _channel: Channel, notice: Notice, _now: datetime) -> Any:
    incident = notice.change.incident
    blocks: list[dict[str, Any]] = [
        {
            "type": "header",
            "text": {
                "type": "plain_text",
                "text": shortened(f"{_SIGNS[notice.change.event]} {notice.title}", _SLACK_HEADER),
                "emoji": True,
            },
        },
        {"type": "section", "text": {"type": "mrkdwn", "text": f"*{_slack_text(notice.summary)}*"}},
        {"type": "section", "text": {"type": "mrkdwn", "text": _slack_text(notice.description) or "-"}},
        {
            "type": "context",
            "elements": [
                {"type": "mrkdwn", "text": f"team {_slack_text(incident.team)}"},
                {"type": "mrkdwn", "text": f"since {_time(from_ms(incident.opened))}"},
                {"type": "mrkdwn", "text": f"`driftline incidents show {_slack_text(incident.id)}`"},
                {"type": "mrkdwn", "text": _slack_text(notice.runbook)},
            ],
        },
    ]
    return {"text": shortened(f"{notice.title}: {_slack_text(notice.summary)}", _SLACK_TEXT), "blocks": blocks}


def _slack_text(text: str) -> str:
    """Slack's three control characters, and its limit; cut before they are escaped, so that none is cut in two."""
    escaped = ""
    for longest in (_SLACK_SECTION - 2, _SLACK_SECTION // 5):
        escaped = shortened(text, longest).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        if len(escaped) <= _SLACK_SECTION - 2:
            break
    return escaped


def _pagerduty(_name: str, channel: Channel, notice: Notice, now: datetime) -> Any:
    incident, event = notice.change.incident, notice.change.event
    action = {"acknowledged": "acknowledge", "resolved": "resolve"}.get(event, "trigger")
    body: dict[str, Any] = {
        "routing_key": channel.token.get_secret_value() if channel.token else "",
        "event_action": action,
        "dedup_key": incident.id,
    }
    if action != "trigger":
        return body
    conditions = [condition.text for condition in incident.conditions]
    return body | {
        "client": "driftline",
        "payload": {
            "summary": shortened(f"{notice.title}: {notice.summary}", _PAGERDUTY_SUMMARY),
            "source": f"{incident.namespace}/{incident.model}",
            "severity": incident.severity,
            "timestamp": _time(min(from_ms(incident.opened), now)),
            "component": incident.model,
            "group": incident.namespace,
            "class": notice.name,
            "custom_details": {
                "description": shortened(notice.description, _PAGERDUTY_DETAIL),
                "conditions": [shortened(text, _SLACK_SECTION) for text in conditions[:50]],
                "team": incident.team,
                "runbook_url": notice.runbook,
                "look further": f"driftline incidents show {incident.id}",
            },
        },
    }


def _time(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_BODIES: dict[ChannelKind, Callable[[str, Channel, Notice, datetime], Any]] = {
    "alertmanager": _alertmanager,
    "webhook": _webhook,
    "slack": _slack,
    "pagerduty": _pagerduty,
}
