"""When a candidate has won, or has done harm: a betting e-process in which one observation is one window.

An observation Z is the mean paired loss difference, candidate minus champion, of a window at label maturity. Events of
one window share its weather and its crowds, so per-event bets are wrong far more often than they say; windows are
the unit. Against the null a gambler stakes a share of his wealth on every window; under the null his
wealth is a supermartingale, and by Ville's inequality it ever reaches 1/alpha with probability at most alpha,
however often one looks (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting").

Observations are clipped to [margin - bound, margin + bound], since bets need bounded outcomes; the promise is thus
about the mean of the clipped difference. A bound of two standard deviations of the window means clips 5% and kept the
error rate over 28 windows below alpha = .05 for normal, t(5) and exponential windows (bets .5, .9); two thirds of one
clips 44% and was wrong in up to 27% of rollouts whose harm is rare and large. So the share clipped is kept, and
:func:`wrong_promotion_rate` measures the error rate on real differences, clipping included.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, isfinite, log, log1p
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp
from scipy.stats import binomtest

Direction = Literal["better", "worse"]
"""What is to be shown: the candidate's loss difference is below the margin (promote) or above it (roll back)."""


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """The terms of the game, fixed before the first window.

    Attributes:
        margin: loss difference at the edge of the null. Promotion: 0 or less asks for superiority, above 0 for
            non-inferiority.
        bound: half-width of what an observation may be, in units of the loss.
        bets: grid of stakes, each in (0, 1); the stake per unit of loss is bet / bound. The gambler spreads his first
            unit evenly over the grid.
        alpha: probability of a wrong decision, over all time.
        min_windows: no decision before so many observations.
        direction: ``better``: H0 is E[Z] >= margin; ``worse``: H0 is E[Z] <= margin.
    """

    margin: float
    bound: float
    bets: tuple[float, ...]
    alpha: float = 0.05
    min_windows: int = 1
    direction: Direction = "better"

    def __post_init__(self) -> None:
        if not self.bound > 0:
            raise ValueError(f"bound must be positive, got {self.bound}")
        if not self.bets or not all(0 < bet < 1 for bet in self.bets):
            raise ValueError(f"bets must be a non-empty grid in (0, 1), got {self.bets}: a stake of 1 can ruin")
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha must be in (0, 1), got {self.alpha}")
        if self.direction not in ("better", "worse"):
            raise ValueError(f"direction must be 'better' or 'worse', got {self.direction!r}")


@dataclass(frozen=True, slots=True)
class Wealth:
    """State of a game.

    Attributes:
        log_wealth: logarithm of the wealth of each bet of the grid.
        n: windows observed.
        n_clipped: observations that were clipped.
    """

    log_wealth: tuple[float, ...]
    n: int = 0
    n_clipped: int = 0

    @property
    def share_clipped(self) -> float:
        """Share of the observations that were clipped; 0 before the first."""
        return self.n_clipped / self.n if self.n else 0.0

    def to_dict(self) -> dict[str, Any]:
        """For JSON, which writes a Python float so that reading gives back the same bits."""
        return {"log_wealth": list(self.log_wealth), "n": self.n, "n_clipped": self.n_clipped}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> "Wealth":
        """Inverse of :meth:`to_dict`."""
        return cls(tuple(float(x) for x in state["log_wealth"]), int(state["n"]), int(state["n_clipped"]))


def start(policy: GatePolicy) -> Wealth:
    """Wealth 1 on every bet, nothing observed."""
    return Wealth((0.0,) * len(policy.bets))


