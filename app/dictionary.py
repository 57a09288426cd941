"""The data dictionary of docs/analysts.md: every table and view with its columns, types and what they mean.

What a column means is its COMMENT in ``schemas/migrations``; what means the same wherever it occurs is said once, here.
``python -m app.dictionary`` writes it into the document, from a fresh database.
"""

import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from warehouse.client import Warehouse
from warehouse.migrate import migrate

DOCUMENT = Path(__file__).parent.parent / "docs" / "analysts.md"
_BEGIN, _END = "<!-- dictionary: written by python -m app.dictionary -->", "<!-- end of the dictionary -->"

FIRST = (
    "windows", "performance", "estimated_performance", "label_coverage", "drift", "feature_quality", "scores",
    "latency", "volume",
    "window_metrics", "incident_list", "incident_conditions", "pages_by_month", "watched_quantities",
    "delivery_log", "silences", "versions",
    "rollout_history", "serving_history", "serving", "shadow_comparison", "served", "predictions", "outcomes",
    "unmatched_outcomes", "label_corrections", "dead_letters_by_reason", "dead_letter_list", "tallies",
    "metric_values", "audit_log",
)  # fmt: skip
"""Views in the order in which people meet them; others follow."""

_EVERYWHERE = {
    "namespace": "of the model",
    "model": "name of the model",
    "version": "of the model; empty: none or all",
    "prediction_id": "as the service sent it",
    "window_start": "start of the window of event time, inclusive",
    "event_time": "when it happened, as the service said",
    "log_ts": "the broker's timestamp",
    "partition": "source partition",
    "offset": "in the partition",
    "row": "in the message; 0 where a message is one event",
    "generation": "of spec and reference",
    "seq": "number of the checkpoint; the larger number wins",
    "owner": "who wrote the checkpoint",
    "written_at": "clock of the database; the row's time to live counts from here",
    "id": "hash of what it is about",
    "cause_id": "id of what led to it",
    "feature": "name in the spec",
    "metric": "what was measured",
    "reason": "one word",
    "text": "for people",
    "evidence": "for people",
    "events": "how many",
    "n": "rows",
    "applied_at": "clock of the database",
    "incident_id": "of incident_list",
    "channel": "name in DRIFTLINE_CHANNELS",
}

_INHERITED = {
    "predictions": "raw_predictions",
    "outcomes": "raw_outcomes",
    "metric_values": "metrics",
    "audit_log": "audit",
    "delivery_log": "deliveries",
    "served": "raw_predictions",
    "heads_of_checkpoints": "heads",
    "incident_list": "incidents",
    "silences": "incident_actions",
    "dead_letter_list": "dead_letters",
}

