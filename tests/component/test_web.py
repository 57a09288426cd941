"""The page: what it says, that a screen reader and a keyboard reach it, and that it asks nobody for anything."""

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
import uvicorn
from clickhouse_connect.driver.client import Client
from msgspec.structs import replace
from starlette.testclient import TestClient
from web_world import INCIDENT, NAMESPACE, SICK, SUMMARY, WELL, build

from app.web.server import create_app
from schemas.ids import canonical_json
from schemas.spec import FeatureSpec, ModelSpec, RetrainingSpec
from schemas.tables import AUDIT, INCIDENTS, REPORTS
from schemas.windows import to_ms
from streams.incidents import row
from streams.notify.deadman import DeadMan
from warehouse.client import Warehouse
from warehouse.migrate import migrate

HOST = "127.0.0.1"
PAGES = ("/", f"/models/{NAMESPACE}/{SICK}", f"/models/{NAMESPACE}/{WELL}", f"/incidents/{INCIDENT}", "/models/a/b")


@pytest.fixture
def warehouse(clickhouse: Client) -> Warehouse:
    made = Warehouse(clickhouse, patience=2)
    migrate(made)
    return made


@pytest.fixture
def browser(warehouse: Warehouse) -> TestClient:
    build(warehouse)
    return TestClient(_app(warehouse), base_url=f"http://{HOST}", raise_server_exceptions=False)


def _app(warehouse: Warehouse):  # type: ignore[no-untyped-def]
    return create_app(warehouse, hosts=(HOST,), now=lambda: datetime(2013, 4, 29, 6, tzinfo=UTC))


