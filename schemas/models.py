"""What travels on the compacted ``models`` and ``teams`` topics: a model's generations with references; teams."""

from typing import Any, Literal

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from schemas.ids import content_id
from schemas.lifecycle import AuditRow
from schemas.partials import ALL
from schemas.spec import FeatureKind, Model, ModelSpec, Team, TeamSpec
from schemas.tasks import Loss

FEATURE_STREAM = "feature."
"""What the name of a feature's stream begins with."""


class FeatureReference(Struct, frozen=True):
    """How one feature was distributed in the reference rows (built by ``detectors.reference``).

    Attributes:
        name: the feature.
        kind: number, string or boolean.
        n: rows.
        nulls: rows without a value.
        edges: interior edges of a number's bins; [] for the other kinds.
        categories: known values of a string (most frequent first) or boolean; [] for numbers.
        low: smallest value of a number.
        high: largest value of a number.
        mean: mean of a number.
        sd: sample standard deviation of a number; 0 if it is constant.
        counts: rows per bin or category, in the layout of ``detectors.sketch``.
        window_n: rows of each reference window, in time order.
        window_nulls: null rate of each reference window.
        window_outside: share of each window's values that the *other* windows did not show: outside their
            plausible range (``detectors.quality``), or of no category that they have. Measured against all windows
            it would be zero by construction.
    """

    name: str
    kind: FeatureKind
    n: int
    nulls: int
    edges: list[float]
    categories: list[str]
    low: float | None
    high: float | None
    mean: float | None
    sd: float | None
    counts: list[int]
    window_n: list[int]
    window_nulls: list[float]
    window_outside: list[float]


class Scale(Struct, frozen=True):
    """How one distance of a window becomes scores, see ``detectors.calibration.Scale``.

    Attributes:
        distance: ``ks``, ``wasserstein``, ``total_variation``, ``largest_share`` or ``change``.
        effect: minimum effect, in the distance's unit.
        lows: where each score begins, above the effect.
        width: how far above that a score is 1.
        means: bound on the mean of each score in the reference.
    """

    distance: str
    effect: float
    lows: list[float]
    width: float
    means: list[float]


class Slots(Struct, frozen=True):
    """What is usual by hour and weekday (``detectors.slots``), where that is worthwhile.

    Attributes:
        timezone: IANA name of the zone that hours and weekdays are told in.
        holidays: ISO dates that count as Sundays.
        shares: expected share of each bin, rounded to 1e-6: 168 rows from Monday 0:00 on.
        fixed: hours are told by a clock that never changes, since windows are wider than an hour.
    """

    timezone: str
    holidays: list[str]
    shares: list[list[float]]
    fixed: bool = False


class Watch(Struct, frozen=True):
    """One quantity that may page, as calibrated on the reference's own held-out windows (``detectors.watch`` reads it).

    Attributes:
        stream: ``loss``, ``estimate``, ``score``, ``prediction``, ``latency`` or ``feature.NAME``.
        segment: ``tag=value`` whose rows alone it is of (``loss`` and features); empty: all rows.
        kind: what a window gives. ``change``: one number, which is held against ``usual``: the mean loss, the error
            rate that CBPE expects, the logarithm of the 99% quantile of latency in ms. ``number`` and ``categories``:
            rows with a value per bin, in the bins of the reference's own profile of it.
        usual: of a change, what is expected.
        positions: of a number, where each bin lies.
        sd: of a number, the unit of its Wasserstein distance; 0: a constant, which has none.
        shares: expected share of each bin, rounded to 1e-6; used where there are no slots.
        slots: expected shares by hour and weekday.
        scales: one per distance; empty: it cannot be calibrated, never pages, and ``insufficient`` says why.
        windows: held-out windows that it was calibrated on.
        blocks: independent blocks of them: days; weeks where there are slots.
        rows: with a value, of such a window on average.
        effective_rows: independent rows that these are worth.
        autocorrelation: lag-1, of its score between neighbouring windows, in [-1, 1].
        reached: evidence that the reference's own windows reached, each quarter judged by the others.
        habit: evidence that two of its quarters reached which do not touch; None: not known, and ``reached`` is taken.
        variable: windows differ so much by nature that no change can be told: reported, never paged.
        insufficient: what the reference lacks; empty where ``scales`` are there.
    """

    stream: str
    kind: Literal["change", "number", "categories"]
    usual: float = 0.0
    positions: list[float] = []
    sd: float = 0.0
    shares: list[float] = []
    slots: Slots | None = None
    scales: list[Scale] = []
    windows: int = 0
    blocks: int = 0
    rows: float = 0.0
    effective_rows: float = 0.0
    autocorrelation: float = 0.0
    reached: float = 0.0
    habit: float | None = None
    variable: bool = False
    insufficient: str = ""
    segment: str = ALL


class Calibrated(Struct, frozen=True):
    """What a binary model's scores mean, see ``detectors.estimate.Calibrated``.

    Attributes:
        starts: first score bin of each group, increasing from 0.
        positives: share of positives of each group, not decreasing.
    """

    starts: list[int]
    positives: list[float]


