"""``driftline demo``: a fresh stack, a year of flights through it, and what came of it."""

import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from app import status, wiring
from app.demo import baselines, finish, model
from app.demo import flights as data
from app.demo.service import FIRST_STEP, last_step
from app.stack import Stack, fresh
from schemas.windows import NEVER, from_ms

SERVICE = "service"
FIRST_UNTIL, LAST_UNTIL = date(2013, 2, 2), date(2013, 12, 31)
LOOK_EVERY = 2.0
"""Seconds between two looks at the public records for the progress bar; each costs the engine some 30 ms."""


class DemoFailed(SystemExit):
    """The demo did not come to its end; the message says where to look."""


def run_demo(*, until: str, root: Path, cache: Path, keep: bool, as_json: bool) -> None:
    """Run the demo from nothing to its report.

    Args:
        until: last day that flights depart on, ``YYYY-MM-DD``.
        root: data, logs and results; emptied first.
        cache: downloads and parsed flights; kept.
        keep: leave the stack running at the end, until Ctrl-C.
        as_json: print the summary as JSON instead of a table.

    Raises:
        SystemExit: an argument is wrong, a role cannot be kept alive, a stage is late, or the injector's books differ.
    """
    day = _parse(until)
    console = Console(stderr=as_json)
    fresh(root)
    started = time.monotonic()
    with Stack(root, cache=cache, say=console.print) as stack:
        wiring.publish_model(stack.settings, model.first_generation())
        stack.start_roles()
        start_service(stack, day, cache)
        counterfactual = baselines.start_always_promote(stack.root, cache, day)
        try:
            follow(stack, day, console)
            result = finish.finish(
                stack, counterfactual, data.load(cache), day, wall_seconds=lambda: time.monotonic() - started
            )
        finally:
            counterfactual.kill()
            counterfactual.wait()
        if as_json:
            json.dump(result.summary, sys.stdout, indent=2)
            sys.stdout.write("\n")
        else:
            finish.show(result, console)
        if keep:
            console.print(f'The stack runs on: driftline --stack {root} sql "SELECT ..."; Ctrl-C stops it.')
            with suppress(KeyboardInterrupt):
                while True:
                    time.sleep(3600)
    if result.differences:
        raise DemoFailed("this must not be:\n  " + "\n  ".join(result.differences))


def _parse(until: str) -> date:
    try:
        day = date.fromisoformat(until)
    except ValueError:
        raise SystemExit(f"--until {until!r} is no day; write it as YYYY-MM-DD, e.g. 2013-02-15") from None
    if not FIRST_UNTIL <= day <= LAST_UNTIL:
        raise SystemExit(
            f"--until {until} is out of range: January trains version 1, so {FIRST_UNTIL} to {LAST_UNTIL} is valid"
        )
    return day


def start_service(stack: Stack, until: date, cache: Path, *sabotage: str) -> None:
    """Start the demo's live model under the stack's supervisor; ``sabotage`` are further options of its own."""
    command = [sys.executable, "-m", "app.demo.service", "--until", until.isoformat(), "--cache", str(cache)]
    command += ["--decision-cache", str(stack.root / "decision.json"), *sabotage]
    # A day's flights are too few to share between threads.
    stack.supervisor.start(SERVICE, command, stack.env | {"OMP_NUM_THREADS": "1"}, once=True)


def follow(
    stack: Stack,
    until: date,
    console: Console,
    also: Callable[[status.ModelStatus, int], None] = lambda _status, _lag: None,
    every: float = LOOK_EVERY,
) -> None:
    """Show a progress bar until the service has come to its end; ``also`` is told what the bar is told."""
    with _bar(console) as bar:
        tell = _teller(bar, until)

        def both(found: status.ModelStatus, lag: int) -> None:
            tell(found, lag)
            also(found, lag)

        watch(stack, until, both, every)


def watch(
    stack: Stack, until: date, tell: Callable[[status.ModelStatus, int], None], every: float = LOOK_EVERY
) -> None:
    """Wait for the service to come to its end, telling how it goes.

    Args:
        stack: with its roles and service running.
        until: last day that flights depart on.
        tell: called with the model's status and the lag (records).
        every: seconds between two calls.

    Raises:
        DemoFailed: a process cannot be kept alive, or the service gave up.
    """
    names = (model.document().metadata.namespace, model.document().metadata.name)
    lag = status.Lag(stack.settings)
    try:
        while not stack.supervisor.finished(SERVICE):
            if (role := stack.supervisor.failed) is not None:
                raise DemoFailed(
                    f"{role} failed; its log {stack.root / 'logs' / role}.log ends:\n{stack.supervisor.log_tail(role)}"
                )
            found = [state for state in status.models(stack.warehouse) if (state.namespace, state.model) == names]
            if found:
                # The lag is for the eye only: a broker that is busy for a moment must not end the demo.
                with suppress(KafkaException):
                    tell(found[0], sum(lag.read().values()))
            time.sleep(every)
    finally:
        lag.close()


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("[bold]{task.fields[day]}"),
        BarColumn(),
        TextColumn("{task.fields[text]}"),
        TimeElapsedColumn(),
        console=console,
    )


def _teller(bar: Progress, until: date) -> Callable[[status.ModelStatus, int], None]:
    task = bar.add_task("", total=last_step(until) + 1 - FIRST_STEP, day="starting  ", text="")

    def tell(state: status.ModelStatus, lag: int) -> None:
        if state.decided_through == NEVER:
            return
        fields: dict[str, Any] = {
            "day": from_ms(state.decided_through).date().isoformat(),
            "text": f"serving {state.serving or 'a rule of thumb'} ({state.phase}), "
            f"retrainings {state.requests}, incident {'open' if state.incident else 'none'}, lag {lag}",
        }
        bar.update(task, completed=data.step_of(state.decided_through) - FIRST_STEP, **fields)

    return tell
