"""The proposed document as YAML that a person reads: every choice has its reason beside it."""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml

from app.propose.features import NAMELESS, Feature
from app.propose.task import Task
from app.propose.times import DAY, Timing, iso

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_HORIZON = 30 * DAY
"""``label_horizon`` unless it is told."""


def write(
    *,
    path: Path,
    name: str | None,
    task: Task,
    features: Sequence[Feature],
    segments: Sequence[str],
    timing: Timing,
    table: pa.Table,
) -> str:
    """The YAML; the arguments are what was inferred."""
    lines = [
        f"# Proposed by driftline init from {path.name}: {len(table):,} rows over {timing.span / DAY:.1f} days.",
        "# Read it, mend it, try it: driftline replay TABLE --model THIS --report report.html",
        "apiVersion: driftline/v1",
        "kind: Model",
        "metadata:",
        f"  name: {scalar(name or _model_name(path))}",
        "spec:",
        _line(f"  task: {task.name}", task.reason),
    ]
    if task.positive_class is not None:
        lines.append(f"  positive_class: {scalar(task.positive_class)}")
    if task.classes:
        lines.append(f"  classes: [{', '.join(map(scalar, task.classes))}]")
    lines.append("  features:")
    for feature in features:
        entry = f"    - {{name: {scalar(feature.name)}, kind: {feature.kind}}}"
        lines.append(
            _line(entry if feature.kind else f"    # {_one_line(feature.name or NAMELESS)}, left out", feature.note)
        )
    if segments:
        lines.append(_line(f"  segments: [{', '.join(map(scalar, segments))}]", "each value is watched by itself"))
    lines += _times(timing)
    lines += _alerts(table)
    lines.append(_line("  retraining: {enabled: false}", "the model is trained elsewhere"))
    return "\n".join(lines) + "\n"


def _times(timing: Timing) -> list[str]:
    lines = [
        "  windows:",
        _line(f"    width: {iso(timing.width)}", f"about {timing.rows_a_window:,.0f} rows a window"),
        _line(f"    label_maturity: {iso(timing.maturity)}", f"then performance is tested; {timing.maturity_reason}"),
    ]
    if timing.longest_delay > _HORIZON:
        horizon = -(-timing.longest_delay // DAY) * DAY
        lines.append(_line(f"    label_horizon: {iso(horizon)}", "the latest label; a later one is not paired"))
    return [
        *lines,
        _line("  reference:", "what is normal, unless another is given: the first rows, whichever is full first"),
        f"    collect: {iso(timing.collect)}",
        f"    rows: {timing.rows}",
    ]


def _alerts(table: pa.Table) -> list[str]:
    lines = ["  alerts:", _line("    consecutive: 2", "windows in a row with a loss outside its band before it pages")]
    column = table["latency_ms"].combine_chunks().drop_null() if "latency_ms" in table.column_names else pa.array([])
    if len(column) and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        p99 = float(np.nanquantile(column.to_numpy(), 0.99))
        told = f"your objective, if you have one; here 1 answer in 100 took over {p99:.3g} ms"
        lines.append(_line(f"    # latency_p99_ms: {math.ceil(2 * p99)}", told))
    return lines


def _line(text: str, comment: str) -> str:
    """A line with its reason beside it."""
    return f"{text:<46}  # {_one_line(comment)}"


def scalar(text: str) -> str:
    """A string as YAML, quoted where it would be read as something else."""
    if _PLAIN.fullmatch(text) and yaml.safe_load(text) == text:
        return text
    return json.dumps(text, ensure_ascii=False)


def _one_line(text: str) -> str:
    """One line, whatever a column is called."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _model_name(path: Path) -> str:
    stem = path.name.split(".")[0]
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip("-._")[:100] or "model"
