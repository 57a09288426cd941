"""What is wrong with a document is said all at once: where, what, what is valid, and what was perhaps meant."""

from pathlib import Path

import pytest

from app.documents import Unreadable, read
from schemas.spec import Model

HEAD = "apiVersion: driftline/v1\nkind: Model\nmetadata: {name: churn}\nspec:\n  positive_class: left\n"
GOOD = HEAD + "  features: [{name: age, kind: number}]\n"
DURATION = "write a duration as ISO-8601 says it: P7D, PT1H, PT30S"


def problems(tmp_path: Path, text: str) -> list[str]:
    """What is said of a file, without its folder."""
    file = tmp_path / "model.yaml"
    file.write_text(text)
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in read([file])[1]]


def test_all_documents_of_all_files(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text(f"---\n{GOOD}---\napiVersion: driftline/v1\nkind: Team\nmetadata: {{name: growth}}\n---\n")
    second.write_text(GOOD.replace("churn", "fraud"))
    documents, wrong = read([first, second])
    assert wrong == []
    assert [(document.name, document.line) for document in documents] == [
        ("Model default/churn", 2),
        ("Team default/growth", 9),
        ("Model default/fraud", 1),
    ]
    assert isinstance(documents[0].resource, Model)


def test_everything_is_said_at_once(tmp_path: Path) -> None:
    text = HEAD + (
        "  features:\n"
        "    - {name: age, kind: nubmer}\n"
        "    - {name: x, knd: number}\n"
        "  windows:\n"
        "    widht: P1D\n"
        "    offset: 3600\n"
        "    label_maturity: one day\n"
        "  alerts: 3\n"
        "  team: our team\n"
        "---\n"
        "kind: Modell\n"
    )
    said = problems(tmp_path, text)
    assert said == [
        "model.yaml:7: spec.features[0].kind: 'nubmer' is not known (did you mean number?); "
        "valid: number, string, boolean",
        "model.yaml:8: spec.features[1].kind: is missing",
        "model.yaml:8: spec.features[1].knd: unknown key (did you mean kind?); valid: name, kind, importance",
        "model.yaml:10: spec.windows.widht: unknown key (did you mean width?); valid: width, offset, "
        "allowed_lateness, future_skew, max_age, dedupe_horizon, label_maturity, label_horizon",
        f"model.yaml:11: spec.windows.offset: 3600 has no unit; {DURATION}",
        "model.yaml:12: spec.windows.label_maturity: 'one day': input should be a valid timedelta, invalid digit in "
        f"duration; {DURATION}",
        said[6],
        "model.yaml:14: spec.team: 'our team' is no name; valid: up to 100 letters, digits, _, . and -, the first a "
        "letter or a digit",
        "model.yaml:16: kind: 'Modell' is not known (did you mean Model?); valid: Model, Team",
    ]
    assert said[6].startswith("model.yaml:13: spec.alerts: 3: a mapping is needed here, with the keys latency_p99_ms")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "model.yaml:1: no document in it; a document begins with apiVersion and kind (Model, Team)"),
        ("- a\n", "model.yaml:1: ['a'] is no document; one begins with apiVersion, kind and metadata"),
        ("spec: {}\n", "model.yaml:1: kind: is missing; valid: Model, Team"),
        ("a: [1\nb: 2\n", "model.yaml:2: not YAML: while parsing a flow sequence expected ',' or ']', but got ':'"),
        ("a: \x00\n", "model.yaml:1: not YAML: "),
        (f"{GOOD}  team: a\n  team: b\n", "model.yaml:8: team: is given twice, first in line 7; keep one"),
        (
            GOOD.replace("driftline/v1", "driftline/v2"),
            "model.yaml:1: apiVersion: 'driftline/v2' is not known (did you mean driftline/v1?); valid: driftline/v1",
        ),
        (
            GOOD.replace("left", "1"),
            'model.yaml:5: spec.positive_class: 1 is no text to YAML; write it in quotes: "1"',
        ),
        (
            GOOD.replace("left", "yes"),
            'model.yaml:5: spec.positive_class: True is no text to YAML; write it in quotes: "yes"',
        ),
        (
            GOOD.replace("churn", "1.10"),
            'model.yaml:3: metadata.name: 1.1 is no text to YAML; write it in quotes: "1.10"',
        ),
        (
            f"{GOOD}  segments: origin\n",
            "model.yaml:7: spec.segments: 'origin': a list is needed here; write it in brackets: [origin]",
        ),
        (
            f"{GOOD}  raw: {{ttl: P90Y}}\n",
            "model.yaml:7: spec.raw.ttl: P90Y: input should be less than or equal to 3650 days",
        ),
        (
            f"{GOOD}  windows: {{width: P1D, label_maturity: PT36H}}\n",
            "model.yaml:7: spec.windows: label_maturity (P1DT12H) must be a multiple of width (P1D)",
        ),
        (
            f"{GOOD}  segments: [origin, origin]\n",
            "model.yaml:4: spec: segments declared twice: origin; name each of them once",
        ),
        (
            f"{GOOD}---\n{GOOD}",
            "model.yaml:8: metadata.name: Model default/churn is declared twice, first at",
        ),
    ],
    ids=[
        "empty",
        "only a list",
        "no kind",
        "syntax",
        "no text",
        "a key twice",
        "version",
        "a number",
        "yes",
        "1.10",
        "a list",
        "long",
        "uneven",
        "segments",
        "twice",
    ],
)
def test_one_thing_wrong(tmp_path: Path, text: str, said: str) -> None:
    (found,) = problems(tmp_path, text)
    assert found.startswith(said)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "No such file or directory; name a YAML file"),
        (b"\xff\xfe", "byte 0 is no UTF-8"),
        (b"#" * 1_000_001, "more than 1,000,000 bytes"),
    ],
    ids=["missing", "binary", "large"],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, data: bytes | None, said: str) -> None:
    file = tmp_path / "model.yaml"
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(Unreadable, match=said) as raised:
        read([file])
    assert str(raised.value).startswith(str(file))
