"""What ClickHouse says beside what the oracle says: exactly equal, or the first rows that differ."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from loads import START, TOPICS, VERSIONS
from oracle import Key, Numbers, Oracle

from warehouse.client import Warehouse

_SHOWN = 5
_SKETCHES = """
SELECT model, toUnixTimestamp64Milli(window_start) AS start, view, version, segment, name, sum(n), sum(nulls),
    sum(outside), sumForEach(sums), min(minimum), max(maximum), sumForEach(counts)
FROM partials FINAL GROUP BY model, start, view, version, segment, name
"""
# Every row once: what was inserted twice is one row of the views.
_VERDICTS = """
SELECT 'predictions', model, version, toString(verdict), count(), uniqExact(`partition`, `offset`)
FROM predictions GROUP BY model, version, verdict
UNION ALL SELECT 'outcomes', model, '', toString(verdict), count(), uniqExact(`partition`, `offset`)
FROM outcomes GROUP BY model, verdict
"""
_TALLIES = "SELECT model, toUnixTimestamp64Milli(window_start), tally, sum(events) FROM tallies GROUP BY ALL"
_SERVED = """
SELECT model, version, count(), countIf(outcome_offset IS NOT NULL), sum(label) FROM served GROUP BY model, version
"""
_QUALITY = """
SELECT model, toUnixTimestamp64Milli(window_start), feature, coalesce(concat(slice_key, '=', slice_value), ''), metric,
    value
FROM feature_quality WHERE metric IN ('mean', 'minimum', 'maximum', 'null_rate') AND value IS NOT NULL
"""


def sketches(warehouse: Warehouse) -> dict[Key, Numbers]:
    """Every sketch, over all partitions."""
    return {
        Key(*row[:6]): Numbers(row[6], row[7], row[8], tuple(row[9]), row[10], row[11], tuple(row[12]))
        for row in warehouse.rows(_SKETCHES)
    }


def differences(expected: Mapping[Any, Any], got: Mapping[Any, Any]) -> str:
    """What is missing, too much, or another number; empty when nothing is."""
    keys = sorted((key for key in {*expected, *got} if expected.get(key) != got.get(key)), key=str)
    lines = [
        f"{key}\n    expected {_short(expected.get(key))}\n    got      {_short(got.get(key))}" for key in keys[:_SHOWN]
    ]
    return "\n".join([f"{len(keys)} of {len({*expected, *got})} differ", *lines]) if keys else ""


def check(oracle: Oracle, warehouse: Warehouse) -> None:
    """Every number of a load that was sent whole is what the oracle says, in the tables and in the views."""
    expected = oracle.expected()
    _equal("sketches", expected, sketches(warehouse))
    _equal("verdicts", _verdicts(oracle), {row[:4]: row[4:] for row in warehouse.rows(_VERDICTS)})
    tallies: Counter[tuple[str, int, str]] = Counter()
    for key, numbers in expected.items():
        if key.view == "tally":
            tallies[key.model, key.window, key.name] += numbers.n
    _equal("tallies", tallies, {row[:3]: row[3] for row in warehouse.rows(_TALLIES)})
    _equal("served", _served(oracle), {row[:2]: row[2:] for row in warehouse.rows(_SERVED)})


def check_reports(oracle: Oracle, warehouse: Warehouse) -> None:
    """The windows that stage 2 has closed, as analysts read them, are what the oracle says."""
    expected = oracle.expected()
    served: Counter[tuple[str, int]] = Counter()
    for key, numbers in expected.items():
        if key.view == "tally" and key.name == "predictions.served":
            served[key.model, key.window] += numbers.n
    found = warehouse.rows("SELECT model, toUnixTimestamp64Milli(window_start), predictions FROM windows")
    _equal("windows", served, {row[:2]: row[2] for row in found if row[1] >= START and row[2]})
    wanted = {}
    for key, numbers in expected.items():
        if key.view == "feature":
            present = numbers.n - numbers.nulls
            values: dict[str, float | None] = {"null_rate": numbers.nulls / numbers.n}
            if key.name in ("x", "y") and present:
                values["mean"] = numbers.sums[0] / 2**20 / present
                values["minimum"], values["maximum"] = numbers.minimum, numbers.maximum
            for metric, value in values.items():
                wanted[key.model, key.window, key.name, key.segment, metric] = value
    _equal("feature_quality", wanted, {row[:5]: row[5] for row in warehouse.rows(_QUALITY) if row[1] >= START})


def check_no_forks(warehouse: Warehouse) -> None:
    """Of every checkpoint of a partition one owner's content exists."""
    forks = warehouse.rows(
        "SELECT `partition`, seq, groupUniqArray(owner) FROM checkpoints FINAL GROUP BY 1, 2 "
        "HAVING uniqExact(owner) > 1"
    )
    assert forks == [], f"checkpoints of two owners: {forks[:_SHOWN]}"


def _verdicts(oracle: Oracle) -> dict[tuple[str, ...], tuple[int, int]]:
    load, t, found = oracle.load, oracle.load.table, Counter[tuple[str, ...]]()
    columns = zip(t.topic.tolist(), t.request.tolist(), t.version.tolist(), oracle.verdict.tolist(), strict=True)
    models = load.model.tolist()
    for topic, request, version, verdict in columns:
        if verdict != "dead":
            found[TOPICS[topic], load.shape.names[models[request]], "" if topic else VERSIONS[version], verdict] += 1
    return {key: (count, count) for key, count in found.items()}


def _served(oracle: Oracle) -> dict[tuple[str, str], tuple[int, int, int]]:
    load, t = oracle.load, oracle.load.table
    positive = {
        request: label
        for topic, request, label, verdict in zip(
            t.topic.tolist(), t.request.tolist(), t.label.tolist(), oracle.verdict.tolist(), strict=True
        )
        if topic == 1 and verdict == "counted"
    }
    totals: dict[tuple[str, str], tuple[int, int, int]] = {}
    for topic, request, version, verdict in zip(
        t.topic.tolist(), t.request.tolist(), t.version.tolist(), oracle.verdict.tolist(), strict=True
    ):
        if topic == 0 and version < 2 and verdict in ("counted", "late"):
            key = load.shape.names[load.model[request]], VERSIONS[version]
            rows, labelled, ones = totals.get(key, (0, 0, 0))
            label = positive.get(request)
            totals[key] = rows + 1, labelled + (label is not None), ones + (label or 0)
    return totals


def _equal(what: str, expected: Mapping[Any, Any], got: Mapping[Any, Any]) -> None:
    found = differences(expected, got)
    assert not found, f"{what}: {found}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 400 else f"{text[:300]} ... {text[-60:]}"
