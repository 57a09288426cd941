"""What nobody can beat with a consumer and a typed decoder: consume the topic and decode each event, nothing else."""

import gc
import json
import resource
import sys
import time

import msgspec
from confluent_kafka import Consumer

from schemas.events import Prediction


def main() -> None:
    """``python -m benchmarks.peers.decode BOOTSTRAP TOPIC EVENTS``: print events, CPU and wall seconds as JSON."""
    bootstrap, topic, events = sys.argv[1], sys.argv[2], int(sys.argv[3])
    gc.disable()  # nothing here is ever part of a cycle; it is faster so
    decoder = msgspec.json.Decoder(Prediction)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"bench.decode.{time.time_ns()}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 20,
            "fetch.queue.backoff.ms": 20,
        }
    )
    consumer.subscribe([topic])
    seen, began, first = 0, 0.0, 0.0
    while seen < events:
        for message in consumer.consume(10_000, 0.1):
            try:
                decoder.decode(message.value() or b"")
            except msgspec.ValidationError:
                continue  # a progress record at the end of a partition
            seen += 1
        if not began and seen:
            began, first, skipped = _cpu(), time.monotonic(), seen
    print(json.dumps({"events": seen - skipped, "cpu": _cpu() - began, "wall": time.monotonic() - first}))
    consumer.close()


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
