"""What Prometheus and Grafana are given: every role is scraped, every metric is explained, every alert can ring."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics_core import Metric

from app.roles import ROLES
from observe.metrics import Metrics
from schemas.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SERVICES: dict[str, Any] = yaml.safe_load((COMPOSE / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
CONFIG: dict[str, Any] = yaml.safe_load((COMPOSE / "prometheus.yml").read_text(encoding="utf-8"))
RULES: list[dict[str, Any]] = yaml.safe_load((COMPOSE / "alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((COMPOSE / "grafana/dashboards/service.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def metrics() -> dict[str, Metric]:
    """Every metric of driftline by the name that Prometheus knows it by."""
    found = Metrics("test").registry.collect()
    return {
        metric.name + ("_total" if metric.type == "counter" else ""): metric
        for metric in found
        if metric.name.startswith("driftline_")
    }


def test_every_metric_is_explained_with_its_labels(metrics: dict[str, Metric]) -> None:
    rows = re.findall(r"^\| `(driftline_\w+)` \| ([\w, ]*) ?\|", OPERATIONS, re.MULTILINE)
    explained = {name: {label.strip() for label in labels.split(",") if label.strip()} for name, labels in rows}
    assert explained.keys() == metrics.keys()
    declared = vars(Metrics("test")).values()
    for name, labels in explained.items():
        (metric,) = (m for m in declared if getattr(m, "_name", None) == name.removesuffix("_total"))
        assert set(metric._labelnames) == labels, name


def test_names_and_units_are_as_prometheus_has_them(metrics: dict[str, Metric]) -> None:
    for name, metric in metrics.items():
        assert re.fullmatch(r"driftline_[a-z][a-z_]*[a-z]", name)
        assert metric.documentation
        assert (metric.type == "histogram") <= name.endswith("_seconds"), name
        assert (metric.type == "counter") == name.endswith("_total"), name


def test_every_role_is_scraped_where_it_listens() -> None:
    (job,) = (job for job in CONFIG["scrape_configs"] if job["job_name"] == "driftline")
    (found,) = job["dns_sd_configs"]
    assert set(found["names"]) == ROLES.keys()
    for role in ROLES:
        environment = SERVICES[role]["environment"]
        assert environment["DRIFTLINE_METRICS_PORT"] == str(found["port"])
        assert environment["DRIFTLINE_METRICS_HOST"] == "0.0.0.0"  # noqa: S104  inside the container
        assert f":{found['port']}/readyz" in SERVICES[role]["healthcheck"]["test"][3]
        assert str(found["port"]) not in str(SERVICES[role].get("ports", "")), "not open to anybody outside"
        compile(SERVICES[role]["healthcheck"]["test"][3], "healthcheck", "exec")
    mounted = {volume.split(":")[0] for volume in SERVICES["prometheus"]["volumes"]}
    assert {f"./{name}" for name in CONFIG["rule_files"]} <= mounted


def test_metrics_are_off_and_local_unless_somebody_says_otherwise() -> None:
    fields = Settings.model_fields
    assert (fields["metrics_port"].default, fields["metrics_host"].default) == (None, "127.0.0.1")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{rule['alert'].lower()}"
    assert f"### {rule['alert']}\n" in OPERATIONS


def test_no_other_alert_is_explained() -> None:
    assert set(re.findall(r"^### (Driftline\w+)$", OPERATIONS, re.MULTILINE)) == {rule["alert"] for rule in RULES}


@pytest.mark.parametrize("text", [str(rule["expr"]) for rule in RULES] + [
    target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]
])  # fmt: skip
def test_queries_ask_for_metrics_that_exist(text: str, metrics: dict[str, Metric]) -> None:
    asked = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bdriftline_\w+", text)}
    assert asked <= metrics.keys()


def test_the_dashboard_is_whole() -> None:
    assert DASHBOARD["uid"] == "driftline-service"
    text = (COMPOSE / "grafana" / "provisioning" / "datasources" / "prometheus.yaml").read_text(encoding="utf-8")
    (source,) = yaml.safe_load(text)["datasources"]
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(cells) == len(set(cells)), "panels overlap"
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)
    for panel in DASHBOARD["panels"]:
        assert panel["datasource"] == {"type": source["type"], "uid": source["uid"]}


def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("no promtool here: make system installs Debian's package prometheus")
    return found


def test_prometheus_itself_finds_no_fault() -> None:
    command = [promtool(), "check", "config", str(COMPOSE / "prometheus.yml")]
    answer = subprocess.run(command, capture_output=True, check=False, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert f"{len(RULES)} rules found" in answer.stdout


ALL_UP = [{"series": f'up{{job="driftline", role="{role}"}}', "values": "1+0x120"} for role in ROLES]
RINGS: dict[str, tuple[list[tuple[str, str]], str, dict[str, str]]] = {
    "DriftlineRestarting": (
        [('process_start_time_seconds{job="driftline", role="web"}', "1+0x3 2+0x3 3+0x3 4+0x60")],
        "15m",
        {"job": "driftline", "role": "web"},
    ),
    "DriftlineStalled": ([('driftline_loop_age_seconds{role="trainer"}', "0+60x60")], "5m", {"role": "trainer"}),
    "DriftlineNotReady": (
        [
            ('driftline_ready{role="web", check="clickhouse"}', "0+0x60"),
            ('driftline_ready{role="web", check="other"}', "1+0x60"),
        ],
        "5m",
        {"role": "web", "check": "clickhouse"},
    ),
    "DriftlineFallsBehind": (
        [
            ('driftline_consumer_lag{role="aggregate", topic="p", partition="0"}', "100000+1000x90"),
            ('driftline_consumer_lag{role="aggregate", topic="p", partition="1"}', "100000+1000x90"),
            ('driftline_consumer_lag{role="ingest", topic="q", partition="0"}', "9000000-1000x90"),
        ],
        "40m",
        {"role": "aggregate", "topic": "p"},
    ),
    "DriftlineCheckpointOld": (
        [('driftline_checkpoint_age_seconds{role="aggregate"}', "0+60x60")], "5m", {"role": "aggregate"}
    ),
    "DriftlineDeadLetters": (
        [
            ('driftline_dead_letters_total{role="aggregate", reason="invalid"}', "0+6x60"),
            ('driftline_dead_letters_total{role="ingest", reason="invalid"}', "0+4x60"),
            ('driftline_events_total{role="aggregate", verdict="dead"}', "0+6x60"),
            ('driftline_events_total{role="aggregate", verdict="counted"}', "0+94x60"),
            ('driftline_events_total{role="ingest", verdict="mapped"}', "0+100x60"),
        ],
        "20m",
        {"role": "aggregate"},
    ),
    "DriftlineMessageUnusable": (
        [
            ('driftline_dead_letters_total{role="monitor", reason="invalid"}', "0+0x20 1+0x30"),
            ('driftline_dead_letters_total{role="aggregate", reason="invalid"}', "0+0x20 1+0x30"),
        ],
        "25m",
        {"role": "monitor", "reason": "invalid"},
    ),
    "DriftlineNobodyHears": (
        [
            ('driftline_deliveries_total{role="notify", channel="chat", state="gave up"}', "0+0x20 1+0x30"),
            ('driftline_deliveries_total{role="notify", channel="pager", state="delivered"}', "0+5x50"),
        ],
        "25m",
        {"channel": "chat"},
    ),
}  # fmt: skip
"""Per alert: series that make it ring, one value a minute; when it rings; with which labels."""


def rings(alert: str) -> dict[str, Any]:
    series, at, labels = RINGS[alert]
    severity = next(rule["labels"]["severity"] for rule in RULES if rule["alert"] == alert)
    return {
        "interval": "1m",
        "input_series": ALL_UP + [{"series": name, "values": values} for name, values in series],
        "alert_rule_test": [
            {"eval_time": at, "alertname": alert, "exp_alerts": [{"exp_labels": labels | {"severity": severity}}]},
            {"eval_time": at, "alertname": "DriftlineRoleMissing", "exp_alerts": []},
        ],
    }


def test_each_alert_rings_for_its_cause_and_for_nothing_else(tmp_path: Path) -> None:
    missing = {
        "interval": "1m",
        "input_series": [series for series in ALL_UP if "monitor" not in series["series"]]
        + [{"series": 'up{job="driftline", role="monitor"}', "values": "1+0x5 0+0x10"}],
        "alert_rule_test": [
            {"eval_time": "5m", "alertname": "DriftlineRoleMissing", "exp_alerts": []},
            {
                "eval_time": "10m",
                "alertname": "DriftlineRoleMissing",
                "exp_alerts": [{"exp_labels": {"job": "driftline", "role": "monitor", "severity": "critical"}}],
            },
            {
                "eval_time": "30m",
                "alertname": "DriftlineRoleMissing",
                "exp_alerts": [{"exp_labels": {"job": "driftline", "role": "monitor", "severity": "critical"}}],
            },
        ],
    }
    assert RINGS.keys() | {"DriftlineRoleMissing"} == {rule["alert"] for rule in RULES}
    # The texts of annotations are checked above; promtool compares them only where they are given.
    rules = [{name: value for name, value in rule.items() if name != "annotations"} for rule in RULES]
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump({"groups": [{"name": "driftline", "rules": rules}]}))
    cases = {"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": [missing, *map(rings, RINGS)]}
    (tmp_path / "cases.yml").write_text(yaml.safe_dump(cases))
    command = [promtool(), "test", "rules", str(tmp_path / "cases.yml")]
    answer = subprocess.run(command, capture_output=True, check=False, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
