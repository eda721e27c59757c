"""Values with 95 % confidence intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Estimate:
    """``value`` with the interval from ``low`` to ``high``, from ``n`` cases (or minutes)."""

    value: float
    low: float
    high: float
    n: float


def rate(successes: int, n: int) -> Estimate:
    """A share of ``n`` > 0 cases, with Wilson's score interval."""
    from scipy.stats import binomtest

    interval = binomtest(successes, n).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(successes / n, float(interval.low), float(interval.high), n)


def per_minute(events: int, minutes: float) -> Estimate:
    """Events a minute in ``minutes`` > 0, with the exact interval of a Poisson process."""
    from scipy.stats import chi2

    tail = (1 - CONFIDENCE) / 2
    low = float(chi2.ppf(tail, 2 * events)) / 2 if events else 0.0
    high = float(chi2.ppf(1 - tail, 2 * events + 2)) / 2
    return Estimate(events / minutes, low / minutes, high / minutes, minutes)


def percentile(values: Sequence[float], q: float) -> Estimate:
    """The ``q``-th percentile, with a percentile bootstrap (2000 resamples, a fixed seed)."""
    data = np.asarray(values, float)
    draws = _resampled(data)
    low, high = np.percentile(np.percentile(draws, q, axis=1), [2.5, 97.5])
    return Estimate(float(np.percentile(data, q)), float(low), float(high), len(data))


def rate_difference(a: tuple[int, int], b: tuple[int, int]) -> tuple[float, float, float]:
    """Share b minus share a, each (successes, n): value, low, high.

    Newcombe's hybrid score interval (1998, method 10), from Wilson's intervals of the two.
    """
    first, second = rate(*a), rate(*b)
    value = second.value - first.value
    low = value - float(np.hypot(second.value - second.low, first.high - first.value))
    high = value + float(np.hypot(second.high - second.value, first.value - first.low))
    return value, low, high


def percentile_difference(
    a: Sequence[float], b: Sequence[float], q: float
) -> tuple[float, float, float]:
    """The ``q``-th percentile of b minus that of a: value, and a bootstrap's low and high."""
    first, second = np.asarray(a, float), np.asarray(b, float)
    value = float(np.percentile(second, q) - np.percentile(first, q))
    differences = np.percentile(_resampled(second, 1), q, axis=1) - np.percentile(
        _resampled(first), q, axis=1
    )
    low, high = np.percentile(differences, [2.5, 97.5])
    return value, float(low), float(high)


def _resampled(data: np.ndarray, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return data[rng.integers(0, len(data), (_RESAMPLES, len(data)))]
