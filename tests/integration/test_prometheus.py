"""A real Prometheus scrapes every role of an installation that works; our rules and panels find what they ask for."""

import json
import random
import shutil
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aggregate_world import DAY, HOUR, START, model_record, prediction
from confluent_kafka import Producer
from roles_process import Role, started, until

from app.roles import ROLES
from app.wiring import prepare, publish_model
from compose.process import ServerProcess, answers, free_port
from schemas.events import Progress, encode
from schemas.settings import Settings
from schemas.windows import from_ms

COMPOSE = Path(__file__).parents[2] / "compose"
DASHBOARD = json.loads((COMPOSE / "grafana" / "dashboards" / "service.json").read_text(encoding="utf-8"))
GOOD, BAD = 300, 20
NOBODY_IS_CALLED = {"Rings per minute"}


class Prometheus:
    """A server of this test's own that scrapes as compose's does, but every second and at other addresses."""

    def __init__(self, root: Path, roles: dict[str, Role]) -> None:
        found = shutil.which("prometheus")
        if found is None:
            pytest.skip("no Prometheus here: make system installs Debian's package prometheus")
        targets = [{"targets": [f"127.0.0.1:{role.port}"], "labels": {"role": name}} for name, role in roles.items()]
        (root / "targets.json").write_text(json.dumps(targets))
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(COMPOSE / "alerts.yml")],
            "scrape_configs": [{"job_name": "driftline", "file_sd_configs": [{"files": [str(root / "targets.json")]}]}],
        }
        (root / "prometheus.yml").write_text(yaml.safe_dump(config))
        self._port = free_port()
        self.process = ServerProcess("prometheus", root)
        command = [
            found,
            f"--config.file={root / 'prometheus.yml'}",
            f"--storage.tsdb.path={root / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]
        self.process.start(command, port=self._port, ready=lambda: answers(self._port), patience=30)

    def get(self, path: str, **parameters: str) -> Any:
        """What the API says."""
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.loads(answer.read())["data"]

    def query(self, expression: str) -> dict[tuple[str, ...], float]:
        """Values of an instant query, by their labels' values in the order of the labels' names."""
        found = self.get("query", query=expression)["result"]
        return {
            tuple(value for name, value in sorted(one["metric"].items()) if name != "__name__"): float(one["value"][1])
            for one in found
        }

    def rules(self) -> set[str]:
        """How the rules are."""
        return {rule["health"] for group in self.get("rules")["groups"] for rule in group["rules"]}

    def alerts(self) -> set[tuple[str, str]]:
        """(name, role) of the alerts that ring or are about to."""
        labels = [alert["labels"] for alert in self.get("alerts")["alerts"]]
        return {(found["alertname"], found.get("role", "")) for found in labels}


@pytest.fixture
def settings(kafka: str, clickhouse_url: str, tmp_path: Path) -> Settings:
    return Settings(
        bootstrap_servers=kafka,
        clickhouse_url=clickhouse_url,
        database="scraped",
        topic_prefix="scraped",
        source_partitions=2,
        checkpoint_seconds=0.5,
        session_timeout_ms=6_000,
        store=tmp_path / "store",
    )


@pytest.fixture
def roles(settings: Settings, tmp_path: Path) -> Iterator[dict[str, Role]]:
    prepare(settings, patience=60)
    options: dict[str, dict[str, str]] = {name: {} for name in ROLES}
    options["web"] = {"DRIFTLINE_WEB_PORT": str(free_port())}
    with started(settings, tmp_path, options) as made:
        yield made


def send(settings: Settings) -> None:
    """Two days of predictions, some of which nobody can read, and the promise that there are no others."""
    rng, producer = random.Random(1), Producer(settings.producer())
    for number in range(GOOD):
        body = json.dumps(prediction(number, START + HOUR + number * 400_000, rng)).encode()
        producer.produce(settings.topic("predictions"), body, f"default/delay/f{number}".encode())
    for number in range(BAD):
        producer.produce(settings.topic("predictions"), b"{", str(number).encode())
    promise = encode(Progress(namespace="default", model="delay", event_time=from_ms(START + 2 * DAY)))
    for topic in ("predictions", "outcomes"):
        for partition in range(settings.source_partitions):
            producer.produce(settings.topic(topic), promise, partition=partition)
    assert producer.flush(60) == 0


def test_every_role_is_scraped_and_every_panel_has_data(
    settings: Settings, roles: dict[str, Role], tmp_path: Path
) -> None:
    publish_model(settings, model_record())
    for role in roles.values():
        role.until_ready()
        assert role.get("/healthz") == (200, "ok\n")
    prometheus = Prometheus(tmp_path, roles)
    try:
        send(settings)
        until(lambda: len(prometheus.query('up{job="driftline"} == 1')) == len(ROLES), "all roles are up")
        became = {("counted",): GOOD, ("dead",): BAD}
        total = 'sum by (verdict) (driftline_events_total{role="aggregate", topic="predictions"})'
        until(lambda: became.items() <= prometheus.query(total).items(), "all is counted")
        reasons = prometheus.query('sum by (reason) (driftline_dead_letters_total{role="aggregate"})')
        assert reasons == {("undecodable",): BAD}
        # Two windows were closed, so the monitor has decided two ticks, and stage 4 has heard of them.
        until(lambda: prometheus.query('driftline_ticks_total{role="monitor"} == 2'), "two ticks were decided")
        until(lambda: prometheus.query('driftline_messages_total{role="rollout"} >= 2'), "stage 4 has heard of them")
        behind = 'sum by (role) (driftline_consumer_lag{role=~"aggregate|monitor"}) == 0'
        until(lambda: len(prometheus.query(behind)) == 2, "nothing is behind")
        until(lambda: prometheus.query("sum(driftline_ready == bool 0)") == {(): 0}, "all are ready")
        until(lambda: not empty(prometheus), "every panel has data")
        until(lambda: prometheus.rules() == {"ok"}, "every rule was evaluated, and none has an error")
        # One in sixteen was unusable; all else is well.
        until(lambda: {name for name, _ in prometheus.alerts()} <= {"DriftlineDeadLetters"}, "nobody is missed")

        # Somebody ends: Prometheus notices, and the alert is on its way.
        assert roles["monitor"].end() == 0
        until(lambda: ("DriftlineRoleMissing", "monitor") in prometheus.alerts(), "the missing role is noticed")
    finally:
        prometheus.process.stop()


def empty(prometheus: Prometheus) -> list[str]:
    """Panels of which a query has no answer, as Grafana would ask it."""
    found = {
        panel["title"]
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
        if not prometheus.query(target["expr"].replace("$__rate_interval", "4s"))
    }
    return sorted(found - NOBODY_IS_CALLED)


def test_a_role_says_which_server_does_not_answer(settings: Settings, kafka: str, tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:1"
    with started(settings, tmp_path, {"aggregate": {"DRIFTLINE_CLICKHOUSE_URL": nobody}}) as roles:
        role = roles["aggregate"]
        until(lambda: "kafka: ok" in role.get("/readyz")[1], "Kafka answers")
        until(lambda: "driftline_waits_total 0.0" not in role.get("/metrics")[1], "it waits")
        status, said = role.get("/readyz")
        assert status == 503
        assert "clickhouse: no answer within 2 s: ConnectError" in said
        assert "assigned: no partitions" in said
        assert role.get("/healthz")[0] == 200, "it waits, and is not hung"
        assert role.end() == 0


def test_a_port_that_is_taken_is_said(settings: Settings, tmp_path: Path, kafka: str) -> None:
    with started(settings, tmp_path, {"web": {}}) as roles:
        until(lambda: roles["web"].get("/healthz")[0] == 200, "it answers")
        taken = {"DRIFTLINE_METRICS_PORT": str(roles["web"].port)}
        with started(settings, tmp_path, {"notify": taken}) as others:
            assert others["notify"].process.wait(60) == 2
            assert f"/metrics cannot listen on 127.0.0.1:{roles['web'].port}" in others["notify"].said
            assert "set DRIFTLINE_METRICS_PORT" in others["notify"].said
