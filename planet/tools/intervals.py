"""Intervals of confidence."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


def of_mean(values: Sequence[float]) -> tuple[float, float]:
    """Lower and upper limit of the mean of at least two values, by the bootstrap."""
    found = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)
