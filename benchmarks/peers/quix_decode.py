"""Quix Streams decoding the same topic and counting, nothing else; runs in a virtual environment of its own.

Tuned as its documents say: few commits, a quiet log, no look at the broker's health between two messages.
"""

import json
import resource
import sys
import time

from quixstreams import Application

BOOTSTRAP, TOPIC, EVENTS = sys.argv[1], sys.argv[2], int(sys.argv[3])
state = {"seen": 0, "cpu": 0.0, "wall": 0.0}


def cpu() -> float:
    """Seconds of CPU of the whole process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def count(_event: object) -> None:
    """Count an event; the clock starts at the first."""
    state["seen"] += 1
    if state["seen"] == 1:
        state["cpu"], state["wall"] = cpu(), time.monotonic()


app = Application(
    broker_address=BOOTSTRAP,
    consumer_group=f"bench.quix.{time.time_ns()}",
    auto_offset_reset="earliest",
    loglevel="ERROR",
    commit_interval=10,
    broker_availability_timeout=0,
)
app.dataframe(app.topic(TOPIC, value_deserializer="json")).update(count)
app.run(count=EVENTS)
print(json.dumps({"events": state["seen"] - 1, "cpu": cpu() - state["cpu"], "wall": time.monotonic() - state["wall"]}))
