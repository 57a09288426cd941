"""The hot path of stage 1 in C: a conservative decoder of events into columns, a table of ids, and counting by group.

What the decoder says, the careful decoder would have said too. A row of which it is not sure in every respect has model
-1, and belongs to ``streams.aggregate.accept``, which alone decides verdicts and refusals. The package is optional:
without a C compiler importing it fails, everything goes the careful way, and numpy counts.
"""

from typing import NamedTuple

from driftline_native._native import (
    MAX_EVENT_BYTES,
    Decoder,
    Ids,
    Outcomes,
    Predictions,
    categorical,
    checksums,
    mark,
    numeric,
    prefixed,
)

__all__ = [
    "MAX_EVENT_BYTES",
    "Decoder",
    "Ids",
    "Outcomes",
    "Plan",
    "Predictions",
    "categorical",
    "checksums",
    "mark",
    "numeric",
    "prefixed",
]


class Plan(NamedTuple):
    """What the generations of one model declare; a plain tuple does as well.

    A feature that is named twice (its kind changed between generations) sends every event that has a value of it to
    the careful decoder.

    Attributes:
        namespace: of the model.
        model: its name.
        numbers: number features.
        categories: (name, ``string`` or ``boolean``, known categories in the order of their codes) of the others.
        tags: segment tags, in the spec's order.
        task: ``binary``, ``multiclass`` or ``regression``.
        classes: binary: the positive class alone; multiclass: all; regression: none.
    """

    namespace: str
    model: str
    numbers: tuple[str, ...]
    categories: tuple[tuple[str, str, tuple[str, ...]], ...]
    tags: tuple[str, ...]
    task: str
    classes: tuple[str, ...]
