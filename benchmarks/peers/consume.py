"""The physical limit of a consumer: take the topic's messages from the broker, and look at none."""

import json
import resource
import sys
import time

from confluent_kafka import Consumer


def main() -> None:
    """``python -m benchmarks.peers.consume BOOTSTRAP TOPIC EVENTS``: print events, CPU and wall seconds as JSON."""
    bootstrap, topic, events = sys.argv[1], sys.argv[2], int(sys.argv[3])
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"bench.consume.{time.time_ns()}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 20,
            "fetch.queue.backoff.ms": 20,
        }
    )
    consumer.subscribe([topic])
    seen, began, first = 0, 0.0, 0.0
    while seen < events:
        seen += len(consumer.consume(10_000, 0.1))
        if not began and seen:
            began, first, skipped = _cpu(), time.monotonic(), seen
    print(json.dumps({"events": seen - skipped, "cpu": _cpu() - began, "wall": time.monotonic() - first}))
    consumer.close()


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
