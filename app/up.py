"""``driftline up``: the whole stack as a service on one machine."""

import signal
import threading
from pathlib import Path
from typing import Any

from rich.console import Console

from app.stack import SERVICE, Stack
from compose.process import answers


def run_up(*, root: Path, cache: Path, kafka_port: int, clickhouse_port: int, web_port: int) -> None:
    """Run a stack until SIGINT or SIGTERM, saying where everything is.

    Raises:
        SystemExit: Kafka, ClickHouse or a role cannot be kept running; its last log lines are shown.
    """
    console = Console()
    stop = threading.Event()

    def tell(_number: int, _frame: Any) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, tell)
    with Stack(
        root,
        cache=cache,
        kafka_port=kafka_port,
        clickhouse_port=clickhouse_port,
        options={"DRIFTLINE_WEB_PORT": str(web_port)},
        say=console.print,
    ) as stack:
        if answers(web_port):
            raise SystemExit(
                f"web: port {web_port} of 127.0.0.1 is taken by another program. "
                "Stop that program, or choose another port (driftline up --web-port)."
            )
        stack.start_roles(SERVICE, observed=True)
        console.print(f"Kafka       {stack.env['DRIFTLINE_BOOTSTRAP_SERVERS']}")
        console.print(f"ClickHouse  {stack.env['DRIFTLINE_CLICKHOUSE_URL']}  (database {stack.settings.database})")
        console.print(f"web page    http://127.0.0.1:{web_port}")
        console.print(f"metrics     {stack.targets}  (of each role: /metrics, /healthz, /readyz)")
        console.print(f"logs        {stack.root / 'logs'}")
        console.print(f"ask it      driftline --stack {root} status      (Ctrl-C stops all)")
        while not stop.wait(0.5):
            if (role := stack.supervisor.failed) is not None:
                raise SystemExit(f"{role} dies again and again; its log ends:\n{stack.supervisor.log_tail(role)}")
            if ended := stack.ended():
                raise SystemExit(ended)
        console.print("stopping")
