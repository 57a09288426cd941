"""What is sent: predictions and outcomes, with duplicates, late, misrouted, undecodable and future ones."""

import random
from typing import Any

from .world import END, HORIZON, MODELS, PARTITIONS, SKEW, Event

Planned = tuple[int, int, int, int, Event]
"""(timestamp, order, side, partition, event)."""


def new_records(rng: random.Random) -> list[Planned]:
    """What producers send, in order, with every fault that they have."""
    planned: list[Planned] = []

    def send(ts: int, side: int, partition: int, *event: Any, bad: bool = False) -> None:
        model, id_, time, value = event
        planned.append((ts, len(planned), side, partition, (model, id_, max(0, time), value, bad)))

    now, count = 0, rng.randint(40, 70)
    silent = {p: range(start := rng.randint(0, 40), start + rng.randint(10, 40)) for p in range(PARTITIONS)}
    silent = {p: span for p, span in silent.items() if rng.random() < 0.7}
    for number in range(count):
        now += rng.choice((0, 0, 1, 1, 2))
        model, id_, value = rng.choice(MODELS), number * 7919 % 10007, rng.randint(0, 9)
        partition = home = id_ % PARTITIONS
        if rng.random() < 0.05:
            partition = rng.randrange(PARTITIONS)  # a producer with another partitioner
        time, kind = now - rng.choice((0, 0, 1, 2, 3, 6, 14)), rng.random()
        if kind < 0.07 and now not in silent.get(partition, ()):
            ahead = now + rng.choice((SKEW + 5, 900)) if kind < 0.03 else time  # by its clock
            send(now, 0, partition, model, id_, ahead, value, bad=kind >= 0.03)
            continue
        said = now
        if now in silent.get(partition, ()):
            said = silent[partition].stop + rng.randint(0, 3)  # what was held back comes when it has gone idle
        elif rng.random() < 0.6:
            delay = rng.choice((-3, 0, 1, 4, 12, 30))
            if delay < 0 and rng.random() < 0.7:
                said = now + rng.randint(1, 5)  # the outcome overtakes its prediction
            told, known = now + max(delay, 0), now + delay - rng.choice((0, 0, 3, 12))
            send(told, 1, home, model, id_, known, rng.randint(0, 1))
            if rng.random() < 0.15:
                send(told + rng.randint(0, 20), 1, home, model, id_, known, 0)
        elif rng.random() < 0.1:
            send(now + HORIZON + 5, 0, home, model, id_, time + HORIZON, value)  # an id used again
        send(said, 0, partition, model, id_, time, value)
        while rng.random() < 0.12:
            send(said + rng.choice((0, 1, 5, 15, 25)), 0, home, model, id_, time, value)  # a duplicate
    for model in MODELS:  # what closes all windows; the other partitions go idle
        for p in rng.sample(range(PARTITIONS), rng.randint(1, PARTITIONS)):
            for side in range(2):
                send(END, side, p, model, 60_000 + p, END, 0)
    return sorted(planned)
