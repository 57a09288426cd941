"""Runs notify with the environment's settings; ``DIE=before_send|before_row|before_commit`` kills it there, once.

``PACE`` is JSON of ``streams.notify.delivery.Pace``, ``LOOK`` its seconds between two looks; ``SPEED`` says how many
seconds of its clock are one of ours.
"""

import json
import logging
import os
import signal
import threading
import time
from dataclasses import replace
from typing import Any

import structlog

from app import wiring
from streams import notify
from streams.notify.delivery import Line, Pace, Post
from streams.notify.member import Member

DIE = os.environ.pop("DIE", "")
PACE = Pace(**json.loads(os.environ.pop("PACE", "{}")))
LOOK = float(os.environ.pop("LOOK", PACE.look))
SPEED = float(os.environ.pop("SPEED", "1"))
STARTED = time.time()


def now() -> float:
    """The clock."""
    return STARTED + (time.time() - STARTED) * SPEED


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def sabotage() -> None:
    """Die at a point that only a machine's failure would pick."""
    if DIE == "before_send":
        Post.__call__ = die  # type: ignore[method-assign,assignment]
    if DIE == "before_row":
        Line._note = die  # type: ignore[method-assign,assignment]
    if DIE == "before_commit":
        Member._done = die  # type: ignore[method-assign,assignment]


def main() -> None:
    """Run until SIGTERM, or die."""
    logging.basicConfig(level=logging.WARNING)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory())
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    sabotage()
    settings = wiring.load_settings()
    notify.run(
        settings,
        connect=lambda: wiring.prepare_warehouse(settings, patience=0.5),
        now=now,
        stop=stop,
        pace=replace(PACE, look=LOOK),
    )


if __name__ == "__main__":
    main()
