"""Plain words for findings: what moved, from what to what, and what it had to exceed."""

from detectors.quality import RuleResult
from detectors.sketch import Floats, Sketch, mean
from detectors.two_samples import Judgement
from detectors.verdict import Insufficient
from schemas.models import FeatureReference
from schemas.spec import ModelSpec
from schemas.tasks import Loss

_RATES = {
    "missing": "is missing in {now:.1%} of the rows, in the reference in {was:.1%}",
    "filled": "has a value in {now:.1%} of the rows, in the reference in {was:.1%}",
    "outside": "is far outside its usual range in {now:.1%} of the values",
    "unseen": "has a value that the reference does not know in {now:.1%} of the values",
}

_LOSSES: dict[Loss, str] = {
    "log_loss": "log-loss",
    "error_rate": "share of wrong answers",
    "mae": "mean absolute error",
}


def shift(name: str, profile: FeatureReference, current: Sketch, found: Judgement | Insufficient) -> str:
    """A distribution that moved, or did not."""
    if isinstance(found, Insufficient):
        return f"{name}: {found.reason}"
    what = "lie elsewhere" if profile.kind == "number" else "have another value"
    moved = _moved(profile, current)
    return f"{name}: {found.effect:.1%} of the rows {what}{moved}; {found.reason} (limit {found.limit:.1%})"


def _moved(profile: FeatureReference, current: Sketch) -> str:
    if profile.kind == "number":
        now = mean(current)
        return "" if now is None or profile.mean is None else f", mean {profile.mean:,.4g} to {now:,.4g}"
    was, now_n = sum(profile.counts), sum(current.counts)
    names = [*profile.categories, "other values"]
    changes = [
        (b / now_n - a / was, a / was, b / now_n, n)
        for a, b, n in zip(profile.counts, current.counts, names, strict=True)
    ]
    _, before, after, category = max(changes, key=lambda change: abs(change[0]))
    return f", most of all {category}: {before:.1%} to {after:.1%}"


def rate(name: str, quantity: str, found: RuleResult, profile: FeatureReference, current: Sketch) -> str:
    """A share that a hard rule looks at."""
    was = profile.nulls / profile.n if profile.n else 0.0
    what = _RATES[quantity].format(now=found.value, was=1 - was if quantity == "filled" else was)
    return f"{name} {what}; the reference's own blocks explain up to {found.limit:.1%}"


def together(found: Judgement | Insufficient) -> str:
    """Columns that go together, or no longer do."""
    if isinstance(found, Insufficient):
        return f"features together: {found.reason}"
    return (
        f"features together: what the others say of each changed by {found.effect:.0%} (reconstruction error); "
        f"{found.reason} (limit {found.limit:.0%})"
    )


def loss(spec: ModelSpec, kind: Loss, before: Floats, found: Judgement | Insufficient) -> tuple[str, str]:
    """(unit, text) of the labelled loss."""
    unit = {"log_loss": "nats", "error_rate": "share of labelled rows", "mae": spec.unit}[kind]
    if isinstance(found, Insufficient):
        return unit, f"{_LOSSES[kind]}: {found.reason}"
    was = float(before.mean())
    went = f"{_LOSSES[kind]} (lower is better) went from {was:.4g} to {was + found.effect:.4g} {unit}".rstrip()
    return unit, f"{went}; {found.reason} (limit {was + found.limit:.4g})"
