"""An owner's rules are read when the spec is, and what cannot be read is explained."""

from datetime import timedelta

import monitor_world as world
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.rules import Rule, RuleError, metrics, parse
from schemas.spec import AlertSpec, FeatureSpec
from schemas.tasks import Task

FEATURES = [("temp", "number"), ("origin", "string"), ("miles per hour", "number"), ("a.b", "boolean")]
KNOWN = metrics("binary", FEATURES)
TAGS = ("origin", "carrier")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (
            "labelled.auc < 0.75 for 2 windows",
            Rule("labelled.auc < 0.75 for 2 windows", "labelled.auc", "<", 0.75, 2, ""),
        ),
        (
            "feature.temp.null_rate>0.2",
            Rule("feature.temp.null_rate > 0.2", "feature.temp.null_rate", ">", 0.2, 1, ""),
        ),
        (
            "  latency.p99   >=  2.5e2 for 1 window ",
            Rule("latency.p99 >= 2.5e2", "latency.p99", ">=", 250.0, 1, ""),
        ),
        (
            "labelled.log_loss > .6 [origin=JFK] for 3 windows",
            Rule("labelled.log_loss > .6 for 3 windows [origin=JFK]", "labelled.log_loss", ">", 0.6, 3, "origin=JFK"),
        ),
        (
            "feature.miles per hour.mean <= -4",
            Rule("feature.miles per hour.mean <= -4", "feature.miles per hour.mean", "<=", -4.0, 1, ""),
        ),
        ("feature.a.b.psi > 1", Rule("feature.a.b.psi > 1", "feature.a.b.psi", ">", 1.0, 1, "")),
        (
            "quality.counted < 100 [carrier=U A]",
            Rule("quality.counted < 100 [carrier=U A]", "quality.counted", "<", 100.0, 1, "carrier=U A"),
        ),
    ],
)
def test_a_rule_is_read_into_one_spelling(text: str, rule: Rule) -> None:
    assert parse(text, KNOWN, TAGS) == rule
    assert parse(rule.text, KNOWN, TAGS) == rule


def test_the_parts_of_a_path() -> None:
    rule = parse("feature.a.b.psi > 1", KNOWN, TAGS)
    assert (rule.view, rule.name, rule.measure) == ("feature", "a.b", "psi")
    rule = parse("quality.counted > 1", KNOWN, TAGS)
    assert (rule.view, rule.name, rule.measure) == ("quality", "", "counted")


@pytest.mark.parametrize(
    ("operator", "broken"), [("<", [True, False, False]), ("<=", [True, True, False]), (">", [False, False, True])]
)
def test_a_limit_is_a_limit(operator: str, broken: list[bool]) -> None:
    rule = parse(f"score.mean {operator} 0.5", KNOWN, TAGS)
    assert [rule.broken(value) for value in (0.4, 0.5, 0.6)] == broken
    assert parse("score.mean >= 0.5", KNOWN, TAGS).broken(0.5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("labelled.acu < 0.75", "position 1: no metric 'labelled.acu' of this model; did you mean labelled.auc"),
        ("feature.tmp.null_rate > 0.2", "did you mean feature.temp.null_rate"),
        ("feature.origin.mean > 2", "position 1: no metric 'feature.origin.mean' of this model; did you mean"),
        ("score.median > 1", "no metric 'score.median' of this model; did you mean score.mean"),
        ("latency > 1", "did you mean latency.p99, latency.p95, latency.p50"),
        ("quality.late > 5", "no metric 'quality.late' of this model"),
        ("  whatever", "position 3: no metric 'whatever' of this model; valid are labelled.auc, labelled.log_loss"),
        ("labelled.auc = 0.75", "position 14: after labelled.auc comes one of <, <=, >, >="),
        ("labelled.auc", "position 13: after labelled.auc comes one of"),
        ("labelled.auc < 75%", "position 16: after < comes a number, as in 0.75"),
        ("labelled.auc < high", "position 16: after < comes a number"),
        ("labelled.auc < 0.7 for two windows", "position 20: what may follow is"),
        ("labelled.auc < 0.7 for 0 windows", "position 24: windows in a row are 1 to 1000"),
        ("labelled.auc < 0.7 for 2 windows for 3 windows", "position 34: what may follow is"),
        ("latency.p99 > 250 [origin=JFK]", "position 20: latency.p99 is not counted by segment"),
        ("labelled.auc < 0.7 [dest=JFK]", "'dest=JFK' is no segment of this model; declared are origin=..., carrier="),
        ("labelled.auc < 0.7 [origin]", "'origin' is no segment of this model"),
    ],
)
def test_what_cannot_be_read_says_where_and_what_is_valid(text: str, said: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse(text, KNOWN, TAGS)
    assert said in str(caught.value)
    assert repr(text) in str(caught.value)


PIECES = (
    "labelled.auc",
    "feature.temp.psi",
    " ",
    "<",
    ">=",
    "0.5",
    "1e",
    "for",
    "2",
    "windows",
    "[",
    "origin=",
    "]",
    "é",
)


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=60))
def test_whatever_is_typed_is_read_or_explained(text: str) -> None:
    said = ""
    try:
        rule = parse(text, KNOWN, TAGS)
        assert parse(rule.text, KNOWN, TAGS) == rule
    except RuleError as error:
        said = str(error)
    assert not said or "position" in said


def test_a_model_without_segments_says_what_to_do() -> None:
    with pytest.raises(RuleError, match=r"none: declare a tag in spec\.segments first"):
        parse("labelled.auc < 0.7 [origin=JFK]", KNOWN, ())


def test_every_wrong_rule_of_a_spec_is_named() -> None:
    rules = ("labelled.auc < 0.7", "feature.tmp.psi > 1", "labelled.auc<0.7", "score.psi 3")
    with pytest.raises(ValidationError) as caught:
        world.spec(alerts=AlertSpec(rules=rules))
    text = str(caught.value)
    assert "alerts.rules[1]: 'feature.tmp.psi > 1', position 1: no metric 'feature.tmp.psi'" in text
    assert "alerts.rules[2]: 'labelled.auc < 0.7' is there already" in text
    assert "alerts.rules[3]: 'score.psi 3', position 11: after score.psi comes one of" in text
    assert "alerts.rules[0]" not in text


@pytest.mark.parametrize(
    ("task", "theirs", "not_theirs"),
    [("binary", "auc", "mae"), ("multiclass", "f1_macro", "auc"), ("regression", "rmse", "accuracy")],
)
def test_labelled_metrics_are_those_of_the_task(task: Task, theirs: str, not_theirs: str) -> None:
    known = metrics(task, FEATURES)
    assert parse(f"labelled.{theirs} > 1", known, TAGS).measure == theirs
    with pytest.raises(RuleError, match=f"no metric 'labelled.{not_theirs}'"):
        parse(f"labelled.{not_theirs} > 1", known, TAGS)


def test_rules_follow_the_features() -> None:
    spec = world.spec(features=(FeatureSpec(name="x", kind="number"),), alerts=AlertSpec(rules=("feature.x.mean > 1",)))
    assert [rule.metric for rule in spec.rules()] == ["feature.x.mean"]
    assert spec.windows.width == timedelta(days=1)
