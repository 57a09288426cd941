"""What an owner promises a team: at most so many false pages a month, and each stream's part of it.

The threshold of a model is A = windows a month / pages a month; that of a stream with weight w is A / w. If all
weights of a model sum to at most 1, it has at most the promised pages in expectation (:mod:`detectors.evidence`).
Halving a weight costs ln 2 = 0.69 nats, which one window of a clear change earns several times over: nearly nothing.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

MONTH_DAYS = 30

SHARES: Mapping[str, float] = {
    "loss": 0.45,
    "estimate": 0.10,
    "score": 0.10,
    "features": 0.15,
    "latency": 0.05,
    "quality": 0.05,
    "reserve": 0.10,
}
"""Which part of a model's budget what may page has: labelled loss, label-free estimate, distribution of scores and
predictions, features (by importance), latency, hard rules; *reserve* is for what appears at run time: segments, and
versions live beside the one that serves most. Harm that labels prove comes first."""

CALIBRATION_LIMIT = 0.02
"""Above this calibration error on matured labels the label-free estimate loses its weight to the labelled loss."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A model's part of its team's budget.

    Attributes:
        pages: false pages a month, > 0.
        windows: windows a month of the model's width, > 0.
    """

    pages: float
    windows: float

    def __post_init__(self) -> None:
        if not (self.pages > 0 and self.windows > 0):
            raise ValueError(f"pages and windows a month must be positive, got {self.pages} and {self.windows}")

    @classmethod
    def of_width(cls, pages: float, width_ms: int) -> "Budget":
        """For windows of ``width_ms`` milliseconds, in months of 30 days."""
        return cls(pages, MONTH_DAYS * 86_400_000 / width_ms)

    @property
    def threshold(self) -> float:
        """A: at which evidence of weight 1 pages."""
        return self.windows / self.pages

    def of(self, weight: float) -> float:
        """A / w: at which evidence of this weight pages.

        Raises:
            ValueError: the weight is not in (0, 1].
        """
        if not 0 < weight <= 1:
            raise ValueError(f"a weight must be in (0, 1], got {weight}: what has no weight cannot page")
        return self.threshold / weight

    def chance(self, weight: float, rules: int) -> float:
        """Probability with which each of so many hard rules, which judge a window at once, may be wrong in a window.

        With ``rules`` such rules a month has weight * pages false pages in expectation. In (0, 1).

        Raises:
            ValueError: the weight is not in (0, 1], or there is no rule.
        """
        if rules < 1:
            raise ValueError(f"a chance is of one rule or more, got {rules}")
        return min(1 / (self.of(weight) * rules), 0.5)


def weights(
    features: Mapping[str, float], *, estimate_error: float | None = None, shares: Mapping[str, float] = SHARES
) -> dict[str, float]:
    """Weight of each stream that is declared; the sum with the reserve is 1 at most.

    Args:
        features: name -> importance, >= 0; all 0 are equal. One of no importance gets a tenth of an equal part.
        estimate_error: calibration error of the label-free estimate on matured labels, in [0, 1]; None: unknown.
        shares: parts of the kinds.

    Returns:
        Kind -> weight for all but features and reserve, and ``feature.NAME`` -> weight.

    Raises:
        ValueError: shares sum to more than 1, or an importance is negative.
    """
    if sum(shares.values()) > 1 + 1e-9:
        raise ValueError(f"shares sum to {sum(shares.values())}, at most 1 can be promised")
    if any(not importance >= 0 for importance in features.values()):
        raise ValueError(f"importances must not be negative, got {dict(features)}")
    found = {kind: share for kind, share in shares.items() if kind not in ("features", "reserve")}
    if estimate_error is not None and estimate_error > CALIBRATION_LIMIT:
        found["loss"] += found.pop("estimate")
    total = sum(features.values())
    for name, importance in features.items():
        part = 1 / len(features) if total == 0 else 0.9 * (importance / total) + 0.1 / len(features)
        found[f"feature.{name}"] = shares["features"] * part
    return found


def reserved(k: int, reserve: float = SHARES["reserve"]) -> float:
    """Weight of the k-th stream that appears at run time, k = 1, 2, ...: reserve / (k (k + 1)).

    However many appear, they sum to ``reserve`` at most, and none needs to know how many will follow.

    Raises:
        ValueError: k is not positive.
    """
    if k < 1:
        raise ValueError(f"streams that appear are numbered from 1, got {k}")
    return reserve / (k * (k + 1))


def of_newcomer(k: int, streams: Collection[str], declared: Mapping[str, float]) -> dict[str, float]:
    """Weights of the streams of the k-th that appears at run time: parts of its share, in the proportion of the whole.

    Args:
        k: from 1.
        streams: which of the declared streams are watched of it, too.
        declared: weight of each stream of the whole (:func:`weights`); one of no weight has none here either.

    Returns:
        Stream -> weight, which sum to :func:`reserved`; empty if none of them has a weight.

    Raises:
        ValueError: k is not positive.
    """
    known = {stream: weight for stream in streams if (weight := declared.get(stream, 0.0)) > 0}
    total = sum(known.values())
    return {stream: reserved(k) * weight / total for stream, weight in known.items()}
