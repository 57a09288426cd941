"""The events that everybody is measured on: 10 features (7 numbers, 3 strings), and what counting them must give.

All numbers are multiples of 1/1024, so that their sums are exact whoever adds them up, in whatever order.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from schemas.models import ModelRecord
from schemas.spec import Model
from schemas.windows import from_ms, to_ms

NAMESPACE, MODEL = "bench", "credit"
NUMBERS = tuple(f"amount{i}" for i in range(7))
STRINGS = {
    "country": ("DE", "FR", "IT", "ES"),
    "channel": ("web", "app", "branch"),
    "product": ("a", "b", "c", "d", "e"),
}
START = to_ms(datetime(2026, 1, 1, tzinfo=UTC))
HOURS = 24
"""Event time of the whole topic; windows are an hour."""

_CHUNK = 50_000


@dataclass(frozen=True, slots=True)
class Truth:
    """What must be counted: events, and the exact sum of the first numeric feature in units of 1/1024."""

    events: int
    total: int


def record() -> ModelRecord:
    """The model's document."""
    features = [{"name": name, "kind": "number"} for name in NUMBERS]
    features += [{"name": name, "kind": "string"} for name in STRINGS]
    document: dict[str, Any] = {
        "metadata": {"namespace": NAMESPACE, "name": MODEL},
        "spec": {
            "positive_class": "default",
            "features": features,
            "segments": ["country"],
            "windows": {"width": "PT1H", "label_maturity": "PT1H", "allowed_lateness": "PT10M"},
        },
    }
    return ModelRecord.first(Model.model_validate(document))


def messages(events: int, seed: int = 1) -> Iterator[tuple[bytes, bytes]]:
    """(key, JSON of 363 to 430 bytes) of each event, in order of event time with a little jitter."""
    random = np.random.default_rng(seed)
    for first in range(0, events, _CHUNK):
        count = min(_CHUNK, events - first)
        numbers = random.integers(0, 1024 * 1000, (count, len(NUMBERS))) / 1024
        strings = [random.integers(0, len(values), count) for values in STRINGS.values()]
        scores = np.round(random.random(count), 4)
        latencies = np.round(random.gamma(2.0, 2.0, count), 2)
        times = START + (np.arange(first, first + count) * (HOURS * 3_600_000 / events)).astype(np.int64)
        times += random.integers(0, 5_000, count)
        for row in range(count):
            name = f"p{first + row:08d}"
            parts = [f'"{n}":{x:.10g}' for n, x in zip(NUMBERS, numbers[row].tolist(), strict=True)]
            parts += [
                f'"{n}":"{values[codes[row]]}"' for (n, values), codes in zip(STRINGS.items(), strings, strict=True)
            ]
            at = from_ms(int(times[row])).strftime("%Y-%m-%dT%H:%M:%SZ")
            body = (
                f'{{"namespace":"{NAMESPACE}","model":"{MODEL}","version":"7","prediction_id":"{name}",'
                f'"event_time":"{at}","features":{{{",".join(parts)}}},"prediction":"default",'
                f'"scores":{{"default":{scores[row]}}},"latency_ms":{latencies[row]},'
                f'"segments":{{"country":"{STRINGS["country"][strings[0][row]]}"}}}}'
            )
            yield f"{NAMESPACE}/{MODEL}/{name}".encode(), body.encode()


def truth(events: int, seed: int = 1) -> Truth:
    """What :func:`messages` adds up to; the same draws, without the text."""
    random = np.random.default_rng(seed)
    total = 0
    for first in range(0, events, _CHUNK):
        count = min(_CHUNK, events - first)
        total += int(random.integers(0, 1024 * 1000, (count, len(NUMBERS)))[:, 0].sum())
        for values in STRINGS.values():
            random.integers(0, len(values), count)
        random.random(count)
        random.gamma(2.0, 2.0, count)
        random.integers(0, 5_000, count)
    return Truth(events, total)
