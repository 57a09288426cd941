"""Latency quantiles and throughput of a window, from its latency sketch."""

from dataclasses import dataclass

import numpy as np

from detectors.sketch import LATENCY_EDGES, Sketch, mean


@dataclass(frozen=True, slots=True)
class Latency:
    """Latency of one version in one window, in milliseconds; None without a measured row.

    Attributes:
        n: rows with a latency.
        mean: exact mean.
        p50: median (see :func:`quantile` for the error).
        p95: 95th percentile.
        p99: 99th percentile.
        maximum: exact maximum.
        throughput: rows per second of the window, those without a latency included.
    """

    n: int
    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    maximum: float | None
    throughput: float


def summarise(sketch: Sketch, window_seconds: float) -> Latency:
    """All of it, from a latency sketch and the width of its window.

    Raises:
        ValueError: the sketch is of another kind, or the window has no width.
    """
    if not window_seconds > 0:
        raise ValueError(f"a window lasts more than 0 seconds, got {window_seconds}")
    return Latency(
        n=sketch.n - sketch.nulls,
        mean=mean(sketch),
        p50=quantile(sketch, 0.50),
        p95=quantile(sketch, 0.95),
        p99=quantile(sketch, 0.99),
        maximum=sketch.maximum,
        throughput=sketch.n / window_seconds,
    )


def quantile(sketch: Sketch, level: float) -> float | None:
    """Smallest upper bin edge that at least ``level`` of the rows lie below; None without rows.

    Never below the exact quantile (the value of rank ceil(level * n)), and above it by at most 4% between 0.01 ms
    and 100 s. Below 0.01 ms the answer is 0.01 ms, above 100 s the maximum; it never exceeds the maximum.

    Raises:
        ValueError: the sketch is of another kind, or ``level`` is outside (0, 1].
    """
    if len(sketch.counts) != len(LATENCY_EDGES) + 1:
        raise ValueError(f"not a latency sketch: {len(sketch.counts)} bins, expected {len(LATENCY_EDGES) + 1}")
    if not 0 < level <= 1:
        raise ValueError(f"level must be in (0, 1], got {level}")
    if sketch.maximum is None:
        return None
    ranks = np.cumsum(sketch.counts)
    index = int(np.searchsorted(ranks, level * ranks[-1], side="left"))
    return min(float(LATENCY_EDGES[index]), sketch.maximum) if index < len(LATENCY_EDGES) else sketch.maximum
