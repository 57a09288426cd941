"""Plain words for what was measured: what moved, in its unit, from what to what, and how sure that is."""

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.rules import Rule
from schemas.spec import ModelSpec
from schemas.tasks import Loss
from schemas.windows import from_ms
from streams.monitor.context import AT_MOST, Parts
from streams.monitor.state import RuleRun, Run


@dataclass(frozen=True, slots=True)
class Measure:
    """The labelled loss of a model as people read it; call it with a value."""

    loss: Loss
    name: str
    unit: str

    @classmethod
    def of(cls, spec: ModelSpec, loss: Loss) -> "Measure":
        """The loss of a reference, in the unit that the spec says."""
        units: dict[Loss, str] = {"log_loss": "nats", "error_rate": "", "mae": spec.unit}
        return cls(loss, _LOSSES[loss], units[loss])

    def plain(self, value: float, usual: float) -> str:
        """What it came to and what it usually is, without jargon."""
        match self.loss:
            case "error_rate":
                return f"{self(value)} of its answers are wrong, usually about {self(usual)}"
            case "mae":
                return f"it is off by {self(value)} on average, usually by about {self(usual)}"
        return f"loss {value:.4f}, usually about {usual:.4f}"

    def beside(self, metrics: Mapping[str, float | None]) -> str:
        """The metric that people know a task by, to stand after its loss; empty where it is undefined."""
        for name, shown in (("auc", "AUC {:.3f}"), ("accuracy", "accuracy {:.2%}"), ("bias", "mean error {:+.4g}")):
            value = metrics.get(name)
            if value is not None:
                return f", {shown.format(value)}" + (f" {self.unit}".rstrip() if name == "bias" else "")
        return ""

    def __call__(self, value: float) -> str:
        """A value in its unit."""
        if self.loss == "error_rate":
            return f"{value:.2%}"
        return f"{value:.4f} {self.unit}".rstrip() if self.loss == "log_loss" else f"{value:.4g} {self.unit}".rstrip()


def quality(name: str, metric: str, *, usual: float, value: float, limit: float, n: int) -> tuple[str, str]:
    """(summary, text) of a feature's rate that the reference does not explain."""
    missing = metric == "null_rate"
    what, rows = _RATES[metric], f"{n:,} rows" if missing else f"{n:,} rows with a value"
    return (
        f"{name} {what} in {value:.1%} of rows (usually {usual:.1%})",
        f"{name} {what} in {value:.2%} of {rows}, in the reference in {usual:.2%}; "
        f"the reference's own windows explain up to {limit:.2%}",
    )


def constant(name: str, *, usual: float, n: int) -> tuple[str, str]:
    """(summary, text) of a feature that stands still."""
    return (
        f"{name} has the same value in every row",
        f"{name} has the same value in all {n:,} rows with a value; in the reference {usual:.2%} of rows are like that",
    )


def volume(counted: int, *, least: int, most: int, limit: float) -> tuple[str, str]:
    """(summary, text) of a window with far fewer predictions than usual, or far more."""
    usual = f"usually {least:,} to {most:,} a window"
    few = counted < limit
    return (
        f"{'only ' if few else ''}{counted:,} predictions came ({usual})",
        f"{counted:,} predictions were counted in the window, in the reference's windows {least:,} to {most:,}, which "
        f"explain {'down' if few else 'up'} to {limit:,.0f}",
    )


def latency(version: str, *, p99: float, p50: float, objective: float, n: int) -> tuple[str, str]:
    """(summary, text) of answers that are slower than the owner's objective."""
    return (
        f"version {version} answers slowly: 1 answer in 100 takes over {took(p99)} (objective {took(objective)})",
        f"1 answer in 100 of version {version} took longer than {took(p99)} (99th percentile of {n:,} rows), above the "
        f"owner's objective of {took(objective)}; half of them took up to {took(p50)}",
    )


def labelled(run: Run, measure: Measure, windows: int) -> tuple[str, str]:
    """(summary, text) of a labelled loss above the band of the reference's ``windows`` windows."""
    return (
        f"version {run.version} predicts worse than usual: {measure.plain(run.value, run.normal)}",
        f"{measure.name} of version {run.version} (lower is better) rose from {measure(run.normal)} (mean of the "
        f"reference's {windows} windows) to {measure(run.value)}, above their band, which ends at "
        f"{measure(run.limit)}{_in_a_row(run.windows)}; {run.n:,} labelled rows in the newest window",
    )


def rule(rule: Rule, run: RuleRun) -> tuple[str, str]:
    """(summary, text) of an owner's rule that is broken."""
    of = f" of version {run.version}" if run.version else ""
    return (
        f"your rule: {rule.metric} is {run.value:.4g} ({rule.text.removeprefix(rule.metric).strip()})",
        f"your rule {rule.text!r} is broken: {rule.metric}{of} is {run.value:.6g}{_in_a_row(run.windows)}; "
        f"{run.n:,} rows in the newest window",
    )


def where_shares(parts: Parts) -> str:
    """The segments that a rate is worst in; empty when there are none."""
    worst = [f"{part.segment} ({part.value:.1%} of {part.n:,} rows)" for part in parts.worst]
    return where(parts, worst, "")


def where_losses(parts: Parts, measure: Measure) -> str:
    """The segments that a loss is worst in; empty when there are none."""
    worst = [f"{part.segment} ({measure(part.value)}, {part.n:,} labelled rows)" for part in parts.worst]
    return where(parts, worst, ", within a tenth of the whole")


def where_rule(rule: Rule, by_segment: Mapping[str, tuple[float, int]]) -> str:
    """The segments that break a rule by themselves, the furthest from its limit first; empty when none is known."""
    if not by_segment:
        return ""
    broken = [(segment, value, n) for segment, (value, n) in by_segment.items() if rule.broken(value)]
    broken.sort(key=lambda part: (-abs(part[1] - rule.limit), part[0]))
    shown = ", ".join(f"{segment} ({value:.4g}, {n:,} rows)" for segment, value, n in broken[:AT_MOST])
    of = f"{len(broken)} of {count(len(by_segment), 'segment')} with enough rows"
    return f"broken in {of}: {shown}" if broken else f"broken in none of {of.partition(' of ')[2]} by itself"


def _in_a_row(windows: int) -> str:
    return f", in {windows:,} windows in a row" if windows > 1 else ""


def where(parts: Parts, worst: list[str], meaning: str) -> str:
    """``worst in ...``; empty when no segment has rows enough to tell.

    Args:
        parts: the segments.
        worst: those that stand out, in words.
        meaning: of standing out, said when none does.
    """
    if not parts.known:
        return ""
    if not worst:
        segments = "the one segment" if parts.known == 1 else f"all {parts.known} segments"
        return f"about the same in {segments} with enough rows to tell{meaning}"
    return f"worst in {', '.join(worst)}"


def when(ms: int) -> str:
    """``2013-02-01 05:00 UTC``: seconds only where there are any."""
    instant = from_ms(ms)
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC" if ms % 60_000 else f"{instant:%Y-%m-%d %H:%M} UTC"


def took(value: float) -> str:
    """A latency, as exact as it is of use."""
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.3g} ms"


def count(n: int, what: str) -> str:
    """``1 window``, ``2 windows``."""
    return f"{n} {what}" if n == 1 else f"{n:,} {what}s"


_RATES = {
    "null_rate": "is missing",
    "outside_share": "is far outside its usual range",
    "unseen_share": "has a value that was never seen before",
}

_LOSSES: dict[Loss, str] = {
    "log_loss": "log-loss",
    "error_rate": "share of wrong classes",
    "mae": "mean absolute error",
}
