"""An embedded ClickHouse: the chDB engine in a process of its own behind ClickHouse's HTTP interface.

``python -m compose.clickhouse --path DIR --port N`` serves it, :class:`LocalClickHouse` starts and stops it, and
clickhouse-connect, curl and Grafana see a ClickHouse server. For development, tests and one-machine runs only: there
is no authentication but that of the user ``analyst``, who can only read, and it listens on 127.0.0.1 alone. Access
rights, quotas and replication need a real server.
"""

import argparse
import contextlib
import os
import sys
import urllib.request
from pathlib import Path

from compose.process import LocalServer, answers, remembered_ports


class LocalClickHouse(LocalServer):
    """One embedded ClickHouse as a process of its own; its data survive stop, kill and start.

    Args:
        root: directory of data, log and remembered port. One process may use it at a time.
        port: of the HTTP interface; default: the one remembered in ``root``, else a free one.
        analyst_password: of the user ``analyst``; empty: there is no such user.
    """

    def __init__(self, root: Path, *, port: int | None = None, analyst_password: str = "") -> None:
        super().__init__("clickhouse", root)
        self.url = ""
        self._port = port
        self._analyst_password = analyst_password

    @property
    def version(self) -> str:
        """Version of the engine, asked from the running server."""
        with urllib.request.urlopen(f"{self.url}/?query=SELECT+version()", timeout=10) as answer:  # noqa: S310
            return str(answer.read().decode().strip())

    def start(self, *, patience: float = 60.0) -> str:
        """Start the server, wait until it answers and return its URL, ``http://127.0.0.1:PORT``.

        Raises:
            compose.process.ServerError: it does not start; the message quotes the end of its log.
        """
        port = remembered_ports(self.root, {"http": self._port})["http"]
        self.url = f"http://127.0.0.1:{port}"
        self._process.start(
            [sys.executable, "-m", "compose.clickhouse", "--path", str(self.root / "data"), "--port", str(port)],
            port=port,
            ready=lambda: answers(port) and _pings(self.url),
            patience=patience,
            # One time zone on every machine; the module is found wherever the caller was started.
            env={"TZ": "UTC", "PYTHONPATH": str(Path(__file__).parent.parent), _PASSWORD: self._analyst_password},
            cwd=self.root,
        )
        return self.url


_PASSWORD = "DRIFTLINE_ANALYST_PASSWORD"  # noqa: S105  the name of a variable
"""Of the user ``analyst``, in the environment of the server: command lines are for everybody to see."""


def _pings(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/ping", timeout=2) as answer:  # noqa: S310
        return bool(answer.status == 200)
    return False


def main() -> None:
    """Serve one directory until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m compose.clickhouse", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--path", type=Path, required=True, help="directory of the data")
    parser.add_argument("--port", type=int, default=8123, help="port on 127.0.0.1 (default: 8123)")
    parser.add_argument("--max-body-mb", type=int, default=256, help="largest request, packed or not (default: 256)")
    options = parser.parse_args()

    # Loads the engine (hundreds of MB): only this process needs it, not everybody who starts it.
    from compose.clickhouse_http import serve  # noqa: PLC0415

    serve(
        options.path,
        port=options.port,
        max_body=options.max_body_mb * 2**20,
        analyst_password=os.environ.get(_PASSWORD, ""),
    )


if __name__ == "__main__":
    main()
