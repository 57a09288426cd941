"""A replay's answer for a person at a terminal."""

from rich.console import Console
from rich.table import Table

from app.replay.result import Counts, Moved, Result
from schemas.windows import from_ms

SHOWN_WINDOWS = 8
"""Windows whose performance is shown: the last ones."""

QUALITY = ("auc", "log_loss", "accuracy", "f1_macro", "mae", "rmse", "bias")
"""Metrics worth a column, where a task has them."""

DAY_MS = 86_400_000


def show(found: Result, console: Console) -> None:
    """Print what would have paged, where the rows have gone, performance and what moved.

    Args:
        found: a replay's answer.
        console: that reads no markup: names of features and versions may look like some.
    """
    console.print(answer(found), style="bold", highlight=False)
    if found.incidents:
        console.print(_incidents(found))
    console.print(basis(found), highlight=False)
    console.print(identity(found.counts), highlight=False)
    for dead in found.dead:
        console.print(f"  dead letters: {dead.events:,} x {dead.reason}, e.g. {dead.example}", highlight=False)
    if found.performance:
        console.print(_performance(found))
    if found.moved:
        console.print(_moved(found))
    else:
        console.print("No feature moved further from the reference than chance explains.")


def answer(found: Result) -> str:
    """What the owner asked, in one line."""
    critical = [incident for incident in found.incidents if incident["severity"] == "critical"]
    warnings = len(found.incidents) - len(critical)
    more = f" ({count(warnings, 'warning')} could have waited for the morning)" if warnings else ""
    if not critical:
        return f"Nothing would have paged you{more}."
    return f"{count(len(critical), 'incident')} would have paged you{more}."


def basis(found: Result) -> str:
    """What the answer rests on."""
    judged = found.judged
    return (
        f"{count(len(judged), 'window')} judged against {found.plan.reference_from} "
        f"({day(found.plan.reference.start)} to {day(found.plan.reference.end)})"
    )


def identity(counts: Counts) -> str:
    """Where every event has gone."""
    parts = [f"{counts.counted:,} counted"]
    parts += [f"{n:,} {name}" for name in ("late", "duplicate", "correction", "dead") if (n := getattr(counts, name))]
    return f"{counts.sent:,} events in {'=' if counts.adds_up else '≠'} {' + '.join(parts)}"


def _incidents(found: Result) -> Table:
    table = Table(title="Incidents", title_justify="left")
    for name in ("opened", "resolved", "severity", "what"):
        table.add_column(name, overflow="fold")
    for incident in found.incidents:
        resolved = instant(incident["updated"]) if incident["state"] == "resolved" else "still open"
        table.add_row(instant(incident["opened"]), resolved, incident["severity"], incident["summary"])
    return table


def _performance(found: Result) -> Table:
    columns = metrics(found)
    rows = sorted(found.performance.items())
    # Windows of whole days need no hour: the table fits into 80 columns.
    when = day if all(start % DAY_MS == 0 for start, _version in found.performance) else instant
    more = f" (the last {SHOWN_WINDOWS} of {len(rows)}; all: --json or --report)" if len(rows) > SHOWN_WINDOWS else ""
    table = Table(title=f"Performance by window{more}", title_justify="left")
    table.add_column("window", no_wrap=True)
    table.add_column("version", overflow="fold")
    for name in ("labels", "coverage", *columns):
        table.add_column(name, justify="right")
    for (start, version), numbers in rows[-SHOWN_WINDOWS:]:
        coverage = numbers.get("coverage")
        table.add_row(
            when(start),
            version,
            f"{numbers['n']:,.0f}",
            "" if coverage is None else f"{coverage:.0%}",
            *(f"{numbers[name]:.4g}" if name in numbers else "" for name in columns),
        )
    return table


def _moved(found: Result) -> Table:
    table = Table(title="Features that moved most (they inform, none of them pages)", title_justify="left")
    table.add_column("feature")
    table.add_column("window")
    table.add_column("PSI", justify="right")
    table.add_column("from what to what")
    for moved in found.moved:
        table.add_row(moved.feature, instant(moved.window_start), f"{moved.psi:.3f}", change(moved))
    return table


def metrics(found: Result) -> list[str]:
    """The metrics of the task that are worth a column."""
    return [name for name in QUALITY if any(name in numbers for numbers in found.performance.values())]


def change(moved: Moved) -> str:
    """From what to what, in the feature's own unit."""
    if moved.usual is None or moved.value is None:
        return ""
    if moved.measure == "mean":
        return f"mean {moved.usual:,.4g} to {moved.value:,.4g}"
    if moved.usual == moved.value:
        return "other categories"
    return f"missing {moved.usual:.1%} to {moved.value:.1%}"


def instant(ms: int) -> str:
    """A time of the table, in UTC, to the minute."""
    return f"{from_ms(ms):%Y-%m-%d %H:%M}"


def day(ms: int) -> str:
    """Its day."""
    return f"{from_ms(ms):%Y-%m-%d}"


def count(n: int, what: str) -> str:
    """``1 window``, ``2 windows``."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"
