"""``driftline check``: what it says of two files, what it cannot say, and with which exit code."""

import json
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from app.check.blocks import DAY, HOUR, WEEK, Unusable, cut
from app.cli import app, main
from app.demo import example

START_MS = 19_723 * DAY
"""2024-01-01."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four weeks of the example as the reference, and a week, cents, and another reason to leave as what came after."""
    where = tmp_path_factory.mktemp("check")
    table = example.table(20_000)
    day = pc.divide(pc.subtract(table["event_time"].cast(pa.int64()), example.START_MS), DAY)
    for name, first, last in (("reference", 0, 28), ("week", 28, 35), ("cents", 36, 39), ("leaving", 46, 56)):
        rows = pc.and_(pc.greater_equal(day, first), pc.less(day, last))
        pq.write_table(table.filter(rows), where / f"{name}.parquet")
    return where


def run(reference: Path, current: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["check", "--reference", str(reference), "--current", str(current), *options])


def found(result: Result) -> dict[str, Any]:
    assert result.exit_code in (0, 1), result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def drifted(answer: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {(one["column"], one["segment"], one["quantity"]) for one in answer["findings"] if one["verdict"] == "drift"}


@pytest.mark.parametrize(
    ("name", "code", "moved"),
    [
        ("week", 0, set()),
        ("cents", 1, {("monthly_charge", "", "distribution"), ("monthly_charge", "", "outside")}),
        ("leaving", 1, {("label", "", "distribution"), ("labelled loss", "", "loss")}),
    ],
)
def test_what_goes_wrong_in_the_example_is_found_and_nothing_else(
    folder: Path, name: str, code: int, moved: set[tuple[str, str, str]]
) -> None:
    result = run(folder / "reference.parquet", folder / f"{name}.parquet", "--json")
    answer = found(result)
    assert (result.exit_code, answer["drift"], drifted(answer)) == (code, code == 1, moved)
    assert answer["performance"]["auc"]["reference"] == pytest.approx(0.73, abs=0.02)


def test_a_segment_is_compared_by_itself(folder: Path) -> None:
    answer = found(run(folder / "reference.parquet", folder / "leaving.parquet", "--json", "--segment", "region"))
    assert ("label", "region=south", "distribution") in drifted(answer)
    assert ("label", "region=north", "distribution") not in drifted(answer)


def test_the_terminal_says_it_in_words(folder: Path) -> None:
    result = run(folder / "reference.parquet", folder / "leaving.parquet")
    assert result.exit_code == 1
    text = " ".join(result.stdout.split())
    assert text.startswith("Drift: labelled loss, label")
    assert "held against 4 weeks of the reference" in text
    assert "What these two files cannot tell" in text
    assert "Whether a difference is a season: the reference knows 2024-03-01 to 2024-03-28" in text


class Page(HTMLParser):
    """What a page holds."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_has_pictures_with_words_and_asks_nobody_for_anything(folder: Path, tmp_path: Path) -> None:
    table = pq.read_table(folder / "cents.parquet")
    names = ["<b>charge</b>" if name == "monthly_charge" else name for name in table.column_names]
    before = pq.read_table(folder / "reference.parquet").rename_columns(names)
    pq.write_table(before, tmp_path / "before.parquet")
    pq.write_table(table.rename_columns(names), tmp_path / "now.parquet")
    run(tmp_path / "before.parquet", tmp_path / "now.parquet", "--report", str(tmp_path / "report.html"))
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(html)
    assert sum(tag == "svg" for tag, _ in page.tags) == 2
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "iframe", "img")]
    assert "<b>charge</b>" not in html
    words = [attributes["aria-label"] or "" for _, attributes in page.tags if attributes.get("role") == "img"]
    assert "Beyond: <b>charge</b> · outside, <b>charge</b> · distribution." in words[0]
    assert "<h2>What these two files cannot tell</h2>" in html


def written(path: Path, columns: dict[str, Any]) -> Path:
    table = pa.table(columns)
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    return path


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_of_features_alone_is_enough(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(1)
    rows = {"x": rng.normal(size=1000), "kind": rng.choice(["a", "b"], 1000).tolist(), "on": [True, False] * 500}
    before = written(tmp_path / f"before.{suffix}", rows)
    same = written(tmp_path / f"same.{suffix}", rows | {"x": rng.normal(size=1000)})
    other = written(tmp_path / f"other.{suffix}", rows | {"kind": ["c"] * 1000, "new": [1] * 1000})
    assert run(before, same).exit_code == 0
    answer = found(run(before, other, "--json"))
    assert {("kind", "", "distribution"), ("kind", "", "unseen")} == drifted(answer)
    assert "in the current file only, and so not compared: new" in answer["notes"]
    assert any("no event_time" in line for line in answer["not_known"])
    assert any("predictions got worse" in line for line in answer["not_known"])


@pytest.mark.parametrize(
    ("task", "columns", "worse"),
    [
        ("multiclass", {"prediction": ["a", "b", "c"] * 400, "label": ["a", "b", "c"] * 400}, {"label": ["b"] * 1200}),
        (
            "regression",
            {"prediction": np.arange(1200) / 7, "label": np.arange(1200) / 7 + 0.1},
            {"label": np.arange(1200) / 7 + 9},
        ),
    ],
)
def test_other_tasks(tmp_path: Path, task: str, columns: dict[str, Any], worse: dict[str, Any]) -> None:
    rows = {"x": np.linspace(0, 1, 1200)} | columns
    before = written(tmp_path / "before.parquet", rows)
    assert run(before, written(tmp_path / "same.parquet", rows)).exit_code == 0
    answer = found(run(before, written(tmp_path / "worse.parquet", rows | worse), "--json"))
    assert ("labelled loss", "", "loss") in drifted(answer), task


def test_a_document_says_kinds_and_segments(tmp_path: Path) -> None:
    codes = np.arange(1000) % 3
    before = written(tmp_path / "before.parquet", {"code": codes, "shop": ["x", "y"] * 500, "score": [0.5] * 1000})
    now = written(tmp_path / "now.parquet", {"code": codes + 7, "shop": ["x", "y"] * 500, "score": [0.5] * 1000})
    model = tmp_path / "model.yaml"
    model.write_text(
        "apiVersion: driftline/v1\nkind: Model\nmetadata: {name: m}\nspec:\n  positive_class: '1'\n"
        "  features: [{name: code, kind: string}]\n  segments: [shop]\n"
    )
    answer = found(run(before, now, "--json", "--model", str(model)))
    assert ("code", "shop=x", "unseen") in drifted(answer)
    assert ("code", "", "unseen") not in drifted(found(run(before, now, "--json")))


@pytest.mark.parametrize(
    ("columns", "options", "said"),
    [
        ({"y": [1.0] * 300}, [], "column 'x' of the reference: not in the table"),
        ({"x": ["a"] * 300}, [], "column 'x', row 1: 'a' is not a number"),
        ({"x": [1.0] * 300}, ["--block", "P1D"], "--block needs the column event_time"),
        ({"x": [1.0] * 300}, ["--block", "often"], "write it like P7D"),
        ({"x": [1.0] * 300}, ["--min-shift", "5"], "above 0 and below 1"),
        ({"x": [1.0] * 3}, [], "nothing could be judged"),
        ({"x": [1.0] * 300}, ["--report", "/nowhere/at/all.html"], "name a file in a folder that exists"),
    ],
)
def test_no_answer_is_exit_code_2_and_says_what_to_do(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    columns: dict[str, Any],
    options: list[str],
    said: str,
) -> None:
    before = written(tmp_path / "before.parquet", {"x": np.arange(300.0)})
    now = written(tmp_path / "now.parquet", columns)
    command = ["driftline", "check", "--reference", str(before), "--current", str(now), *options]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("days", "span", "name"),
    [
        (28, 7 * DAY - HOUR, "4 weeks"),
        (28, 2 * DAY, "28 days"),
        (3, 30 * DAY, "72 hours"),
        (28, None, "28 days"),
        (0.1, DAY, "its earlier and its later half"),
    ],
)
def test_blocks_are_about_as_long_as_what_is_compared(days: float, span: int | None, name: str) -> None:
    times = START_MS + np.linspace(0, days * DAY - 60_000, 1000).astype(np.int64)
    blocks = cut(1000, times, span)
    assert (blocks.name, blocks.timed) == (name, True)
    assert blocks.n == len(np.unique(blocks.ids)) == blocks.ids.max() + 1
    # Rows of a block are neighbours in time, in whatever order the file has them.
    order = np.random.default_rng(1).permutation(1000)
    assert (cut(1000, times[order], span).ids == blocks.ids[order]).all()


def test_a_width_that_is_asked_for_is_used_or_refused() -> None:
    times = np.arange(10) * DAY
    assert cut(10, times, None, width=2 * DAY).n == 5
    assert cut(10, times, None, width=WEEK).name == "2 weeks"
    assert cut(1000, np.arange(1000) * HOUR, 5 * HOUR, least=6 * HOUR).name == "167 blocks of 6 h"
    assert cut(1000, np.arange(1000) * HOUR, 8 * DAY, least=6 * HOUR).name == "6 weeks"
    with pytest.raises(Unusable, match="one block only"):
        cut(10, times, None, width=20 * DAY)


def test_columns_that_no_longer_go_together_are_found_when_asked_for(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 4_000))
    pq.write_table(
        pa.table({"x": x, "twice": 2 * x + 0.3 * y, "other": rng.normal(size=4_000)}), tmp_path / "was.parquet"
    )
    x, y = rng.normal(size=(2, 4_000))
    apart = pa.table({"x": x, "twice": 2.022 * y, "other": rng.normal(size=4_000)})
    pq.write_table(apart, tmp_path / "now.parquet")
    files = tmp_path / "was.parquet", tmp_path / "now.parquet"
    unasked = found(run(*files, "--json"))
    assert drifted(unasked) == set()
    assert any("--together" in line for line in unasked["not_known"])
    answer = found(run(*files, "--json", "--together"))
    assert drifted(answer) == {("features together", "", "together")}
    assert not any("several columns" in line for line in answer["not_known"])
    assert run(*files, "--together").stdout.startswith("Drift: features together\n")
    assert found(run(files[0], files[0], "--json", "--together"))["drift"] is False
