"""Estimates with 95 % confidence intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, its interval, and the ``n`` cases (or minutes) behind it."""

    value: float
    low: float
    high: float
    n: float


def rate(successes: int, n: int) -> Estimate:
    """Estimate a share of ``n`` > 0 cases with Wilson's score interval."""
    from scipy.stats import binomtest

    interval = binomtest(successes, n).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(successes / n, float(interval.low), float(interval.high), n)


def per_minute(events: int, minutes: float) -> Estimate:
    """Estimate events per minute (``minutes`` > 0) with the exact Poisson interval."""
    from scipy.stats import chi2

    tail = (1 - CONFIDENCE) / 2
    low = float(chi2.ppf(tail, 2 * events)) / 2 if events else 0.0
    high = float(chi2.ppf(1 - tail, 2 * events + 2)) / 2
    return Estimate(events / minutes, low / minutes, high / minutes, minutes)


def percentile(values: Sequence[float], q: float) -> Estimate:
    """Estimate the ``q``-th percentile by bootstrap (2000 resamples, fixed seed)."""
    from scipy.stats import bootstrap

    value = float(np.percentile(values, q))
    if len(values) == 1:
        return Estimate(value, value, value, 1)
    interval = bootstrap(
        (values,),
        lambda sample, axis: np.percentile(sample, q, axis=axis),
        n_resamples=_RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Estimate(value, float(interval.low), float(interval.high), len(values))


def difference(a: Estimate, b: Estimate) -> Estimate:
    """Return ``b`` minus ``a``, assuming independence; ``n`` is the smaller one.

    The interval is MOVER (Zou and Donner 2008; for shares, Newcombe's method 10), too wide for two
    runs of the same scenarios.
    """
    value = b.value - a.value
    low = value - float(np.hypot(b.value - b.low, a.high - a.value))
    high = value + float(np.hypot(b.high - b.value, a.value - a.low))
    return Estimate(value, low, high, min(a.n, b.n))
