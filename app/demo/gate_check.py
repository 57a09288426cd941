"""How often the gate would have promoted wrongly, measured on the demo's own days.

Days of paired differences are drawn anew, whole, and shifted so that the candidate is exactly at the margin: the
edge of what must not be promoted. The share of such rollouts that the gate promotes must not exceed alpha.
"""

from collections.abc import Mapping
from typing import Any

from detectors.gate import GatePolicy, wrong_promotion_rate
from schemas.spec import GateSpec, milliseconds
from warehouse.client import Warehouse

REPEATS = 4_000
_DAY_MS = 24 * 3600 * 1000

_DIFFERENCES = """
SELECT difference FROM paired_windows FINAL WHERE namespace = {namespace:String} AND model = {model:String}
    AND difference IS NOT NULL AND n >= {least:UInt64} ORDER BY challenger, champion, window_start
"""


def complaints(found: Mapping[str, Any]) -> list[str]:
    """A sentence if the measured error, or its upper end, is above alpha."""
    high, alpha = found["wrong_promotion_high"], found["gate_alpha"]
    if high is None or high <= alpha:
        return []
    return [f"the gate promotes wrongly in up to {high:.1%} of rollouts at the margin; alpha is {alpha:.1%}"]


def measured(warehouse: Warehouse, namespace: str, model: str, gate: GateSpec, *, seed: int) -> dict[str, Any]:
    """Numbers for the summary; None where there are fewer than ten days to draw from.

    Returns:
        ``paired_days`` (days of paired differences), ``paired_clipped`` (share of them further than the bound from
        the margin), ``wrong_promotion`` and ``wrong_promotion_high`` (share of
        rollouts at the margin that were promoted, and the upper end of its 95% interval), ``gate_alpha``.
    """
    rows = warehouse.rows(_DIFFERENCES, {"namespace": namespace, "model": model, "least": gate.min_pairs})
    days = [float(difference) for (difference,) in rows]
    clipped = sum(abs(day - gate.margin_schedule) > gate.bound for day in days)
    found: dict[str, Any] = {
        "paired_days": len(days),
        "paired_clipped": clipped / len(days) if days else None,
        "wrong_promotion": None,
        "wrong_promotion_high": None,
    }
    if len(days) >= 10:
        policy = GatePolicy(margin=gate.margin_schedule, bound=gate.bound, bets=gate.bets, alpha=gate.alpha)
        windows = milliseconds(gate.shadow_max) // _DAY_MS
        error = wrong_promotion_rate(days, policy, windows=windows, repeats=REPEATS, seed=seed)
        found |= {"wrong_promotion": error.rate, "wrong_promotion_high": round(error.ci_high, 6)}
    return found | {"gate_alpha": gate.alpha}
