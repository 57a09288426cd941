"""``driftline advice``: what river says of a model's last windows. It pages nobody, and is stored nowhere."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from app.names import pick_model
from detectors import advisory
from schemas.partials import model_key
from schemas.windows import from_ms
from warehouse.client import Warehouse

_MODELS = "SELECT DISTINCT namespace, model FROM reports"

# Numbers by version are those of the version that served; of a feature the mean, of one without a mean its distance.
_VALUES = """
SELECT
    view, name, metric, groupArray((toUnixTimestamp64Milli(window_start), value)) AS series
FROM (
    SELECT view, name, metric, window_start, assumeNotNull(value) AS value
    FROM metric_values LEFT JOIN serving USING (namespace, model, window_start)
    WHERE namespace = {namespace:String} AND model = {model:String} AND segment = '' AND isNotNull(metric_values.value)
        AND (metric_values.version = '' OR metric_values.version = serving.version)
        AND (view, metric) IN (
            ('tested', 'log_loss'), ('tested', 'error_rate'), ('tested', 'mae'),
            ('score', 'mean'), ('latency', 'p99'), ('feature', 'mean'), ('feature', 'jensenshannon')
        )
    ORDER BY window_start DESC
    LIMIT {last:UInt32} BY view, name, metric
)
GROUP BY view, name, metric
ORDER BY view = 'feature', view, name, metric DESC
"""

_KINDS = {"tested": "labelled", "score": "score", "latency": "latency", "feature": "feature"}


@dataclass(frozen=True, slots=True)
class Advised:
    """One quantity and what is said of it.

    Attributes:
        quantity: its path, such as ``labelled.log_loss`` or ``feature.temp.mean``.
        windows: starts of the windows that were replayed, in ms, in order.
        advice: by detector; empty where there are too few windows.
    """

    quantity: str
    windows: tuple[int, ...]
    advice: tuple[advisory.Advice, ...]


def advised(warehouse: Warehouse, name: str, say: Callable[[str], None]) -> tuple[tuple[str, str], list[Advised]]:
    """(namespace, model) and advice on each of its quantities, computed from ClickHouse now.

    Args:
        warehouse: where the windows are.
        name: namespace/model, or the model alone where that is clear.
        say: told which quantity is next; KSWIN takes most of a second for each.

    Raises:
        app.names.NotThere: no such model has been reported on.
        app.names.NotOne: several have that name.
    """
    key = pick_model(((str(namespace), str(model)) for namespace, model in warehouse.rows(_MODELS)), name)
    rows = warehouse.rows(_VALUES, {"namespace": key[0], "model": key[1], "last": advisory.LAST})
    found: list[Advised] = []
    means: set[str] = set()
    for view, feature, metric, series in rows:  # a feature's mean comes before its distance
        if view == "feature" and metric == "mean":
            means.add(feature)
        elif view == "feature" and feature in means:
            continue
        quantity = ".".join(part for part in (_KINDS[view], feature, metric) if part)
        say(quantity)
        ordered = sorted((int(start), float(value)) for start, value in series)
        values = [value for _, value in ordered]
        found.append(Advised(quantity, tuple(start for start, _ in ordered), advisory.advise(values)))
    return key, found


def as_json(key: tuple[str, str], found: Iterable[Advised]) -> dict[str, Any]:
    """For a machine: the starts of the windows, in ms, at which each detector said drift; null: too few windows."""
    return {
        "namespace": key[0],
        "model": key[1],
        "quantities": [
            {
                "quantity": one.quantity,
                "windows": len(one.windows),
                "drifts": {a.detector: [one.windows[place] for place in a.drifts] for a in one.advice} or None,
            }
            for one in found
        ],
    }


def show(key: tuple[str, str], found: list[Advised], console: Console) -> None:
    """A line per quantity, the newest drift of each detector, and what all of it is worth."""
    grid = Table(box=None, pad_edge=False, title=model_key(*key), title_justify="left")
    for title in ("quantity", "windows", *advisory.DETECTORS):
        grid.add_column(title, justify="right" if title == "windows" else "left")
    for one in found:
        said = {advice.detector: _said(one, advice) for advice in one.advice}
        few = f"fewer than {advisory.LEAST}"
        grid.add_row(one.quantity, str(len(one.windows)), *(said.get(name, few) for name in advisory.DETECTORS))
    console.print(grid)
    console.print(
        f"\nThe last window at which river's detector said drift, by its defaults on the last {advisory.LAST} values, "
        "and how often it did.\nAdvice only: it pages nobody. How often it is wrong: docs/scoreboard.md."
    )


def _said(one: Advised, advice: advisory.Advice) -> str:
    if not advice.drifts:
        return "-"
    newest = f"{from_ms(one.windows[advice.drifts[-1]]):%Y-%m-%d %H:%M}"
    return newest if len(advice.drifts) == 1 else f"{newest} ({len(advice.drifts)} x)"
