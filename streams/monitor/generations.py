"""The generations of one model's spec and reference, and which of them a window belongs to."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from detectors import budget, enough
from schemas.ids import content_id
from schemas.models import FeatureReference, ModelRecord, Reference, Watch
from schemas.partials import ALL
from schemas.spec import FeatureKind, ModelSpec, milliseconds
from schemas.tasks import USUAL_LOSS, Loss

_MONTH = budget.MONTH_DAYS * 86_400_000


@dataclass(frozen=True, slots=True)
class Generation:
    """One spec with its reference."""

    number: int
    effective_from: int
    spec: ModelSpec
    reference: Reference | None
    _features: dict[tuple[str, str], FeatureReference] = field(init=False, repr=False, compare=False)
    _kinds: dict[str, FeatureKind] = field(init=False, repr=False, compare=False)
    watches: tuple[tuple[str, Watch], ...] = field(init=False, repr=False, compare=False)
    """(name of the calibration, the calibration) of every stream: equal ones of two generations have one name."""
    calibrated: str = field(init=False, repr=False, compare=False)
    """Names what the reference says that scores mean (``schemas.models.Calibrated``); empty: it does not say."""

    def __post_init__(self) -> None:
        known = self.reference.features.items() if self.reference else ()
        features = {(segment, feature.name): feature for segment, found in known for feature in found}
        object.__setattr__(self, "_features", features)
        object.__setattr__(self, "_kinds", {feature.name: feature.kind for feature in self.spec.features})
        watched = self.reference.watched if self.reference else []
        object.__setattr__(self, "watches", tuple((content_id("watch", watch), watch) for watch in watched))
        scores = self.reference.calibrated if self.reference else None
        object.__setattr__(self, "calibrated", content_id("calibrated", scores) if scores is not None else "")

    @classmethod
    def of(cls, record: ModelRecord) -> "Generation":
        """Check a record of the ``models`` topic.

        Raises:
            pydantic.ValidationError: the spec is not valid.
        """
        return cls(record.generation, record.effective_from, record.parsed(), record.reference)

    @property
    def width(self) -> int:
        """Width of the windows in milliseconds."""
        return milliseconds(self.spec.windows.width)

    @property
    def maturity(self) -> int:
        """How long after its end a window is tested, in milliseconds."""
        return milliseconds(self.spec.windows.label_maturity)

    @property
    def loss(self) -> Loss:
        """Labelled loss that is tested: the reference's, the task's usual one while there is none."""
        return self.reference.loss if self.reference is not None else USUAL_LOSS[self.spec.task]

    @property
    def importances(self) -> dict[str, float]:
        """Feature -> how much the model's answers depend on it: what the owner says, else what a training measured.

        Empty where nobody has said.
        """
        said = {one.name: one.importance for one in self.spec.features if one.importance is not None}
        if said:
            return said
        return self.reference.importances if self.reference is not None else {}

    @property
    def not_judged(self) -> list[str]:
        """What pages nobody for want of data in the reference; nothing while there is none."""
        return [] if self.reference is None else enough.not_judged(self.spec, self.reference)

    def kind(self, name: str) -> FeatureKind:
        """Kind of a feature; of one that the spec does not name, that of anything."""
        return self._kinds.get(name, "string")

    def feature(self, segment: str, name: str) -> FeatureReference | None:
        """How a feature was distributed in a segment; None when unknown, or when it was counted in other bins.

        Windows of every segment are counted in the bins of all rows, so only a reference in those bins compares.
        """
        found, whole = self._features.get((segment, name)), self._features.get((ALL, name))
        if found is None or whole is None or found is whole:
            return found
        return found if (found.edges, found.categories) == (whole.edges, whole.categories) else None


@dataclass(frozen=True, slots=True)
class Generations:
    """All generations of a model, oldest first; never empty.

    Attributes:
        pages: false pages in 30 days that the model may have now: its part of its team's budget.
    """

    ordered: tuple[Generation, ...]
    pages: float = 1.0

    @classmethod
    def of(cls, records: Iterable[ModelRecord]) -> "Generations":
        """Order the records of a model by generation.

        Raises:
            ValueError: there are none.
            pydantic.ValidationError: a spec is not valid.
        """
        ordered = tuple(sorted((Generation.of(record) for record in records), key=lambda g: g.number))
        if not ordered:
            raise ValueError("a model needs at least one generation")
        return cls(ordered)

    def at(self, start: int) -> Generation:
        """The generation of the window that starts at ``start``: the newest in effect, the oldest when none is."""
        return next((g for g in reversed(self.ordered) if g.effective_from <= start), self.ordered[0])

    def rebaselined(self, start: int) -> int:
        """How often other rows became the reference of a model that was watched by evidence, in the month before.

        The month ends with the beginning of the window from ``start``. A generation that another one replaced before
        it was in force does not count, nor does a reference that the model collected once more: it begins with the same
        rows.
        """
        followed = zip(self.ordered, self.ordered[1:], strict=False)
        in_force = [one for one, after in followed if one.effective_from < after.effective_from]
        return sum(
            start - _MONTH < new.effective_from <= start and _rebaselined(old, new)
            for old, new in pairwise([*in_force, self.ordered[-1]])
        )

    def floor(self, start: int) -> int:
        """Start of the oldest window that labels may still reach once the window from ``start`` has closed."""
        generation = self.at(start)
        return start - generation.maturity - milliseconds(generation.spec.windows.label_horizon)


def _rebaselined(old: Generation, new: Generation) -> bool:
    if old.reference is None or new.reference is None or old.reference.start == new.reference.start:
        return False
    return any(watched.scales for _, watched in old.watches)
