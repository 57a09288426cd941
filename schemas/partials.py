"""What stage 1 tells stage 2: cumulative sketches per source partition, and the checkpoint that vouches for them.

A row is identified by (namespace, model, generation, view, version, segment, window_start, name, partition) and
carries the number ``seq`` of the checkpoint that wrote it: the larger number wins, so that a repeated or late write
can never count an event twice.
"""

from typing import Literal

from msgspec import Raw, Struct

View = Literal["feature", "score", "prediction", "latency", "matured", "overdue", "tally"]
"""Kinds of sketch.

``feature``: one feature of a (model, segment), rows that are not shadow, ``version`` empty, ``name`` the feature.
``score``, ``latency``: one version, all segments (``segment`` empty). ``prediction``: the same, which class was
predicted (task multiclass).
``matured``: pairs of (prediction, outcome) of one version that count for the one test of the window; ``overdue``:
the pairs that came too late for it. Both are by prediction time, per segment too.
``tally``: ``name`` is a :data:`Tally`, only ``n`` is used; per window of the event time. ``version`` is empty, except
for ``predictions.served``.
"""

Tally = Literal[
    "predictions.counted",  # first of its id, in time
    "predictions.late",  # its window had closed; stored, flagged, joined, not in windows
    "predictions.duplicate",  # seen within the horizon; stored and flagged only
    "predictions.served",  # per version: the part of predictions.counted that no shadow answered
    "predictions.misrouted",  # its id lives in another partition: sent on, and counted there
    "predictions.dead",  # undecodable or invalid; namespace, model empty, window_start 0
    "outcomes.counted",
    "outcomes.duplicate",
    "outcomes.correction",  # another label than the newest one of its id, within the horizon; stored, never joined
    "outcomes.misrouted",
    "outcomes.dead",
    "outcomes.late_label",  # further from its prediction than the label horizon; not paired
]

ALL = ""
"""Segment of all rows, and the version of views that are not per version."""


class SketchRow(Struct, frozen=True, array_like=True, gc=False):
    """One cumulative sketch (see ``detectors.sketch`` for the layout of ``sums`` and ``counts``).

    A checkpoint makes tens of thousands; none can be part of a cycle, so the garbage collector need not look at them.
    """

    generation: int
    view: View
    version: str
    segment: str
    window_start: int
    name: str
    n: int
    nulls: int
    outside: int
    sums: list[int]
    minimum: float | None
    maximum: float | None
    counts: list[int]


class Watermarks(Struct, frozen=True):
    """Event-time progress of one (source partition, model), in milliseconds; ``NEVER`` before the first event."""

    predictions: int
    outcomes: int


class PartialHead(Struct, frozen=True):
    """Of which checkpoint a :class:`PartialMessage` is, and how far it has come.

    Attributes:
        positions: next offset to read of (predictions, outcomes): rows below it are aggregated.
    """

    namespace: str
    model: str
    partition: int
    seq: int
    owner: str
    watermarks: Watermarks
    positions: tuple[int, int]


class PartialMessage(PartialHead, frozen=True, omit_defaults=True):
    """One message on the ``partials`` topic: all that checkpoint ``seq`` of ``partition`` changed for one model.

    Attributes:
        sketches: of all windows that it changed, each as it is now.
        whole: False where the sketches were too many for a message: there are none in it, and whoever needs them reads
            the rows of ``partials``, which were written before it was sent.
    """

    sketches: list[SketchRow]
    whole: bool = True


class Adoption(Struct, frozen=True):
    """An idle partition's watermark raised to the largest recorded one; it counts because it is committed."""

    namespace: str
    model: str
    topic: str
    position: int
    watermark: int


class Redo(Struct, frozen=True):
    """Everything that checkpoint (partition, seq, owner) decided; whoever owns the partition next can repeat it.

    Attributes:
        messages: by :func:`model_key`, each a :class:`PartialMessage` in JSON: the very bytes that become rows of
            ``partials`` and that are sent, so that a repetition needs to read none of them.
    """

    partition: int
    seq: int
    owner: str
    positions: tuple[int, int]
    watermarks: dict[str, Watermarks]
    adoptions: list[Adoption]
    messages: dict[str, Raw]


def model_key(namespace: str, model: str) -> str:
    """``namespace/model``: key of everything that is per model."""
    return f"{namespace}/{model}"
