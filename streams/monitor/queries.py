# ruff: noqa: S608  these queries are shown to people, who run them by their own right; every value in them is quoted
"""The three commands that an incident offers to look further: ready to paste into a shell."""

import re

from schemas.lifecycle import Condition, Incident
from schemas.windows import from_ms
from streams.monitor.generations import Generation

VIEWS = {
    "quality": "feature",
    "drift": "feature",
    "score": "score",
    "estimate": "estimate",
    "latency": "latency",
    "labelled_loss": "tested",
}
"""View of ``metric_values`` that a kind of condition was measured in; a rule names its own."""


def commands(incident: Incident, condition: Condition, generation: Generation) -> list[str]:
    """The incident again, the number over time, and the rows behind it.

    Args:
        incident: whose text they end.
        condition: the one that matters most in it.
        generation: of the window that closed.
    """
    model = f"namespace = {_text(incident.namespace)} AND model = {_text(incident.model)}"
    return [
        f"driftline incidents show {incident.id}",
        shell(numbers(model, condition)),
        shell(rows(model, condition, generation)),
    ]


def conditions(incident: Incident) -> str:
    """The command that lists all that an incident has gathered, newest first."""
    return shell(
        f"SELECT condition, severity, since, last, text FROM incident_conditions WHERE namespace = "
        f"{_text(incident.namespace)} AND model = {_text(incident.model)} AND incident_id = {_text(incident.id)} "
        "ORDER BY last DESC, condition"
    )


def numbers(model: str, condition: Condition) -> str:
    """SQL: what was measured, window by window, newest first."""
    view, metric = VIEWS.get(condition.kind, ""), condition.metric
    if condition.kind in ("drift", "score") or metric == "constant":
        metric = stored(condition)
    if condition.kind == "rule":
        view, metric = view_of(metric), metric.rpartition(".")[2]
    if (view, metric) == ("feature", "volume"):
        view, metric = "quality", "counted"
    where = [model, f"view = {_text(view)}", f"segment = {_text(condition.segment)}"]
    if (view, metric) == ("tested", "coverage"):
        return (
            f"SELECT DISTINCT window_start, version, coverage AS value, n, coverage FROM metric_values WHERE "
            f"{' AND '.join(where)} ORDER BY window_start DESC LIMIT 14"
        )
    where += [f"metric = {_text(metric)}"]
    where += [f"name = {_text(condition.name)}"] if condition.name else []
    return (
        f"SELECT window_start, version, value, n, coverage FROM metric_values WHERE {' AND '.join(where)} "
        "ORDER BY window_start DESC LIMIT 14"
    )


def stored(condition: Condition) -> str:
    """The metric that is kept of every window and comes nearest to the distance that a stream pages by."""
    if condition.kind == "score":
        return "prediction_psi" if condition.key.startswith("prediction/") else "psi"
    return condition.metric if condition.metric in ("ks", "wasserstein") else "psi"


def rows(model: str, condition: Condition, generation: Generation) -> str:
    """SQL: predictions of the newest window that the condition held in; ``driftline trace`` takes their ids."""
    when = f"event_time >= {_instant(condition.last)} AND event_time < {_instant(condition.last + generation.width)}"
    version = f" AND version = {_text(condition.version)}" if condition.version else ""
    when += _in(condition.segment, generation) if condition.segment else ""
    if condition.kind == "latency":
        return (
            f"SELECT prediction_id, event_time, latency_ms FROM predictions WHERE {model} AND {when}{version} "
            "ORDER BY latency_ms DESC LIMIT 10"
        )
    if condition.name:
        value = f"JSONExtractRaw(features, {_text(condition.name)})"
        return (
            f"SELECT {value} AS value, count() AS n, any(prediction_id) AS example FROM predictions "
            f"WHERE {model} AND {when} AND role != 'shadow' GROUP BY value ORDER BY n DESC LIMIT 20"
        )
    return (
        f"SELECT prediction_id, event_time, score, label, segments FROM served WHERE {model} AND {when}{version} "
        "ORDER BY event_time DESC LIMIT 10"
    )


def view_of(path: str) -> str:
    """View of ``metric_values`` that holds a rule's metric: ``labelled.auc`` is in ``tested``."""
    view = path.partition(".")[0]
    return "tested" if view == "labelled" else view


def shell(query: str) -> str:
    """``driftline sql "..."`` that a POSIX shell hands over unchanged."""
    return 'driftline sql "' + re.sub(r'([\\"$`])', r"\\\1", query) + '"'


def _in(segment: str, generation: Generation) -> str:
    """The rows of ``tag=value``; a tag may hold a "=" as well."""
    tag = next((tag for tag in generation.spec.segments if segment.startswith(f"{tag}=")), segment.partition("=")[0])
    return f" AND JSONExtractString(segments, {_text(tag)}) = {_text(segment.removeprefix(f'{tag}='))}"


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _instant(ms: int) -> str:
    instant = from_ms(ms)
    return f"'{instant:%Y-%m-%d %H:%M:%S}.{ms % 1000:03d}'"
