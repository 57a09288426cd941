"""Incidents, channels and a receiver of HTTP requests for notify's tests."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from msgspec.structs import replace
from pydantic import SecretStr

from schemas.channels import Channel, ChannelKind
from schemas.lifecycle import Condition, Incident, Severity

NOW = 1_790_000_000_000
KEY = "0123456789abcdef0123456789abcdef"


def condition(key: str = "quality/null_rate/temp", kind: Any = "quality", severity: Severity = "critical") -> Condition:
    return Condition(key, kind, "1", "", "temp", "null_rate", 0.5, 0.1, NOW, NOW, f"{key} is wrong", severity)


def incident(
    id_: str = "incident-0123456789abcdef", *conditions: Condition, state: Any = "open", **changes: Any
) -> Incident:
    """An open incident that was opened an hour ago; its severity is the worst of its conditions'."""
    held = list(conditions) or [condition()]
    worst: Severity = "critical" if any(one.severity == "critical" for one in held) else "warning"
    opened = NOW - 3_600_000
    made = Incident(
        id_,
        "default",
        "flights",
        opened,
        opened,
        state,
        held,
        worst,
        summary="temp is missing in 50% of rows (usually 1%)",
        text="temp is missing in 50% of rows.\nLook further: driftline status",
        changed=opened,
    )
    return replace(made, **changes)


def later(of: Incident, *conditions: Condition, state: Any = "open", minutes: int = 1) -> Incident:
    """The same incident some minutes later, with these conditions as well."""
    held = [*of.conditions, *conditions]
    worst: Severity = "critical" if any(one.severity == "critical" for one in held) else "warning"
    at = of.updated + minutes * 60_000
    return replace(of, updated=at, changed=at, state=state, conditions=held, severity=worst)


def channel(kind: ChannelKind = "webhook", url: str = "http://127.0.0.1:9/hook", token: str | None = None) -> Channel:
    return Channel(kind=kind, url=SecretStr(url), token=SecretStr(token) if token else None)


def until(holds: Callable[[], Any], seconds: float = 60.0, what: str = "it") -> Any:
    """Wait for something to hold, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"{what} did not happen in {seconds:g} s"
        time.sleep(0.02)
    return found


@dataclass
class Request:
    """One request that a receiver got."""

    path: str
    headers: Mapping[str, str]
    body: Any
    at: float

    @property
    def key(self) -> str:
        return self.headers.get("Idempotency-Key", "")


@dataclass
class Receiver:
    """Takes what is posted to it; ``answer`` says with which code (and seconds to wait before)."""

    url: str = ""
    answer: Callable[[Request], int] = lambda _: 200
    requests: list[Request] = field(default_factory=list)

    def keys(self) -> list[str]:
        """Idempotency keys in the order of arrival."""
        return [request.key for request in self.requests]


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A server of our own on the loopback interface."""
    taken = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = Request(self.path, dict(self.headers), json.loads(body), time.monotonic())
            taken.requests.append(request)
            self.send_response(taken.answer(request))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    taken.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield taken
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
