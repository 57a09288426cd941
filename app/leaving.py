"""How a role leaves: a signal tells it, it finishes what it is at, and is gone within ten seconds whatever happens."""

import faulthandler
import os
import signal
import sys
import threading
import time
from typing import NoReturn

import structlog

log = structlog.get_logger()

GRACE = 8.0
"""Seconds to leave in order; supervisors (ours, Docker's) kill after ten."""

_LAST_WORDS = 0.5


def when_told(grace: float = GRACE) -> threading.Event:
    """An event that SIGTERM and SIGINT set, so that a role can finish its batch and leave in order.

    A role that is not gone ``grace`` seconds later says where each of its threads is, and is ended as a crash would end
    it, with exit code 1: what is not durable is not committed, and the next start does it again. Must be called in the
    main thread.
    """
    stop = threading.Event()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    # A handler in Python would wait for a call into C to return, such as the flush of a producer without brokers; the
    # number of the signal is written to the pipe at once.
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)

    def listen() -> None:
        while not set(os.read(reading, 64)) & {signal.SIGTERM, signal.SIGINT}:
            continue
        # In C, for a call into C may have the interpreter's lock, and then nothing in Python would end the process.
        faulthandler.dump_traceback_later(grace + _LAST_WORDS, exit=True)
        log.info("role.stopping", grace=grace)
        stop.set()
        time.sleep(grace)
        log.error("role.cut_off", grace=grace, use="nothing: what was not committed is done again by the next start")

    threading.Thread(target=listen, name="leaving", daemon=True).start()
    return stop


def end() -> NoReturn:
    """End this process with exit code 0, now: all is durable and said.

    What an interpreter clears away at its end takes seconds on a busy machine, and nobody cuts it off.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
