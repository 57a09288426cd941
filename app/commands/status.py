"""``driftline status``: asks ClickHouse and Kafka, and shows what :mod:`app.overview` makes of it."""

import json
import sys
from datetime import UTC, datetime

from rich.console import Console

from app import breakers, overview, wiring
from app.commands.common import PATIENCE, answering, plainly
from app.names import pick_model
from app.status import Lag
from schemas.windows import to_ms


def run(model: str, *, as_json: bool) -> None:
    """Print the status of every model, or of one in detail."""
    settings = wiring.load_settings()
    with plainly(settings), answering():
        warehouse = wiring.open_warehouse(settings, patience=PATIENCE)
        lines = overview.lines(warehouse)
        beside = [] if model else overview.others(warehouse, lines)
        stopped = [breaker for breaker in breakers.breakers(warehouse) if breaker.state == "open"]
        if model:
            key = pick_model((line.key for line in lines), model)
            lines = [line for line in lines if line.key == key]
        follower = Lag(settings)
        lag = follower.read()
        follower.close()
    now = to_ms(datetime.now(UTC))
    if as_json:
        json.dump(overview.as_json(lines, lag, beside) | {"breakers_open": [b.topic for b in stopped]}, sys.stdout)
        sys.stdout.write("\n")
    elif model:
        overview.show_model(lines[0], lag, Console(highlight=False, markup=False, emoji=False), now)
    else:
        overview.show(lines, lag, Console(highlight=False, markup=False, emoji=False), now, beside)
    if not as_json:
        for breaker in stopped:
            print(f"\nstage 1 has stopped reading: {breaker.why}")
