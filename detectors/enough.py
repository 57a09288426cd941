"""What a reference is too small to judge, said beforehand: a rule that cannot fire looks like peace.

Nothing is decided here: ``quality`` and ``bands`` say :class:`~detectors.verdict.Insufficient` by the same numbers.
"""

from datetime import timedelta

from detectors import bands, quality
from schemas.models import Reference
from schemas.partials import ALL
from schemas.spec import ModelSpec, iso, milliseconds

_QUALITY = "a feature that is missing, out of range or never seen before pages nobody"
_LOSS = "a worse labelled loss pages nobody"
_EVIDENCE = "nothing pages by evidence within the budget of false pages, only hard rules and the band of the loss do"

CALIBRATING = 28
"""Windows of a reference by which evidence can be calibrated: 27, so that ``calibration.MIN_WINDOWS`` are left without
a quarter of them, and one that began in its middle."""

_WEEK = timedelta(days=7)


def to_calibrate(spec: ModelSpec) -> timedelta:
    """How much event time a collected reference takes by which evidence can be calibrated."""
    return max(CALIBRATING * spec.windows.width, spec.reference.collect, _WEEK)


def uncalibrated(spec: ModelSpec, reference: Reference) -> list[str]:
    """That nothing of a model can page by evidence, why, and what to do; nothing where something can."""
    if not reference.watched or any(watch.scales for watch in reference.watched):
        return []
    length = to_calibrate(spec)
    what = "Give it a longer one: driftline reference build"
    if spec.retraining.enabled or reference.end - reference.start >= milliseconds(length):
        pass  # The first training made it, or it is as long as one that is collected ever gets.
    elif length + spec.windows.label_maturity > spec.raw.ttl:
        what += (
            f". It is not made anew by itself: the labels of its first {iso(length)} are mature after "
            f"{iso(length + spec.windows.label_maturity)}, and raw rows are kept for {iso(spec.raw.ttl)} (raw.ttl)"
        )
    else:
        what = (
            f"If it was collected, it is made anew by itself, once, of its first {iso(length)}, when their labels are "
            f"mature and nothing is wrong, while raw rows are kept (raw.ttl, {iso(spec.raw.ttl)}); else give it a "
            f"longer one: driftline reference build"
        )
    return [f"not enough data: {reference.watched[0].insufficient}, so {_EVIDENCE}. {what}"]


def not_judged(spec: ModelSpec, reference: Reference) -> list[str]:
    """What pages nobody for want of data in a model's reference, why, and what to do; nothing when all is judged."""
    found = []
    profiles = reference.features.get(ALL, [])
    if profiles:
        rows = profiles[0].window_n  # the same for all features: nulls are rows
        full = sum(n >= quality.MIN_ROWS for n in rows)
        if full < quality.MIN_WINDOWS:
            found.append(
                f"not enough data: {full} of the reference's {len(rows)} windows have {quality.MIN_ROWS} rows, "
                f"{quality.MIN_WINDOWS} are needed, so {_QUALITY}. {_widen(spec)}"
            )
    if spec.alerts.labelled_loss and len(reference.window_losses) < bands.MIN_WINDOWS:
        found.append(
            f"not enough data: {len(reference.window_losses)} reference windows have labels enough "
            f"(alerts.min_rows, alerts.min_coverage), {bands.MIN_WINDOWS} are needed, so {_LOSS}. Register a longer "
            f"reference with labels (driftline model register), or set a limit of your own: {_limit(spec)}"
        )
    return found


def foreseen(spec: ModelSpec, rows_a_window: float | None = None) -> list[str]:
    """What a reference that is yet to be collected will be too small for.

    Args:
        spec: of a model without a reference.
        rows_a_window: rows of a window so far, on average; None: not known.
    """
    found = []
    trained = spec.retraining.enabled
    collect = spec.retraining.collect if trained else spec.reference.collect
    what = f"{'retraining' if trained else 'reference'}.collect ({iso(collect)})"
    windows = milliseconds(collect) // spec.grid().width
    if not trained and rows_a_window and spec.reference.rows / rows_a_window < windows:
        what, windows = f"reference.rows ({spec.reference.rows:,})", int(spec.reference.rows / rows_a_window)
    if rows_a_window is not None and rows_a_window < quality.MIN_ROWS:
        found.append(
            f"not enough data: about {rows_a_window:.0f} rows a window, {quality.MIN_ROWS} are needed, so {_QUALITY}. "
            f"{_widen(spec)}"
        )
    elif spec.alerts.min_rows < quality.MIN_ROWS:
        found.append(
            f"alerts.min_rows is {spec.alerts.min_rows}, but features are judged in windows of {quality.MIN_ROWS} rows "
            f"or more only: in smaller ones {_QUALITY}"
        )
    needed = [(quality.MIN_WINDOWS, _QUALITY)]
    needed += [(bands.MIN_WINDOWS, _LOSS)] if spec.alerts.labelled_loss else []
    needed += [(CALIBRATING, _EVIDENCE)] if trained else []
    found += [
        f"not enough data: {what} will hold {windows} windows of {iso(spec.windows.width)}, {least} are needed, so "
        f"{consequence}. Lengthen it"
        for least, consequence in needed
        if windows < least
    ]
    span = to_calibrate(spec) + spec.windows.label_maturity
    if not trained and span > spec.raw.ttl:
        found.append(
            f"not enough data: evidence can be calibrated by a reference of {iso(to_calibrate(spec))}, whose labels "
            f"are mature after {iso(span)}, and raw rows are kept for {iso(spec.raw.ttl)} (raw.ttl), so {_EVIDENCE}. "
            "Keep them longer, or register a reference (driftline model register)"
        )
    return found


def _widen(spec: ModelSpec) -> str:
    feature = next((feature.name for feature in spec.features), "NAME")
    return (
        f"Give it wider windows than {iso(spec.windows.width)} (windows.width, under another name if events are "
        f"counted already), or a limit of your own with a small alerts.min_rows: alerts.rules: "
        f"[feature.{feature}.null_rate > 0.2]"
    )


def _limit(spec: ModelSpec) -> str:
    rule = {"binary": "labelled.auc < 0.7", "multiclass": "labelled.accuracy < 0.8", "regression": "labelled.mae > 10"}
    return f"alerts.rules: [{rule[spec.task]}]"
