"""A Faust agent that counts the events of the same topic, nothing else; runs in a virtual environment of its own.

Tuned as its documents say: the compiled extensions and orjson of the bundle ``fast``, and uvloop.
"""

import asyncio
import json
import os
import resource
import sys
import time

import faust
import uvloop

BOOTSTRAP, TOPIC, EVENTS = sys.argv[1], sys.argv[2], int(sys.argv[3])
app = faust.App(
    f"bench-faust-{time.time_ns()}",
    broker=f"kafka://{BOOTSTRAP}",
    store="memory://",
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
    stream_wait_empty=False,
    web_enabled=False,
)
topic = app.topic(TOPIC, value_serializer="json")
state = {"seen": 0, "cpu": 0.0, "wall": 0.0}


def cpu() -> float:
    """Seconds of CPU of the whole process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@app.agent(topic)
async def count(stream: faust.StreamT) -> None:
    """Count; stop the process after the last."""
    async for _event in stream:
        state["seen"] += 1
        if state["seen"] == 1:
            state["cpu"], state["wall"] = cpu(), time.monotonic()
        if state["seen"] == EVENTS:
            found = {"events": EVENTS - 1, "cpu": cpu() - state["cpu"], "wall": time.monotonic() - state["wall"]}
            print(json.dumps(found), flush=True)
            os._exit(0)


async def main() -> None:
    """Run until the last event."""
    await app.start()
    await asyncio.Event().wait()


uvloop.install()
asyncio.run(main())
