import numpy as np
import pytest

from planet.tools import intervals


def test_interval_of_a_mean():
    values = np.random.default_rng(0).normal(5.0, 2.0, 400)
    low, high = intervals.of_mean(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * 2.0 / 20, rel=0.1)
    assert intervals.of_mean(values) == (low, high)


def test_interval_of_few_values():
    assert intervals.of_mean([3.0, 5.0]) == (3.0, 5.0)
    assert intervals.of_mean([4.0, 4.0]) == (4.0, 4.0)
