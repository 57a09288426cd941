"""compose/: what cannot run here is at least well formed, whole, pinned, and free of secrets.

Containers do not run where this was written; with a Docker that has ``compose`` its own check runs as well.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest
import yaml
from clickhouse_connect.driver.client import Client

from app.roles import ROLES
from compose.kafka import VERSION
from schemas.settings import Settings
from warehouse.migrate import statements

ROOT = Path(__file__).parent.parent.parent
COMPOSE = ROOT / "compose"
TEXT = (COMPOSE / "docker-compose.yml").read_text(encoding="utf-8")
DOCUMENT: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
READ_BY_THE_COMMAND_LINE = {"secrets_dir", "log_format"}


def test_every_role_that_production_needs_is_there() -> None:
    roles = {service["command"][1] for service in SERVICES.values() if service.get("command", [""])[0] == "run"}
    assert roles == {"aggregate", "monitor", "trainer", "rollout", "notify", "ingest", "web"}
    assert roles <= ROLES.keys()
    assert SERVICES.keys() >= roles | {"kafka", "clickhouse", "grafana", "alertmanager", "prometheus"}


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_names_exists(name: str) -> None:
    service = SERVICES[name]
    for other, condition in service.get("depends_on", {}).items():
        assert condition == {"condition": "service_healthy"}
        assert "healthcheck" in SERVICES[other]
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        assert source in DOCUMENT["volumes"] or (COMPOSE / source).resolve().exists(), source
    assert set(service.get("secrets", [])) <= DOCUMENT["secrets"].keys()
    assert set(service["networks"]) <= DOCUMENT["networks"].keys()
    if "build" in service:
        assert (COMPOSE / service["build"]["context"] / service["build"]["dockerfile"]).resolve().exists()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_do_little_and_is_watched(name: str) -> None:
    service = SERVICES[name]
    assert "healthcheck" in service
    assert service["restart"] == "unless-stopped"
    assert "mem_limit" in service
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged")
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    if name != "clickhouse":  # its image starts as root and steps down
        assert service["cap_drop"] == ["ALL"]
    version = service["image"].split(":")[1]
    assert re.search(r"\d", version), "pinned"


@pytest.mark.parametrize("name", SERVICES)
def test_settings_are_settings_and_no_secrets(name: str) -> None:
    environment: dict[str, str] = SERVICES[name].get("environment", {})
    for variable, value in environment.items():
        if variable.startswith("DRIFTLINE_"):
            field = variable.removeprefix("DRIFTLINE_").lower()
            assert field in Settings.model_fields or field in READ_BY_THE_COMMAND_LINE, variable
        if re.search("PASSWORD|SECRET|TOKEN|HASH", variable):
            assert value.startswith("/run/secrets"), variable
    for secret in SERVICES[name].get("secrets", []):
        if secret.startswith("driftline_"):
            assert secret.removeprefix("driftline_") in Settings.model_fields


def test_versions_are_those_that_the_tests_run_with() -> None:
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{VERSION}"
    conftest = (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")
    assert f'"{SERVICES["clickhouse"]["image"]}"' in conftest


def test_the_image_has_no_rights_and_the_locked_libraries() -> None:
    lines = (COMPOSE / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert all(":latest" not in line and re.search(r":\d", line) for line in lines if line.startswith("FROM"))
    assert [line for line in lines if line.startswith("USER")] == ["USER 10001:10001"]
    assert any("--require-hashes -r requirements.lock" in line for line in lines)
    kept = (COMPOSE / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    for line in kept:
        if line.startswith("!"):
            assert (ROOT / line[1:]).exists(), line
    assert "compose/secrets" in kept
    assert "compose/secrets/" in (ROOT / ".gitignore").read_text(encoding="utf-8")


def test_configurations_are_well_formed() -> None:
    for name in ("users.xml", "prometheus.xml"):
        assert ElementTree.parse(COMPOSE / "clickhouse" / name).getroot().tag == "clickhouse"  # noqa: S314  ours
    routes = yaml.safe_load((COMPOSE / "alertmanager.yml").read_text(encoding="utf-8"))
    assert routes["route"]["receiver"] in {receiver["name"] for receiver in routes["receivers"]}
    jobs = yaml.safe_load((COMPOSE / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    for job in jobs:
        for config in job.get("static_configs", []):
            assert all(target.split(":")[0] in SERVICES for target in config["targets"])
    for name in ("driftline", "prometheus"):
        text = (COMPOSE / "grafana" / "provisioning" / "datasources" / f"{name}.yaml").read_text(encoding="utf-8")
        (source,) = yaml.safe_load(text)["datasources"]
        assert (urlsplit(source.get("url", "")).hostname or source["jsonData"]["host"]) in SERVICES
    (provider,) = yaml.safe_load((COMPOSE / "grafana/provisioning/dashboards/driftline.yaml").read_text())["providers"]
    assert any(volume.split(":")[1] == provider["options"]["path"] for volume in SERVICES["grafana"]["volumes"])


def test_users_have_no_password_in_a_file_and_the_analyst_only_reads() -> None:
    users = ElementTree.parse(COMPOSE / "clickhouse" / "users.xml").getroot().find("users")  # noqa: S314  ours
    assert users is not None
    found = {user.tag: user for user in users}
    assert found["default"].get("remove") == "remove"
    for name in ("driftline", "analyst"):
        password = found[name].find("password_sha256_hex")
        assert password is not None
        variable = str(password.get("from_env"))
        assert f"export {variable}=" in TEXT.replace("ANALYST_HASH=", "export ANALYST_HASH=")
        assert password.text is None
    grants = [query.text or "" for query in found["analyst"].iter("query")]
    assert grants == ["GRANT SHOW, SELECT ON driftline.*"]


def test_the_sql_of_the_read_only_user_is_clickhouse_s(clickhouse: Client) -> None:
    text = (COMPOSE / "clickhouse" / "analyst.sql").read_text(encoding="utf-8")
    found = statements(text)
    assert len(found) == 4
    plain = [
        str(clickhouse.command("SELECT formatQuerySingleLine({sql:String})", parameters={"sql": sql.rstrip(";")}))
        for sql in found
    ]
    assert [sql for sql in plain if sql.startswith("GRANT")] == [
        "GRANT SHOW, SELECT ON driftline.* TO driftline_reader"
    ]
    assert "readonly = 2" in plain[0]
    assert "HOST NONE" in plain[3], "nobody can log in before somebody sets a password"


def test_docker_itself_finds_no_fault() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        return  # the other tests have looked at what can be looked at
    command = [docker, "compose", "-f", str(COMPOSE / "docker-compose.yml"), "config", "--format", "json"]
    answer = subprocess.run(command, capture_output=True, check=False, text=True)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["services"].keys() == SERVICES.keys()
