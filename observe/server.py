"""Where Prometheus and an orchestrator ask: ``/metrics``, ``/healthz`` and ``/readyz``, over plain HTTP.

It has no log-in: it listens on this machine alone unless it is told otherwise, and then belongs into a private network.
"""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client.exposition import choose_encoder

from observe.observer import Observer

_PATIENCE = 5.0
"""Seconds that a client may take to ask, or to listen."""

_PLAIN = "text/plain; charset=utf-8"


@contextlib.contextmanager
def serve(observer: Observer, *, host: str, port: int) -> Iterator[int]:
    """Answer in threads of its own until the block ends; gives the port.

    - ``/metrics``: Prometheus' or OpenMetrics' text format, as the ``Accept`` header prefers.
    - ``/healthz``: 200 while the main loop turns, else 503: start the process again.
    - ``/readyz``: a line per condition; 503 while one of them does not hold: wait.

    Args:
        observer: of this process.
        host: address to listen on.
        port: 0: any free one.

    Raises:
        OSError: the address cannot be had.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE
        server_version = "driftline"
        sys_version = ""

        def do_GET(self) -> None:
            status, kind, body = answer(observer, self.path.partition("?")[0], self.headers.get("Accept", ""))
            with contextlib.suppress(ConnectionError):  # who asked has not waited for the answer
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Scrapes are no news."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="observe", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(observer: Observer, path: str, accept: str = "") -> tuple[int, str, bytes]:
    """Status, content type and body of the answer to a GET."""
    if path == "/metrics":
        encode, kind = choose_encoder(accept)
        return 200, kind, encode(observer.registry)
    if path == "/healthz":
        stalled = observer.stalled()
        return (503 if stalled else 200), _PLAIN, (stalled or "ok\n").encode()
    if path == "/readyz":
        found = observer.readiness()
        lines = [f"{name}: {problem or 'ok'}\n" for name, problem in found.items()]
        return (503 if any(found.values()) else 200), _PLAIN, ("".join(lines) or "ok\n").encode()
    return 404, _PLAIN, b"valid: /metrics, /healthz, /readyz\n"
