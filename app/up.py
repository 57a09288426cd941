"""``driftline up``: the whole stack as a service on one machine."""

import signal
import threading
from pathlib import Path
from typing import Any

from rich.console import Console

from app.stack import SERVICE, Stack


def run_up(*, root: Path, cache: Path, kafka_port: int, clickhouse_port: int, web_port: int) -> None:
    """Run a stack until SIGINT or SIGTERM, saying where everything is.

    Raises:
        SystemExit: a role dies again and again; its last log lines are shown.
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
        stack.start_roles(SERVICE)
        console.print(f"Kafka       {stack.env['DRIFTLINE_BOOTSTRAP_SERVERS']}")
        console.print(f"ClickHouse  {stack.env['DRIFTLINE_CLICKHOUSE_URL']}  (database {stack.settings.database})")
        console.print(f"web page    http://127.0.0.1:{web_port}")
        console.print(f"logs        {stack.root / 'logs'}")
        console.print(f"ask it      driftline --stack {root} status      (Ctrl-C stops all)")
        while not stop.wait(0.5):
            if (role := stack.supervisor.failed) is not None:
                raise SystemExit(f"{role} dies again and again; its log ends:\n{stack.supervisor.log_tail(role)}")
        console.print("stopping")
