"""What dead-man incidents say at 3 a.m.: what stopped, since when, how unusual that is, and what to look at. Pure."""

from collections.abc import Sequence

from msgspec.structs import replace

from schemas.lifecycle import Condition, Incident, Severity
from schemas.windows import iso

_SECOND, _MINUTE, _HOUR, _DAY = 1_000, 60_000, 3_600_000, 86_400_000


def duration(ms: int) -> str:
    """Two units at most: ``7 min``, ``3 h 20 min``, ``2 d 4 h``."""
    if ms < _MINUTE:
        return f"{max(0, ms) // _SECOND} s"
    for unit, name, smaller, smaller_name in ((_DAY, "d", _HOUR, "h"), (_HOUR, "h", _MINUTE, "min")):
        if ms >= unit:
            rest = ms % unit // smaller
            return f"{ms // unit} {name}" + (f" {rest} {smaller_name}" if rest else "")
    return f"{ms // _MINUTE} min"


def model_silent(key: str, last: int, silence: int, limit: int, usual: int | None) -> Condition:
    """No prediction of a model any more."""
    text = (
        f"No prediction of {key} has arrived for {duration(silence)}; the last one came at {_time(last)}. "
        f"{_how_unusual(limit, usual)}"
    )
    return _condition(
        "ModelSilent",
        f"dead_man/ModelSilent/{key}",
        text,
        value=silence,
        limit=limit,
        since=last,
        last=last + silence,
    )


def outcomes_silent(key: str, last: int, silence: int, limit: int, usual: int | None) -> Condition:
    """Predictions of a model go on, and no outcome comes any more."""
    text = (
        f"Predictions of {key} go on, but no outcome (label) has arrived for {duration(silence)}; the last one came at "
        f"{_time(last)}. {_how_unusual(limit, usual)}"
    )
    name = f"dead_man/OutcomesSilent/{key}"
    now = last + silence
    return _condition(
        "OutcomesSilent", name, text, value=silence, limit=limit, since=last, last=now, severity="warning"
    )


def clickhouse_away(since: int, now: int, limit: int) -> Condition:
    """ClickHouse does not answer."""
    text = (
        f"ClickHouse has not answered for {duration(now - since)}, since {_time(since)}. Nothing is counted, and no "
        "window is closed, until it is back; nothing is lost meanwhile: events wait in Kafka."
    )
    return _stalled("clickhouse", text, since=since, now=now, limit=limit)


def nothing_counted(through: int, now: int, limit: int) -> Condition:
    """Events come, and the aggregator does not get on."""
    text = (
        f"Events that arrived since {_time(through)} wait to be counted, for {duration(now - through)} by now: the "
        "aggregator is away, or does not get on. Nothing is lost while Kafka keeps them."
    )
    return _stalled("aggregate", text, since=through, now=now, limit=limit)


def no_report(key: str, boundary: int, since: int, now: int, limit: int) -> Condition:
    """A window should have been reported."""
    text = (
        f"The window of {key} that ends at {iso(boundary)} (event time) was complete at {_time(since)}, and "
        f"{duration(now - since)} later there is no report of it: the monitor is away, or does not get on with it."
    )
    return _stalled(key, text, since=since, now=now, limit=limit)


def no_reports(keys: Sequence[str], since: int, now: int, limit: int) -> Condition:
    """Windows of several models should have been reported."""
    named = ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")
    text = (
        f"Windows of {len(keys)} models ({named}) have been complete since {_time(since)}, and {duration(now - since)} "
        "later there is no report of them: the monitor is away, or does not get on."
    )
    return _stalled("monitor", text, since=since, now=now, limit=limit)


_MEANING = {
    "ModelSilent": (
        "What it means: the service that asks this model has stopped, or its events no longer reach Kafka. driftline "
        "watches nothing of this model until they come again.",
        "Look at the service first: does it answer, and does it log errors of its Kafka producer?",
    ),
    "OutcomesSilent": (
        "What it means: the labelled performance of newer windows cannot be told; drift and data quality go on.",
        "Look at whatever sends the outcomes: has its job run, and does it log errors of its Kafka producer?",
    ),
    "MonitorStalled": (
        "What it means: driftline itself is blind. Models may be well or ill; nobody would be told by it.",
        "Look at the processes and their logs: aggregate, monitor, and ClickHouse (is its disk full?).",
    ),
}

_LOOK = {
    "ModelSilent": "SELECT max(log_ts) FROM predictions WHERE namespace = '{namespace}' AND model = '{model}'",
    "OutcomesSilent": "SELECT max(log_ts) FROM outcomes WHERE namespace = '{namespace}' AND model = '{model}'",
    "MonitorStalled": "SELECT namespace, model, max(at) FROM reports GROUP BY namespace, model",
}


def calm(incident: Incident) -> int:
    """For how long, in ms, things must go on until an incident is over: its limit and 5 minutes, an hour at most."""
    limit = max(condition.limit for condition in incident.conditions)
    return min(int(limit * _SECOND) + 5 * _MINUTE, _HOUR)


def complete(incident: Incident) -> Incident:
    """Give an incident its summary and text, after its conditions."""
    rule = incident.conditions[0].name
    meaning, first = _MEANING[rule]
    sql = _LOOK[rule].format(namespace=incident.namespace, model=incident.model)
    lines = [
        *(condition.text for condition in incident.conditions),
        meaning,
        first,
        f"It resolves by itself when things have gone on for {duration(calm(incident))}.",
        "Look further:",
        "  driftline status",
        f'  driftline sql "{sql}"',
        f"  driftline incidents show {incident.id}",
    ]
    return replace(incident, summary=incident.conditions[-1].text.split(". ")[0] + ".", text="\n".join(lines))


def over(incident: Incident) -> Incident:
    """Say of an incident that it is over."""
    ended = f"It goes on again; the incident lasted {duration(incident.updated - incident.opened)}."
    return replace(incident, summary=ended, text=f"{ended}\nIt was:\n{incident.text}")


def unwatched(incident: Incident) -> Incident:
    """Say of an incident that its model is watched no more."""
    ended = f"{incident.namespace}/{incident.model} is not declared any more (it was deleted), so nobody watches it."
    return replace(incident, summary=ended, text=f"{ended}\nIt was:\n{incident.text}")


def _how_unusual(limit: int, usual: int | None) -> str:
    if usual is None:
        return f"Its usual rhythm is not known yet; the limit is {duration(limit)}."
    usually = f"At this hour of the week 99 of 100 pauses are {duration(usual)} at most"
    return f"{usually}; the limit is {duration(limit)}."


def _time(at: int) -> str:
    return iso(at // _SECOND * _SECOND)


def _stalled(what: str, text: str, *, since: int, now: int, limit: int) -> Condition:
    return _condition(
        "MonitorStalled",
        f"dead_man/MonitorStalled/{what}",
        text,
        value=now - since,
        limit=limit,
        since=since,
        last=now,
    )


def _condition(
    rule: str, key: str, text: str, *, value: int, limit: int, since: int, last: int, severity: Severity = "critical"
) -> Condition:
    return Condition(
        key=key,
        kind="dead_man",
        version="",
        segment="",
        name=rule,
        metric="silence_seconds",
        value=value / _SECOND,
        limit=limit / _SECOND,
        since=since,
        last=last,
        text=text,
        severity=severity,
    )
