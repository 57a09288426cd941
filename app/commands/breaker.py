"""``driftline breaker``: show, reset."""

import json
import sys
import time

import typer

from app.commands.common import JsonOption, warehouse
from schemas.windows import from_ms

app = typer.Typer(
    help="Stage 1 stops when most of a topic is dead letters, and goes on by command.", no_args_is_help=True
)


@app.command()
def show(as_json: JsonOption = False) -> None:
    """Show whether stage 1 has stopped, since when and why; exit 1 when it has."""
    from app import breakers

    with warehouse() as found:
        known = breakers.breakers(found)
    if as_json:
        json.dump([breaker._asdict() for breaker in known], sys.stdout)
        sys.stdout.write("\n")
    else:
        lines = [f"{b.topic}: {b.state} since {from_ms(b.at).isoformat(timespec='seconds')}: {b.why}" for b in known]
        print("\n".join(lines) or "no breaker was ever open")
    raise typer.Exit(1 if any(breaker.state == "open" for breaker in known) else 0)


@app.command()
def reset(as_json: JsonOption = False) -> None:
    """Let stage 1 read on, behind the dead letters. Mend their cause first; then driftline dead-letters replay."""
    from app import breakers

    with warehouse() as found:
        closed = breakers.reset(found, lambda: int(time.time() * 1000))
    if as_json:
        json.dump({"reset": [breaker.topic for breaker in closed]}, sys.stdout)
        sys.stdout.write("\n")
    else:
        print("\n".join(f"{b.topic}: was open: {b.why}" for b in closed) or "no breaker is open")
