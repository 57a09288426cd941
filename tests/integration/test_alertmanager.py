"""Against a real Alertmanager: incidents are grouped, silenced and resolved by it, and it is told again what lasts."""

import json
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import notify_world as world
import pytest
from msgspec.structs import replace
from notify_stack import Installation, installed

from compose.process import ServerProcess, answers, free_port

CONFIG = """
route:
  receiver: people
  group_by: [namespace, model]
  group_wait: 500ms
  group_interval: 500ms
  repeat_interval: 1h
receivers:
  - name: people
    webhook_configs:
      - url: {url}
        send_resolved: true
"""


class Alertmanager:
    """A server of this test's own, whose only receiver is ``people``."""

    def __init__(self, root: Path, people: world.Receiver) -> None:
        found = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
        if found is None:
            pytest.skip("no Alertmanager here: make system installs Debian's package prometheus-alertmanager")
        self._program = found
        self._root = root
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = ServerProcess("alertmanager", root)
        (root / "config.yml").write_text(CONFIG.format(url=f"{people.url}/people"))

    def start(self, storage: str = "data") -> None:
        command = [
            self._program,
            f"--config.file={self._root / 'config.yml'}",
            f"--storage.path={self._root / storage}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
        ]
        self.process.start(command, port=self.port, ready=lambda: answers(self.port), patience=30)

    def alerts(self) -> list[tuple[str, str, str]]:
        """(incident, severity, state) of the alerts that it holds."""
        found = self._call("GET", "/alerts")
        return sorted((a["labels"]["incident"], a["labels"]["severity"], a["status"]["state"]) for a in found)

    def silence(self, model: str) -> str:
        """Silence a model; returns the silence's id."""
        made = self._call(
            "POST",
            "/silences",
            {
                "matchers": [{"name": "model", "value": model, "isRegex": False, "isEqual": True}],
                "startsAt": "2020-01-01T00:00:00Z",
                "endsAt": "2099-01-01T00:00:00Z",
                "createdBy": "test",
                "comment": "test",
            },
        )
        return str(made["silenceID"])

    def unsilence(self, id_: str) -> None:
        self._call("DELETE", f"/silence/{id_}")

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310
            f"{self.url}/api/v2{path}", data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.loads(answer.read() or b"null")


@pytest.fixture
def people() -> Iterator[world.Receiver]:
    with world.receiver() as made:
        yield made


@pytest.fixture
def alertmanager(tmp_path: Path, people: world.Receiver) -> Iterator[Alertmanager]:
    root = tmp_path / "alertmanager"
    root.mkdir()
    made = Alertmanager(root, people)
    made.start()
    try:
        yield made
    finally:
        made.process.stop()


@pytest.fixture
def installation(
    kafka: str, clickhouse_url: str, alertmanager: Alertmanager, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Installation]:
    channels = {"alertmanager": {"kind": "alertmanager", "url": alertmanager.url}}
    with installed(kafka, clickhouse_url, request.node.name, tmp_path, channels) as made:
        made.listen()
        yield made


def heard(people: world.Receiver) -> list[tuple[str, list[str]]]:
    """(status, incidents) of every notification."""
    return [
        (request.body["status"], sorted(alert["labels"]["incident"] for alert in request.body["alerts"]))
        for request in people.requests
    ]


def test_incidents_of_a_model_are_grouped_and_resolved(
    installation: Installation, alertmanager: Alertmanager, people: world.Receiver
) -> None:
    first = world.incident("incident-1")
    second = world.incident("incident-2", world.condition("rule/1", "rule"))
    installation.say(first, second)
    both = ["incident-1", "incident-2"]
    world.until(lambda: ("firing", both) in heard(people), what="one notification of both")
    assert alertmanager.alerts() == [(id_, "critical", "active") for id_ in both]
    labels = {alert["labels"]["alertname"] for alert in people.requests[-1].body["alerts"]}
    assert labels == {"ModelDataQuality", "ModelOwnRule"}
    installation.say(world.later(first, state="resolved"), world.later(second, state="resolved"))
    world.until(lambda: people.requests[-1].body["status"] == "resolved", what="the end")
    world.until(lambda: alertmanager.alerts() == [], what="no alert any more")


def test_what_is_silenced_there_is_not_heard_until_the_silence_ends(
    installation: Installation, alertmanager: Alertmanager, people: world.Receiver
) -> None:
    silence = alertmanager.silence("flights")
    installation.say(world.incident("incident-1"))
    world.until(lambda: alertmanager.alerts() == [("incident-1", "critical", "suppressed")], what="the alert")
    installation.say(replace(world.incident("incident-3"), model="delays"))
    world.until(lambda: heard(people) == [("firing", ["incident-3"])], what="the other model's notification")
    alertmanager.unsilence(silence)
    world.until(lambda: ("firing", ["incident-1"]) in heard(people), what="the notification after the silence")


def test_an_alert_that_becomes_critical_is_not_left_behind_as_a_warning(
    installation: Installation, alertmanager: Alertmanager
) -> None:
    mild = world.incident("incident-1", world.condition("quality/a", severity="warning"))
    installation.say(mild)
    world.until(lambda: alertmanager.alerts() == [("incident-1", "warning", "active")], what="the warning")
    installation.say(world.later(mild, world.condition("latency/p99/1", "latency")))
    world.until(
        lambda: alertmanager.alerts() == [("incident-1", "critical", "active")], what="the critical alert alone"
    )


def test_an_alertmanager_that_lost_its_memory_is_told_again(
    installation: Installation, alertmanager: Alertmanager
) -> None:
    installation.say(world.incident("incident-1"))
    world.until(alertmanager.alerts, what="the alert")
    alertmanager.process.kill()
    alertmanager.start("empty")
    world.until(lambda: alertmanager.alerts() == [("incident-1", "critical", "active")], what="the alert again")
