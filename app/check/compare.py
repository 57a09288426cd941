"""What is different between two samples: every column, in all rows and in each segment, and the labelled loss."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from app.check import words
from app.check.blocks import Blocks
from app.check.inputs import Column, Inputs, Role, Sample
from detectors import tasks, two_samples
from detectors import together as jointly
from detectors.bands import Band, leave_one_out_band
from detectors.column import sketch_codes, sketch_numbers
from detectors.distances import Distances, bin_positions, compare
from detectors.effects import loss_effect
from detectors.quality import plausible_range
from detectors.reference import BOOLEANS, MAX_CATEGORIES
from detectors.sketch import Floats, Ints, Sketch
from detectors.two_samples import CHANCE, Baseline, Judgement
from detectors.verdict import Insufficient
from retrain.scored import answers
from schemas.models import FeatureReference
from schemas.partials import ALL
from schemas.spec import ModelSpec

Verdict = Literal["drift", "as before", "not enough data"]
Quantity = Literal["distribution", "missing", "filled", "outside", "unseen", "loss", "together"]
Mask = NDArray[np.bool_] | None


@dataclass(frozen=True, slots=True)
class Finding:
    """One quantity of one column in one segment.

    Attributes:
        segment: ``tag=value``; empty: all rows.
        effect: what was measured, in ``unit``; None for want of data, and so are the next four.
        limit: what it had to exceed; the largest of what follows it, where that is known.
        minimum: effect that matters.
        chance: what chance adds to it at most.
        usual: what the reference's own blocks explain.
        variable: the reference's own blocks differ by more than what would matter, so that little can be seen.
        text: what moved, from what to what, and why that is called so.
        distances: psi, jensenshannon, wasserstein (in sd), chisquare_p_value of a distribution; they decide nothing.
    """

    column: str
    role: Role
    segment: str
    quantity: Quantity
    verdict: Verdict
    unit: str
    effect: float | None
    limit: float | None
    minimum: float | None
    chance: float | None
    usual: float | None
    variable: bool
    text: str
    distances: dict[str, float | None] = field(default_factory=dict)

    @property
    def excess(self) -> float:
        """How far beyond its limit, as a ratio; 0 where nothing could be measured."""
        return self.effect / self.limit if self.effect is not None and self.limit else 0.0


@dataclass(frozen=True, slots=True)
class Compared:
    """Everything that was found.

    Attributes:
        findings: drift first, furthest beyond its limit first; then the others in the order of columns.
        sketched: of all rows, column -> what it was, and what it is.
        performance: metric -> (before, after); empty without labels on both sides.
        notes: what could not be compared.
    """

    findings: tuple[Finding, ...]
    sketched: Mapping[str, tuple[FeatureReference, Sketch]]
    performance: Mapping[str, tuple[float | None, float | None]]
    notes: tuple[str, ...]

    def of(self, verdict: Verdict) -> list[Finding]:
        """Findings with a verdict."""
        return [finding for finding in self.findings if finding.verdict == verdict]


def compared(inputs: Inputs, blocks: Blocks, *, min_shift: float, together: bool = False) -> Compared:
    """Compare both samples.

    Args:
        inputs: columns of both.
        blocks: of the reference's rows.
        min_shift: smallest change of a distribution that matters, as a share of rows in (0, 1).
        together: whether to ask too if numbers still go together as they did.
    """
    before, after = inputs.reference, inputs.current
    shared = [segment for segment in before.masks if segment in after.masks]
    parts: dict[str, tuple[Mask, Mask]] = {ALL: (None, None)}
    parts |= {segment: (before.masks[segment], after.masks[segment]) for segment in shared}
    alpha = CHANCE / (len(inputs.columns) * len(parts) + 1 + together)
    sketched: dict[str, tuple[FeatureReference, Sketch]] = {}

    def one(column: Column) -> list[Finding]:
        whole: FeatureReference | None = None
        found: list[Finding] = []
        for segment, (mask, now) in parts.items():
            baseline = _baseline(column, before, blocks, mask, whole)
            sketch = sketch_of(baseline.profile, _taken(after.columns[column.name], now))
            if whole is None:
                whole = baseline.profile
                sketched[column.name] = whole, sketch
            found += _findings(column, segment, baseline, whole, sketch, alpha=alpha, minimum=min_shift)
        return found

    # numpy and Arrow let go of the interpreter's lock where the time goes.
    with ThreadPoolExecutor() as pool:
        findings = [finding for found in pool.map(one, inputs.columns) for finding in found]
    performance: dict[str, tuple[float | None, float | None]] = {}
    if inputs.spec is not None and before.label is not None and after.label is not None:
        loss, performance = _loss(inputs.spec, before, after, blocks, alpha)
        findings.append(loss)
    if together:
        findings.append(_together(inputs, blocks, alpha))
    gone = [segment for segment in before.masks if segment not in after.masks]
    new = [segment for segment in after.masks if segment not in before.masks]
    notes = [f"segments of the reference without rows now: {', '.join(gone)}"] if gone else []
    notes += [f"segments that the reference has no rows of, and so not compared: {', '.join(new)}"] if new else []
    findings.sort(
        key=lambda finding: (finding.verdict != "drift", -finding.excess if finding.verdict == "drift" else 0)
    )
    order = [column.name for column in inputs.columns]
    return Compared(tuple(findings), {name: sketched[name] for name in order}, performance, tuple(notes))


def sketch_of(profile: FeatureReference, values: pa.Array) -> Sketch:
    """The sketch of a column in the bins of a reference."""
    if profile.kind == "number":
        low, high = plausible_range(profile.low, profile.high)
        return sketch_numbers(values.to_numpy(zero_copy_only=False), profile.edges, low=low, high=high)
    return sketch_codes(codes(values, profile.categories), len(profile.categories))


def codes(values: pa.Array, categories: Sequence[str]) -> Ints:
    """Codes of a column of texts or booleans (see :func:`detectors.sketch.encode`)."""
    texts = values.cast(pa.string())
    found = pc.fill_null(
        pc.index_in(texts, value_set=pa.array(categories, pa.string()), skip_nulls=True), len(categories)
    )
    return np.where(texts.is_valid().to_numpy(zero_copy_only=False), found.to_numpy(zero_copy_only=False), -1)


def _baseline(column: Column, before: Sample, blocks: Blocks, mask: Mask, whole: FeatureReference | None) -> Baseline:
    """What a column was; a segment is counted in the bins of all rows."""
    values = _taken(before.columns[column.name], mask)
    ids = blocks.ids if mask is None else blocks.ids[mask]
    if column.kind == "number":
        edges = None if whole is None else whole.edges
        return two_samples.number(column.name, values.to_numpy(zero_copy_only=False), ids, edges=edges)
    known = BOOLEANS if column.kind == "boolean" else _frequent(values) if whole is None else whole.categories
    return two_samples.categories(column.name, codes(values, known), ids, known, kind=column.kind)


def _frequent(values: pa.Array) -> list[str]:
    """The most frequent texts, ties by name."""
    counted = pc.value_counts(values.drop_null())
    pairs = zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
    return [name for name, _ in sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:MAX_CATEGORIES]]


def _taken(values: pa.Array, mask: Mask) -> pa.Array:
    return values if mask is None else values.filter(pa.array(mask))


def _findings(
    column: Column,
    segment: str,
    baseline: Baseline,
    whole: FeatureReference,
    current: Sketch,
    *,
    alpha: float,
    minimum: float,
) -> Iterator[Finding]:
    profile = baseline.profile

    def place(quantity: Quantity) -> Place:
        return Place(column, segment, quantity, "share of rows")

    shifted = two_samples.shift(baseline, current, alpha=alpha, minimum=minimum)
    said = words.shift(column.name, profile, current, shifted)
    yield _finding(place("distribution"), shifted, said, _distances(profile, whole, current))
    if column.role == "label":
        return  # labels come late: that some are missing says nothing
    for quantity, found in two_samples.rates(baseline, current).items():
        judged: Judgement | Insufficient
        if isinstance(found, Insufficient):
            judged, said = found, f"{column.name}: {found.reason}"
        else:
            judged = two_samples.Judgement(found.value, 0.0, 0.0, None, found.limit)
            said = words.rate(column.name, quantity, found, profile, current)
        yield _finding(place(quantity), judged, said)


class Place(NamedTuple):
    """Where a finding is."""

    column: Column
    segment: str
    quantity: Quantity
    unit: str


def _finding(
    place: Place, found: Judgement | Insufficient, text: str, distances: Mapping[str, float | None] | None = None
) -> Finding:
    quantity, unit = place.quantity, place.unit
    named = place.column.name, place.column.role, place.segment, quantity
    if isinstance(found, Insufficient):
        return Finding(*named, "not enough data", unit, None, None, None, None, None, False, text)
    rule = quantity not in ("distribution", "loss", "together")  # of a hard rule only the limit is known
    return Finding(
        *named,
        verdict=found.word,
        unit=unit,
        effect=found.effect,
        limit=found.limit,
        minimum=None if rule else found.minimum,
        chance=None if rule else found.chance,
        usual=found.usual,
        variable=found.variable,
        text=text,
        distances=dict(distances or {}),
    )


def _distances(profile: FeatureReference, whole: FeatureReference, current: Sketch) -> dict[str, float | None]:
    positions = None
    if profile.kind == "number" and whole.low is not None and whole.high is not None:
        positions = bin_positions(whole.edges, whole.low, whole.high)
    found = compare(profile.counts, current.counts, positions=positions, sd=profile.sd)
    if not isinstance(found, Distances):
        return {}
    return {
        "psi": found.psi,
        "jensenshannon": found.jensen_shannon,
        "wasserstein": found.wasserstein,
        "chisquare_p_value": found.chi_square.p_value,
    }


def _together(inputs: Inputs, blocks: Blocks, alpha: float) -> Finding:
    """Whether the features that are numbers or booleans still go together."""
    names = [column.name for column in inputs.columns if column.role == "feature" and column.kind != "string"]
    place = Place(Column("features together", "number", "feature"), ALL, "together", "of the usual error")
    if len(names) < 2:
        missing = Insufficient(f"{len(names)} features are numbers or booleans, two are needed")
        return _finding(place, missing, words.together(missing))
    was, now = (
        np.column_stack([_floats(sample.columns[name]) for name in names])
        for sample in (inputs.reference, inputs.current)
    )
    found = jointly.compare(was, blocks.ids, now, alpha=alpha)
    return _finding(place, found, words.together(found))


def _floats(values: pa.Array) -> Floats:
    column: Floats = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return column


def _loss(
    spec: ModelSpec, before: Sample, after: Sample, blocks: Blocks, alpha: float
) -> tuple[Finding, dict[str, tuple[float | None, float | None]]]:
    """Whether the labelled loss rose, and the metrics of the task before and after."""
    was, now = (answers(spec, sample.prediction, sample.scores, sample.label) for sample in (before, after))
    column = Column("labelled loss", "number", "label")
    old, new = tasks.metrics(spec, was.pairs), tasks.metrics(spec, now.pairs)
    metrics = {name: (old[name], new[name]) for name in old}
    if was.loss != now.loss:
        reason = (
            "one file has probabilities in every labelled row and the other has not: the losses are not of one kind"
        )
        return _finding(Place(column, ALL, "loss", ""), Insufficient(reason), reason), metrics
    known = ~np.isnan(was.losses)
    losses, ids = was.losses[known], blocks.ids[known]
    band = leave_one_out_band(_means(losses, ids))
    minimum = loss_effect(float(losses.mean()), was.loss) if len(losses) else 0.0
    found = two_samples.worse(
        losses,
        ids,
        now.losses[~np.isnan(now.losses)],
        alpha=alpha,
        minimum=minimum,
        high=band.high if isinstance(band, Band) else None,
    )
    unit, said = words.loss(spec, was.loss, losses, found)
    return _finding(Place(column, ALL, "loss", unit), found, said), metrics


def _means(losses: Floats, ids: Ints) -> Floats:
    rows = np.bincount(ids)
    enough = rows >= two_samples.MIN_ROWS
    means: Floats = np.bincount(ids, weights=losses)[enough] / rows[enough]
    return means