def step(policy: GatePolicy, wealth: Wealth, z: float) -> Wealth:
    """Wealth after one window: each bet's is multiplied by 1 + bet * x, x = (margin - z) / bound clipped to [-1, 1].

    For the direction ``worse`` x has the opposite sign.

    Raises:
        ValueError: z is NaN or infinite, or the wealth belongs to another grid of bets.
    """
    if not isfinite(z):
        raise ValueError(
            f"a window's mean difference must be finite, got {z}: a window without pairs is no observation"
        )
    if len(wealth.log_wealth) != len(policy.bets):
        raise ValueError(
            f"wealth of {len(wealth.log_wealth)} bets, policy of {len(policy.bets)}: terms are fixed before the first "
            "window, start() a new game for a new policy"
        )
    x = _sign(policy) * (policy.margin - z) / policy.bound
    clipped = max(-1.0, min(1.0, x))
    return Wealth(
        tuple(logged + log1p(bet * clipped) for logged, bet in zip(wealth.log_wealth, policy.bets, strict=True)),
        wealth.n + 1,
        wealth.n_clipped + (x != clipped),
    )


def log_e_value(wealth: Wealth) -> float:
    """Logarithm of the mean wealth over the grid."""
    return float(logsumexp(wealth.log_wealth)) - log(len(wealth.log_wealth))


def e_value(wealth: Wealth) -> float:
    """Evidence against the null: mean wealth over the grid, 1 at the start."""
    return exp(log_e_value(wealth))


def decided(policy: GatePolicy, wealth: Wealth) -> bool:
    """Whether the null is rejected now: e-value at least 1/alpha, after ``min_windows`` or more."""
    return wealth.n >= policy.min_windows and log_e_value(wealth) >= -log(policy.alpha)


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """A rate measured by simulation, with its exact 95% interval (Clopper and Pearson).

    Attributes:
        rate: share of the repeats.
        ci_low: lower end.
        ci_high: upper end.
        repeats: how many repeats.
    """

    rate: float
    ci_low: float
    ci_high: float
    repeats: int


def wrong_promotion_rate(
    differences: ArrayLike, policy: GatePolicy, *, windows: int, repeats: int, seed: int
) -> ErrorRate:
    """How often the gate decides wrongly on windows resampled from real ones, recentred to the margin.

    The resampled windows have mean exactly ``margin``, the edge of the null, before clipping: what clipping does to
    a skewed distribution is part of what is measured. Whole windows are drawn, with replacement, so the dependence
    of events within a window is kept; that between windows is not.

    Args:
        differences: mean paired loss difference of each real window, finite, shape (k,), k >= 2.
        policy: the terms.
        windows: length of each simulated rollout.
        repeats: simulated rollouts.
        seed: of the simulation.

    Raises:
        ValueError: fewer than two differences, or one that is not finite.
    """
    real = np.asarray(differences, np.float64)
    if real.ndim != 1 or len(real) < 2 or not np.isfinite(real).all():
        raise ValueError(f"differences must be at least 2 finite window means, got shape {real.shape}")
    null = real - real.mean() + policy.margin
    draws = np.random.default_rng(seed).choice(null, size=(repeats, windows))
    return decision_rate(draws, policy)


def decision_rate(rollouts: NDArray[np.float64], policy: GatePolicy) -> ErrorRate:
    """Share of rollouts in which the gate decides at some window; under a null the error rate, else the power.

    Args:
        rollouts: mean paired loss differences, shape (repeats, windows).
        policy: the terms.
    """
    x = np.clip(_sign(policy) * (policy.margin - rollouts) / policy.bound, -1, 1)
    log_wealth = np.full(x.shape, -np.inf)
    for bet in policy.bets:
        log_wealth = np.logaddexp(log_wealth, np.cumsum(np.log1p(bet * x), axis=1))
    log_e = log_wealth[:, policy.min_windows - 1 :] - log(len(policy.bets))
    decisions = int((log_e >= -log(policy.alpha)).any(axis=1).sum())
    interval = binomtest(decisions, len(rollouts)).proportion_ci(0.95, method="exact")
    return ErrorRate(decisions / len(rollouts), float(interval.low), float(interval.high), len(rollouts))


def _sign(policy: GatePolicy) -> int:
    return 1 if policy.direction == "better" else -1