class Reference(Struct, frozen=True):
    """What normal was: per segment and feature, the scores, and the labelled loss of each reference window.

    Attributes:
        score_counts: rows per bin of the watched score: ``SCORE_BINS`` of a probability, or those of ``score_edges``.
        score_edges: interior edges of a regression's predictions; [] for the other tasks.
        class_counts: of a multiclass model, rows per predicted class, in the order of the spec's ``classes``.
        loss: what ``window_losses`` are.
        window_losses: mean losses, out of sample, one per reference window with enough labels for a test: the
            leave-one-window-out band of the labelled loss is made of them.
        window_rows: labelled rows of each of these windows.
        watched: every quantity that may page, calibrated, then those of segments, the largest segment first; nothing in
            a reference of an older driftline.
        calibrated: of a binary model with labels enough, what its scores mean: the label-free estimate needs it.
        importances: feature -> how much the model's answers depend on it, >= 0 (``retrain.fit.importances``, of this
            reference's training or of an earlier one's); empty where no model was asked: all are alike then, unless
            the spec says it.
    """

    start: int
    end: int
    rows: int
    features: dict[str, list[FeatureReference]]
    score_counts: list[int]
    score_edges: list[float]
    class_counts: list[int]
    loss: Loss
    window_losses: list[float]
    window_rows: list[int]
    watched: list[Watch] = []
    calibrated: Calibrated | None = None
    importances: dict[str, float] = {}

    def fitting(self, spec: ModelSpec) -> "Reference":
        """What of it still says something about a changed spec: features of the same name and kind, declared tags."""
        kinds = {feature.name: feature.kind for feature in spec.features}
        kept = {feature.name for feature in self.features.get(ALL, []) if kinds.get(feature.name) == feature.kind}

        def declared(segment: str) -> bool:
            return segment == ALL or segment.split("=", 1)[0] in spec.segments

        def known(stream: str) -> bool:
            return not stream.startswith(FEATURE_STREAM) or stream.removeprefix(FEATURE_STREAM) in kept

        return replace(
            self,
            watched=[watch for watch in self.watched if known(watch.stream) and declared(watch.segment)],
            features={
                segment: [feature for feature in features if kinds.get(feature.name) == feature.kind]
                for segment, features in self.features.items()
                if declared(segment)
            },
            importances={name: importance for name, importance in self.importances.items() if name in kept},
        )


class ModelRecord(Struct, frozen=True):
    """Value of the compacted ``models`` topic: one generation of a model's spec and reference.

    It is valid for windows that start at or after ``effective_from``. Key: ``namespace/model/generation/content``, so
    that compaction keeps every generation, and two writers that took the same number do not overwrite each other
    (``bus.generations`` says who of them is heard).

    Attributes:
        cause_id: of the registration, the answer or the rollout step that made it; empty for an owner's document.
    """

    namespace: str
    model: str
    generation: int
    effective_from: int
    spec: dict[str, Any]
    reference: Reference | None
    cause_id: str

    @classmethod
    def first(cls, model: Model) -> "ModelRecord":
        """What an owner's document becomes: generation 0, valid from the epoch on, no reference yet."""
        return cls(
            namespace=model.metadata.namespace,
            model=model.metadata.name,
            generation=0,
            effective_from=0,
            spec=model.spec.model_dump(mode="json"),
            reference=None,
            cause_id="",
        )

    def next(
        self, *, spec: ModelSpec | None = None, reference: Reference | None, effective_from: int, cause_id: str
    ) -> "ModelRecord":
        """The generation after this one; it never takes effect before it.

        Args:
            spec: None keeps this one's.
            reference: what of it fits the spec is kept. One that asked no model has the importances of this one's.
            effective_from: start of the first window that it is meant for.
            cause_id: why there is a new generation.
        """
        new = spec or self.parsed()
        fitting = reference and reference.fitting(new)
        if fitting is not None and not fitting.importances and self.reference is not None:
            fitting = replace(fitting, importances=self.reference.fitting(new).importances)
        return ModelRecord(
            namespace=self.namespace,
            model=self.model,
            generation=self.generation + 1,
            effective_from=max(effective_from, self.effective_from),
            spec=new.model_dump(mode="json"),
            reference=fitting,
            cause_id=cause_id,
        )

    def key(self) -> bytes:
        """Kafka key of the record: of its place, and of what it says."""
        return f"{self.namespace}/{self.model}/{self.generation:06d}/{content_id('record', self)}".encode()

    def audit(self) -> AuditRow:
        """What the audit log says of it: all but the numbers of the reference."""
        body = to_builtins(self)
        if self.reference is not None:
            body["reference"] = {name: getattr(self.reference, name) for name in ("start", "end", "rows")}
        return AuditRow(
            id=content_id("generation", self.namespace, self.model, self.generation),
            kind="generation",
            cause_id=self.cause_id,
            namespace=self.namespace,
            model=self.model,
            version="",
            at=self.effective_from,
            body=body,
        )

    def parsed(self) -> ModelSpec:
        """The spec, checked.

        Raises:
            pydantic.ValidationError: with path and value of what is wrong.
        """
        return ModelSpec.model_validate(self.spec)


class TeamRecord(Struct, frozen=True):
    """Value of the compacted ``teams`` topic: the newest document of a team. Key: ``namespace/team``."""

    namespace: str
    team: str
    spec: dict[str, Any]

    @classmethod
    def of(cls, team: Team) -> "TeamRecord":
        """What an owner's document becomes."""
        return cls(team.metadata.namespace, team.metadata.name, team.spec.model_dump(mode="json"))

    def key(self) -> bytes:
        """Kafka key of the record."""
        return f"{self.namespace}/{self.team}".encode()

    def parsed(self) -> TeamSpec:
        """The spec, checked.

        Raises:
            pydantic.ValidationError: with path and value of what is wrong.
        """
        return TeamSpec.model_validate(self.spec)
