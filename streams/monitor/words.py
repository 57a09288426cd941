"""Plain words for what was measured: what moved, in its unit, from what to what, and how sure that is."""

from schemas.rules import Rule
from schemas.windows import from_ms
from streams.monitor.context import Parts
from streams.monitor.state import RuleRun, Run


def quality(name: str, metric: str, *, usual: float, value: float, limit: float, n: int) -> tuple[str, str]:
    """(summary, text) of a feature's rate that the reference does not explain."""
    missing = metric == "null_rate"
    what, rows = _RATES[metric], f"{n:,} rows" if missing else f"{n:,} rows with a value"
    return (
        f"{name} {what} in {value:.1%} of rows (usually {usual:.1%})",
        f"{name} {what} in {value:.2%} of {rows}, in the reference in {usual:.2%}; "
        f"the reference's own windows explain up to {limit:.2%}",
    )


def latency(version: str, *, p99: float, p50: float, objective: float, n: int) -> tuple[str, str]:
    """(summary, text) of answers that are slower than the owner's objective."""
    return (
        f"version {version} answers slowly: 1 answer in 100 takes over {_ms(p99)} (objective {_ms(objective)})",
        f"1 answer in 100 of version {version} took longer than {_ms(p99)} (99th percentile of {n:,} rows), above the "
        f"owner's objective of {_ms(objective)}; half of them took up to {_ms(p50)}",
    )


def labelled(run: Run, windows: int) -> tuple[str, str]:
    """(summary, text) of a labelled loss above the band of the reference's ``windows`` windows."""
    return (
        f"version {run.version} predicts worse than usual: loss {run.value:.4f}, usually about {run.normal:.4f}",
        f"log-loss of version {run.version} (lower is better) rose from {run.normal:.4f} (mean of the reference's "
        f"{windows} windows) to {run.value:.4f} nats, above their band, which ends at "
        f"{run.limit:.4f}{_in_a_row(run.windows)}; {run.n:,} labelled rows in the newest window",
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
    return _where(parts, worst, "")


def where_losses(parts: Parts) -> str:
    """The segments that a loss is worst in; empty when there are none."""
    worst = [f"{part.segment} ({part.value:.4f}, {part.n:,} labelled rows)" for part in parts.worst]
    return _where(parts, worst, ", within a tenth of the whole")


def _in_a_row(windows: int) -> str:
    return f", in {windows:,} windows in a row" if windows > 1 else ""


def _where(parts: Parts, worst: list[str], meaning: str) -> str:
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


def _ms(value: float) -> str:
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.3g} ms"


def count(n: int, what: str) -> str:
    """``1 window``, ``2 windows``."""
    return f"{n} {what}" if n == 1 else f"{n:,} {what}s"


_RATES = {
    "null_rate": "is missing",
    "outside_share": "is far outside its usual range",
    "unseen_share": "has a value that was never seen before",
}