_OF_VIEWS = {
    ("served", "prediction_offset"): "offset of the prediction",
    ("served", "prediction_row"): "row of the prediction in its message",
    ("served", "outcome_offset"): "offset of the outcome; null: no label yet",
    ("served", "outcome_row"): "row of the outcome in its message; null: no label yet",
    ("served", "label_time"): "event time of the outcome; null: no label yet",
    ("served", "label"): "task binary: 1 when it was the positive class; null: no label yet",
    ("served", "label_text"): "the label of any task, as text; null: no label yet",
    ("served", "label_value"): "task regression: the label as a number; null: no label yet",
    ("tallies", "tally"): "topic and verdict; predictions.served is the part of counted that no shadow answered",
    ("serving", "predictions"): "answers of all versions that somebody used",
    ("label_corrections", "counted_label"): "the first one, which counts",
    ("label_corrections", "counted_label_time"): "event time of the first one",
    ("label_corrections", "later_label"): "the newest other one",
    ("label_corrections", "later_label_time"): "event time of the newest other one",
    ("label_corrections", "corrections"): "how often the label was said differently",
    ("incident_list", "state"): "open, updated, acknowledged or resolved",
    ("incident_list", "resolved"): "null: not yet",
    ("incident_list", "acknowledged_by"): "empty: nobody has",
    ("incident_list", "silenced_until"): "null: not silenced",
    ("dead_letter_replays", "new_partition"): "where it landed",
    ("dead_letter_replays", "new_offset"): "where it landed",
    ("dead_letter_list", "topic"): "predictions or outcomes",
    ("dead_letter_list", "new_partition"): "where it landed; null: not sent again",
    ("dead_letter_list", "new_offset"): "where it landed; null: not sent again",
    ("dead_letter_list", "replayed_at"): "null: not sent again",
    ("incident_actions", "note"): "as they gave it",
    ("migrations", "name"): "file in schemas/migrations",
    ("paired_windows", "challenger"): "version under test",
    ("paired_windows", "champion"): "version that it is compared with",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column, its ClickHouse type, and what it means; empty when nobody says."""

    name: str
    type: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or a view."""

    name: str
    is_view: bool
    meaning: str
    columns: list[Column]


def read(warehouse: Warehouse) -> list[Relation]:
    """Every table and view of a migrated database, views first, as people meet them."""
    comments = {
        (table, name): comment
        for table, name, comment in warehouse.rows(
            "SELECT table, name, comment FROM system.columns WHERE database = currentDatabase()"
        )
    }
    columns: dict[str, list[Column]] = {}
    for table, name, kind in warehouse.rows(
        "SELECT table, name, type FROM system.columns WHERE database = currentDatabase() ORDER BY table, position"
    ):
        meaning = (
            comments[table, name]
            or _OF_VIEWS.get((table, name))
            or comments.get((_INHERITED.get(table, ""), name))
            or _EVERYWHERE.get(name, "")
        )
        columns.setdefault(table, []).append(Column(name, kind, meaning))
    relations = [
        Relation(name, engine == "View", comment, columns[name])
        for name, engine, comment in warehouse.rows(
            "SELECT name, engine, comment FROM system.tables WHERE database = currentDatabase() "
            "AND engine != 'MaterializedView' AND name != 'migrations'"
        )
    ]
    order = {name: place for place, name in enumerate(FIRST)}
    return sorted(relations, key=lambda r: (not r.is_view, order.get(r.name, len(order)), r.name))


def markdown(relations: Iterable[Relation]) -> str:
    """The dictionary as Markdown: a table of columns per table and view."""
    lines: list[str] = []
    is_view = None
    for relation in relations:
        if relation.is_view != is_view:
            is_view = relation.is_view
            lines += ["", f"### {'Views' if is_view else 'Tables beneath'}"]
        lines += ["", f"#### {relation.name}", "", f"{relation.meaning}.", "", "| column | type | |", "|---|---|---|"]
        for column in relation.columns:
            kind = column.type.replace("|", "\\|")
            lines.append(f"| `{column.name}` | {kind} | {column.meaning} |")
    return "\n".join([_BEGIN, *lines, "", _END])


def renewed(document: str, dictionary: str) -> str:
    """The document with its dictionary replaced.

    Raises:
        ValueError: the document has no place for it.
    """
    head, begin, rest = document.partition(_BEGIN)
    _, end, tail = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"the document has no place for the dictionary: {_BEGIN} ... {_END}")
    return head + dictionary + tail


def main() -> None:
    """Write the dictionary into docs/analysts.md."""
    from compose.clickhouse import LocalClickHouse

    with tempfile.TemporaryDirectory() as folder, LocalClickHouse(Path(folder)) as server:
        warehouse = Warehouse.connect(server.url, user="default", password="", database="default")
        migrate(warehouse)
        relations = read(warehouse)
    DOCUMENT.write_text(renewed(DOCUMENT.read_text(encoding="utf-8"), markdown(relations)), encoding="utf-8")
    for relation in relations:
        silent = [column.name for column in relation.columns if not column.meaning]
        if silent or not relation.meaning:
            print(f"{relation.name}: no COMMENT on {', '.join(silent) or 'the table'}", file=sys.stderr)


if __name__ == "__main__":
    main()
