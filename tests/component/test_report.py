"""Summary, decisions and report of a made-up quarter: the numbers against scikit-learn, the page against a reader."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client
from sklearn.metrics import log_loss, roc_auc_score
from story_world import MODEL, NAMESPACE, PER_DAY, SINCE, UNTIL, build, day, record

from app.demo.decisions import KINDS, write_decisions
from app.demo.report import HTML, PNG, identity, write_report
from app.demo.story import tell
from app.demo.summary import ARMS, COMPARED, compare, summarise
from detectors.distances import jensen_shannon
from warehouse.client import Warehouse
from warehouse.migrate import migrate


@pytest.fixture
def warehouse(clickhouse: Client) -> Warehouse:
    made = Warehouse(clickhouse, patience=30)
    migrate(made)
    build(made)
    return made


def summary(warehouse: Warehouse) -> dict[str, Any]:
    return summarise(warehouse, since=SINCE, until=UNTIL, wall_seconds=12.34, broker="Apache Kafka 4.3.1")


def test_auc_and_log_loss_are_scikit_learns_on_the_same_flights(warehouse: Warehouse) -> None:
    found = summary(warehouse)
    rows = warehouse.rows(
        "SELECT s.label, s.score, b.frozen, b.always_promote FROM served AS s "
        "INNER JOIN demo_baselines AS b USING (prediction_id) "
        "WHERE s.label IS NOT NULL AND s.event_time < '2013-05-01 05:00:00'"
    )
    label, *scores = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    assert len(label) == found["flights_compared"] > 500
    for arm, score in zip(("loop", "frozen", "always_promote"), scores, strict=True):
        assert len(np.unique(score)) < len(score) / 3, "there must be ties"
        assert found[f"auc_{arm}"] == pytest.approx(roc_auc_score(label, score), abs=1e-12)
        assert found[f"logloss_{arm}"] == pytest.approx(log_loss(label, np.clip(score, 1e-6, 1 - 1e-6)), abs=1e-9)


def test_the_counts_are_driftlines_own(warehouse: Warehouse) -> None:
    found = summary(warehouse)
    assert found["events_in"] == found["counted"] + found["dead_lettered"]
    assert (found["dead_lettered"], found["late"], found["duplicate"]) == (1, 0, 0)
    assert found["pairs_joined"] == found["tallies"]["outcomes.counted"]
    assert found["predictions_unlabelled"] == 120 * PER_DAY // 25 + 1
    assert (found["retrainings"], found["candidates"], found["incidents"]) == (4, 4, 1)
    assert (found["promoted"], found["rejected"], found["rolled_back"]) == (2, 1, 1)
    assert compare(found, {name: found[name] for name in COMPARED}) == []


def test_without_labels_there_is_no_number_rather_than_a_wrong_one(warehouse: Warehouse, tmp_path: Path) -> None:
    found = summarise(warehouse, since=UNTIL, until=UNTIL, wall_seconds=1, broker="none")
    assert {found[f"auc_{arm}"] for arm in ARMS} == {None}
    assert json.loads(json.dumps(found)) == found
    write_report(warehouse, NAMESPACE, MODEL, found, tmp_path, records=[record()], since=UNTIL, until=UNTIL)
    assert (tmp_path / PNG).stat().st_size > 10_000


def test_decisions_are_the_same_bytes_in_another_run(warehouse: Warehouse, clickhouse: Client, tmp_path: Path) -> None:
    count = write_decisions(warehouse, NAMESPACE, MODEL, tmp_path / "one.jsonl")
    first = (tmp_path / "one.jsonl").read_bytes()
    # Another run: another artifact, other offsets, and everything told twice.
    clickhouse.command(
        'INSERT INTO audit SELECT * REPLACE (replaceAll(replaceAll(body, \'"manifest": "d\', \'"manifest": "e\'), '
        "'[1, 2]', '[7, 9]') AS body) FROM audit"
    )
    assert write_decisions(warehouse, NAMESPACE, MODEL, tmp_path / "two.jsonl") == count
    assert (tmp_path / "two.jsonl").read_bytes() == first
    records = [json.loads(line) for line in first.splitlines()]
    assert [(r["at"], KINDS.index(r["kind"]), r["id"]) for r in records] == sorted(
        (r["at"], KINDS.index(r["kind"]), r["id"]) for r in records
    )
    assert {r["kind"] for r in records} == set(KINDS)
    assert next(r for r in records if r["kind"] == "candidate")["body"]["metrics"]["auc"] == 0.7
    assert b"artifact" not in first


def test_the_story_has_every_turn_of_the_circle(warehouse: Warehouse) -> None:
    story = tell(warehouse, NAMESPACE, MODEL, summary(warehouse), records=[record()], since=SINCE, until=UNTIL)
    assert [(s.label, s.start, s.end) for s in story.serving][:3] == [
        ("1", day(32), day(62)),
        ("2", day(62), day(88)),
        ("3", day(88), day(94)),
    ]
    assert [(s.label, s.start, s.end) for s in story.shadowing] == [("2", day(52), day(62)), ("3", day(80), day(88))]
    assert [s.label for s in story.guarding] == ["1", "2"]
    assert [(m.label, m.sign) for m in story.marks if m.kind == "rollout"] == [
        ("2", "promotion"),
        ("3", "promotion"),
        ("2", "rollback"),
    ]
    assert [m.at for m in story.marks if m.kind == "candidate"] == [day(32), day(52), day(80), day(108)]
    assert [month.start.month for month in story.months] == [2, 3, 4]
    assert story.drift.values[0, -1] == pytest.approx(jensen_shannon([1, 1], [99, 1]), abs=0.05)
    assert np.all(story.drift.values[2] == 0)
    assert story.drift.features == ["temp", "carrier", "hour"]
    assert story.drift.values.shape == (3, len(story.drift.weeks))


class Page(HTMLParser):
    """What a reader, or a screen reader, gets."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(" ".join(data.split()))


def test_the_page_stands_alone(warehouse: Warehouse, tmp_path: Path) -> None:
    found = summary(warehouse)
    write_report(warehouse, NAMESPACE, MODEL, found, tmp_path, records=[record()], since=SINCE, until=UNTIL)
    html = (tmp_path / HTML).read_text()
    page = Page(html)
    assert not [tag for tag, _ in page.tags if tag in {"script", "link", "iframe"}]
    assert not [a for _, a in page.tags if (a.get("src") or a.get("href") or "#")[0] not in "#d"]
    assert len([a for tag, a in page.tags if tag == "div" and a.get("role") == "img" and a.get("aria-label")]) == 3
    assert "Every event is accounted for" in page.text
    assert f"{found['events_in']:,}" in page.text
    assert len(html) < 3_000_000
    assert (tmp_path / PNG).read_bytes()[:4] == b"\x89PNG"


def test_the_page_says_so_when_events_are_missing(warehouse: Warehouse, tmp_path: Path) -> None:
    found = summary(warehouse)
    found["events_in"] += 1
    assert not identity(found)["holds"]
    write_report(warehouse, NAMESPACE, MODEL, found, tmp_path, records=[record()], since=SINCE, until=UNTIL)
    assert "Events are not accounted for" in Page((tmp_path / HTML).read_text()).text
