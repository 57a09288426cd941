"""What is wrong at a tick, in plain words, and the one incident that gathers it.

Only three things page: a feature's quality that the reference's own windows do not explain, the owner's latency
objective, and labelled loss above the band of the reference windows for several windows in a row.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from detectors import latency, quality
from detectors.verdict import Insufficient
from schemas.ids import content_id
from schemas.lifecycle import Condition, Incident, PerformanceWindow
from schemas.partials import ALL
from schemas.windows import iso
from streams.monitor.close import by_version
from streams.monitor.generations import Generation
from streams.monitor.held import Held
from streams.monitor.labelled import band
from streams.monitor.state import Run

QUIET_TICKS = 2
"""Ticks in a row without a condition that resolve an incident."""

STALE_WINDOWS = 3
"""Windows after the last one above the band for which a run speaks, when those since had too little data."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What holds at a tick, and what cannot be told for want of data (keys): that ends nothing."""

    active: tuple[Condition, ...]
    unknown: frozenset[str]


def find(held: Held, generation: Generation, window: int, serving: str | None, run: Run | None) -> Findings:
    """All conditions at the tick that closes ``window``.

    Args:
        held: partials of the model.
        generation: of the window.
        window: start of the window that closes.
        serving: version that served it, None when unknown.
        run: windows in a row above the band.
    """
    active: list[Condition] = []
    unknown: set[str] = set()
    for found in (*_quality(held, generation, window), *_latency(held, generation, window, serving)):
        if isinstance(found, str):
            unknown.add(found)
        else:
            active.append(found)
    alerts = generation.spec.alerts
    if alerts.labelled_loss and run is not None and run.windows >= alerts.consecutive:
        if _stale(run, window - generation.maturity, generation):
            unknown.add(_loss_key(run))
        else:
            active.append(_labelled_loss(run))
    return Findings(tuple(sorted(active, key=lambda condition: condition.key)), frozenset(unknown))


def advance(run: Run | None, window: PerformanceWindow | None, generation: Generation) -> Run | None:
    """Windows in a row above the band, after another was tested.

    Below the band is better than expected: reported as outside, it still ends the run. Too little data changes nothing,
    but after :data:`STALE_WINDOWS` of it another run begins.
    """
    if window is None or window.verdict == "insufficient":
        return run
    normal = band(generation)
    if normal is None or window.log_loss is None or window.log_loss <= normal.high:
        return None
    before = run if run is not None and run.version == window.version else None
    if before is not None and _stale(before, window.window_start, generation):
        before = None
    losses = generation.reference.window_log_loss if generation.reference else []
    return Run(
        version=window.version,
        since=before.since if before else window.window_start,
        last=window.window_start,
        windows=before.windows + 1 if before else 1,
        value=window.log_loss,
        limit=normal.high,
        normal=sum(losses) / len(losses),
    )


def update(
    incident: Incident | None, quiet: int, found: Findings, *, namespace: str, model: str, at: int
) -> tuple[Incident | None, int]:
    """The incident after a tick, and how many ticks it has been quiet for; it is the same object if nothing changed."""
    if found.active:
        known = {condition.key: condition for condition in incident.conditions} if incident else {}
        for condition in found.active:
            since = min(condition.since, known.get(condition.key, condition).since)
            known[condition.key] = replace(condition, since=since, text=f"{condition.text}, since {iso(since)}")
        conditions = [known[key] for key in sorted(known)]
        if incident is None:
            name = content_id("incident", namespace, model, at)
            return Incident(name, namespace, model, at, at, "open", conditions), 0
        return replace(incident, updated=at, conditions=conditions), 0
    if incident is None or any(condition.key in found.unknown for condition in incident.conditions):
        return incident, quiet
    if quiet + 1 < QUIET_TICKS:
        return incident, quiet + 1
    return replace(incident, updated=at, state="resolved"), 0


def _quality(held: Held, generation: Generation, window: int) -> Iterator[Condition | str]:
    """A condition for each feature's rate that is too high, the key of each that cannot be told."""
    if generation.reference is None:
        return
    features = {
        key.name: sketch
        for key, sketch in held.merged(window, "feature").items()
        if key.segment == ALL and key.generation == generation.number
    }
    for reference in generation.reference.features.get(ALL, []):
        share = "outside_share" if reference.kind == "number" else "unseen_share"
        sketch = features.get(reference.name)
        rates = quality.rates(sketch) if sketch else quality.Rates(0, None, None)
        present = sketch.n - sketch.nulls if sketch else 0
        for metric, rate, n, normal in (
            ("null_rate", rates.null_rate, rates.n, reference.window_nulls),
            (share, rates.outside_rate, present, reference.window_outside),
        ):
            key = f"quality/{metric}/{reference.name}"
            what = f"{_WORDS[metric]} of {reference.name}"
            enough = n >= generation.spec.alerts.min_rows
            found = quality.check_rate(what, rate if enough else None, n, normal, reference.window_n)
            if isinstance(found, Insufficient):
                yield key
            elif found.violated:
                rows = sum(reference.window_n)
                usual = sum(r * k for r, k in zip(normal, reference.window_n, strict=True)) / rows if rows else 0.0
                text = (
                    f"{what} rose from {usual:.2%} (reference) to {found.value:.2%} of {n} rows; "
                    f"the reference's windows explain up to {found.limit:.2%}"
                )
                yield Condition(
                    key, "quality", ALL, ALL, reference.name, metric, found.value, found.limit, window, window, text
                )


def _latency(held: Held, generation: Generation, window: int, serving: str | None) -> Iterator[Condition | str]:
    objective = generation.spec.alerts.latency_p99_ms
    if objective is None or serving is None:
        return
    key = f"latency/p99/{serving}"
    sketch = by_version(held.merged(window, "latency")).get(serving)
    if sketch is None or sketch.n - sketch.nulls < generation.spec.alerts.min_rows:
        yield key
        return
    found = latency.summarise(sketch, generation.width / 1000)
    if found.p99 is not None and found.p50 is not None and found.p99 > objective:
        text = (
            f"99th percentile of the latency of version {serving} is {found.p99:.1f} ms in {found.n} rows, above the "
            f"objective of {objective:.1f} ms (median {found.p50:.1f} ms)"
        )
        yield Condition(key, "latency", serving, ALL, "", "p99", found.p99, objective, window, window, text)


def _stale(run: Run, tested: int, generation: Generation) -> bool:
    """Whether a run is too old, at the window that was tested, to ask for a training again."""
    return tested - run.last > STALE_WINDOWS * generation.width


def _loss_key(run: Run) -> str:
    return f"labelled_loss/{run.version}"


def _labelled_loss(run: Run) -> Condition:
    text = (
        f"log-loss of version {run.version} rose from {run.normal:.4f} (mean of the reference's windows) to "
        f"{run.value:.4f} nats, above their band, which ends at {run.limit:.4f}, in {run.windows} windows in a row"
    )
    return Condition(
        key=_loss_key(run),
        kind="labelled_loss",
        version=run.version,
        segment=ALL,
        name="",
        metric="log_loss",
        value=run.value,
        limit=run.limit,
        since=run.since,
        last=run.last,
        text=text,
    )


_WORDS = {
    "null_rate": "null rate",
    "outside_share": "share of values outside the reference's range",
    "unseen_share": "share of unseen categories",
}
