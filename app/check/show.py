"""A check's answer for a person at a terminal."""

from rich.console import Console
from rich.table import Table

from app.check.compare import Finding
from app.check.inputs import Sample
from app.check.result import Result
from schemas.windows import from_ms

SHOWN = 20
"""So many findings of a kind are shown; all of them are in --json and --report."""

METRICS = ("auc", "log_loss", "brier", "accuracy", "error_rate", "f1_macro", "mae", "rmse", "bias")
"""Metrics worth a row, where a task has them."""


def show(found: Result, console: Console) -> None:
    """Print what drifted, what could not be judged, performance, and what two files cannot say.

    Args:
        found: a check's answer.
        console: that reads no markup: names of columns may look like some.
    """
    console.print(answer(found), style="bold", highlight=False)
    console.print(basis(found), highlight=False)
    if drifted := found.compared.of("drift"):
        console.print(_table(drifted))
    if lacking := found.compared.of("not enough data"):
        console.print(f"Not enough data for {count(len(lacking), 'question')}, e.g. {lacking[0].text}", highlight=False)
    if found.compared.performance:
        console.print(_performance(found))
    for note in (*found.inputs.notes, *found.compared.notes):
        console.print(f"note: {note}", highlight=False)
    console.print("What these two files cannot tell:", highlight=False)
    for line in found.not_known:
        console.print(f"- {line}", highlight=False)


def answer(found: Result) -> str:
    """What the owner asked, in one line."""
    drifted = found.compared.of("drift")
    if drifted:
        columns = list(dict.fromkeys(finding.column for finding in drifted))
        more = f" and {len(columns) - 3} more" if len(columns) > 3 else ""
        return f"Drift: {', '.join(columns[:3])}{more}"
    if not found.judged:
        return "Nothing could be judged: not enough data"
    return "No drift"


def basis(found: Result) -> str:
    """What the answer rests on."""
    quantities = count(len(found.compared.findings), "quantity", "quantities")
    return (
        f"{_rows(found.inputs.current)} against {_rows(found.inputs.reference)}; {quantities} compared, held against "
        f"{found.blocks.name} of the reference"
    )


def where(finding: Finding) -> str:
    """A column, and the segment if it is not all rows."""
    return f"{finding.column} [{finding.segment}]" if finding.segment else finding.column


def number(value: float | None, digits: int = 4) -> str:
    """A number in a table; a dash where there is none."""
    return "–" if value is None else f"{value:,.{digits}g}"


def metrics(found: Result) -> list[str]:
    """The metrics of the task that are worth a row."""
    return [name for name in METRICS if any(value is not None for value in found.compared.performance.get(name, ()))]


def count(n: int, what: str, several: str = "") -> str:
    """``1 question``, ``2 questions``."""
    return f"{n:,} {what if n == 1 else several or what + 's'}"


def _rows(sample: Sample) -> str:
    text = f"{sample.rows:,} rows of {sample.path.name}"
    if sample.times is None:
        return text
    return f"{text} ({from_ms(int(sample.times.min())):%Y-%m-%d} to {from_ms(int(sample.times.max())):%Y-%m-%d})"


def _table(drifted: list[Finding]) -> Table:
    """A row per column and quantity: that of all rows if it drifted, with the segments that did."""
    together: dict[tuple[str, str], list[Finding]] = {}
    for finding in sorted(drifted, key=lambda finding: bool(finding.segment)):
        together.setdefault((finding.column, finding.quantity), []).append(finding)
    more = f" (the furthest {SHOWN} of {len(together)}; all: --json or --report)" if len(together) > SHOWN else ""
    table = Table(title=f"Drift{more}", title_justify="left")
    table.add_column("what", overflow="fold")
    for name in ("effect", "limit"):
        table.add_column(name, justify="right")
    table.add_column("in words", overflow="fold", ratio=1)
    for group in list(together.values())[:SHOWN]:
        first, segments = group[0], ", ".join(finding.segment for finding in group if finding.segment)
        also = f"; in {segments}" if segments else ""
        table.add_row(
            f"{first.column} {first.quantity}", number(first.effect, 3), number(first.limit, 3), first.text + also
        )
    return table


def _performance(found: Result) -> Table:
    table = Table(title="Labelled performance", title_justify="left")
    table.add_column("metric")
    for name in ("reference", "current"):
        table.add_column(name, justify="right")
    for name in metrics(found):
        before, after = found.compared.performance[name]
        table.add_row(name, number(before), number(after))
    return table