class Page(HTMLParser):
    """What a reader, or a screen reader, gets."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page(browser: TestClient, path: str, status: int = 200) -> Page:
    answer = browser.get(path)
    assert answer.status_code == status, answer.text
    return Page(answer.text)


def test_the_first_page_says_who_serves_and_what_is_wrong(browser: TestClient) -> None:
    found = page(browser, "/")
    assert "1 open incident" in found.text
    assert "critical acknowledged by mira" in found.text
    assert SUMMARY in found.text
    assert f"{NAMESPACE}/{SICK} critical 2 a new version serves, the former one stands by 29 Apr 2013" in found.text
    assert f"{NAMESPACE}/{WELL} none 2 not trained here, or not yet 29 Apr 2013, 05:00 UTC 800" in found.text
    assert "mean absolute error 40% labelled" in found.text
    links = [a["href"] for a in found.all("a")]
    assert links.index(f"/models/{NAMESPACE}/{SICK}") < links.index(f"/models/{NAMESPACE}/{WELL}")


def test_what_concerns_the_whole_installation_and_a_hundred_incidents_are_all_there(warehouse: Warehouse) -> None:
    build(warehouse)
    now = to_ms(datetime(2013, 4, 29, 6, tzinfo=UTC))
    stalled = DeadMan(1).tick(now, through=now, clickhouse_away_since=now - 600_000, lasting=[])
    many = [replace(stalled[0], id=f"of-{n}", namespace=NAMESPACE, model=f"model-{n}") for n in range(99)]
    warehouse.insert(INCIDENTS, [row(incident, now) for incident in (*stalled, *many)])
    browser = TestClient(_app(warehouse), base_url=f"http://{HOST}", raise_server_exceptions=False)
    found = page(browser, "/")
    assert "101 open incidents" in found.text
    assert "the installation ClickHouse has not answered for 10 min" in found.text
    assert "/models/*/*" not in [a["href"] for a in found.all("a")]
    assert "the installation" in page(browser, f"/incidents/{stalled[0].id}").text


def test_a_model_that_collects_its_reference_says_how_far_it_is(warehouse: Warehouse) -> None:
    build(warehouse)
    spec = ModelSpec(positive_class="late", features=(FeatureSpec(name="temp", kind="number"),))
    spec = spec.model_copy(update={"retraining": RetrainingSpec(enabled=False)})
    body = canonical_json({"generation": 1, "spec": spec.model_dump(mode="json"), "reference": None}).decode()
    at = datetime(2013, 3, 4, tzinfo=UTC)
    known = {"namespace": NAMESPACE, "model": WELL, "at": at, "kind": "generation", "id": "g1", "body": body}
    warehouse.insert(AUDIT, [[known.get(column, "") for column in AUDIT.columns]])
    browser = TestClient(_app(warehouse), base_url=f"http://{HOST}", raise_server_exceptions=False)
    for path in ("/", f"/models/{NAMESPACE}/{WELL}"):
        assert "collecting, 100%: 44,800 of 20,000 rows" in page(browser, path).text


def test_what_a_small_reference_leaves_unjudged_is_said_on_the_model_s_page(warehouse: Warehouse) -> None:
    build(warehouse)
    gap = "not enough data: 0 of the reference's 7 windows have 100 rows <sic>"
    body = json.dumps({"window_start": 0, "not_judged": [gap]})
    warehouse.insert(REPORTS, [[NAMESPACE, WELL, datetime(2013, 5, 20, tzinfo=UTC), body, "{}"]])
    browser = TestClient(_app(warehouse), base_url=f"http://{HOST}", raise_server_exceptions=False)
    assert f"Not judged: {gap}" in page(browser, f"/models/{NAMESPACE}/{WELL}").text
    assert "Not judged" not in page(browser, f"/models/{NAMESPACE}/{SICK}").text


def test_a_model_shows_weeks_of_performance_with_coverage_and_what_moved(browser: TestClient) -> None:
    found = page(browser, f"/models/{NAMESPACE}/{SICK}")
    pictures = {image["src"]: image["alt"] or "" for image in found.all("img")}
    performance, features = pictures.values()
    assert "AUC by window, 4 March 2013 to 27 April 2013" in performance
    assert "with labels for 40% of the predictions" in performance
    assert features == "Far from the reference in the newest window: temp."
    for source in pictures:
        drawn = browser.get(str(source))
        assert drawn.headers["content-type"] == "image/svg+xml"
        assert drawn.text.startswith("<svg")
    assert "temp moved much" in found.text
    assert "wind_speed moved" in found.text
    assert "humidity as before" in found.text
    assert "version 2: the shadow says pass" in found.text
    weeks = page(browser, f"/models/{NAMESPACE}/{SICK}?weeks=1")
    assert "last week" in weeks.text
    assert "4 March 2013" not in weeks.text


def test_an_incident_can_be_read_and_what_it_quotes_is_no_html(browser: TestClient) -> None:
    found = page(browser, f"/incidents/{INCIDENT}")
    assert "What moved: temp is missing." in found.text
    assert "team flights" in found.text
    assert "to 34.00% <of> 800 rows" in found.text
    assert not found.all("of")


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/models/demo/nobody", 404, "No model 'nobody' in namespace 'demo' has sent anything yet."),
        ("/incidents/none", 404, "There is no incident 'none'."),
        (f"/models/{NAMESPACE}/{SICK}?weeks=ten", 400, "weeks is 'ten'; it must be a whole number from 1 to 520."),
        ("/elsewhere", 404, "Not here"),
    ],
)
def test_what_is_not_there_is_said(browser: TestClient, path: str, status: int, says: str) -> None:
    assert says in page(browser, path, status).text


@pytest.mark.parametrize("path", PAGES)
def test_a_keyboard_and_a_screen_reader_get_everywhere(browser: TestClient, path: str) -> None:
    found = Page(browser.get(path).text)
    assert found.all("html") == [{"lang": "en"}]
    assert len(found.all("h1")) == len(found.all("main")) == len(found.all("title")) == 1
    assert next(a for a in found.all("a")) == {"class": "skip", "href": "#content"}
    assert all(image.get("alt") for image in found.all("img"))
    assert len(found.all("caption")) == len(found.all("table"))
    assert all(cell.get("scope") for cell in found.all("th"))
    scrolling = [div for div in found.all("div") if div.get("class") == "scroll"]
    assert all(div["tabindex"] == "0" and div["role"] == "region" and div["aria-label"] for div in scrolling)


@pytest.mark.parametrize("path", PAGES)
def test_no_request_leaves_the_machine_and_nothing_runs(browser: TestClient, path: str) -> None:
    answer = browser.get(path)
    found = Page(answer.text)
    assert not {tag for tag, _ in found.tags} & {"script", "iframe", "form", "object"}
    addresses = [a.get("href") or a.get("src") for _, a in found.tags if a.get("href") or a.get("src")]
    assert all(str(address).startswith(("/", "#")) for address in addresses)
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on") or name == "style"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert not [header for header in answer.headers if header == "set-cookie"]


def test_it_is_read_only_and_answers_to_its_own_name(browser: TestClient) -> None:
    assert browser.post("/").status_code == 405
    assert browser.get("/", headers={"host": "evil.example"}).status_code == 400


def test_an_installation_without_models_says_how_to_begin(warehouse: Warehouse) -> None:
    found = page(TestClient(_app(warehouse), base_url=f"http://{HOST}"), "/")
    assert "No model has sent anything yet" in found.text
    assert "driftline apply model.yaml" in found.text


def test_without_clickhouse_it_says_so(warehouse: Warehouse) -> None:
    gone = TestClient(_app(warehouse), base_url=f"http://{HOST}", raise_server_exceptions=False)
    warehouse.command("DROP VIEW metric_values")
    found = page(gone, "/", 503)
    assert "ClickHouse is away" in found.text


@pytest.fixture
def served(warehouse: Warehouse) -> Iterator[str]:
    build(warehouse)
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        config = uvicorn.Config(_app(warehouse), log_level="warning")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://{HOST}:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)


def test_chromium_shows_it(served: str, tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed: make system")
    picture = tmp_path / "page.png"
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--window-size=1000,1500",
        "--virtual-time-budget=5000",
    ]
    subprocess.run(
        [*command, f"--screenshot={picture}", f"{served}/models/{NAMESPACE}/{SICK}"],
        check=True,
        capture_output=True,
        timeout=90,
    )
    assert picture.read_bytes()[:4] == b"\x89PNG"
    done = subprocess.run(
        [*command, "--dump-dom", f"{served}/"], check=True, capture_output=True, timeout=90, text=True
    )
    assert SUMMARY in Page(done.stdout).text
