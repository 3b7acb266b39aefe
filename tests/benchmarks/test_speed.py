"""What is timed, at sizes that take no time."""

import math

import pytest

from benchmarks import speed
from planet.scripts import configs


@pytest.mark.parametrize(
    "name",
    [
        "cpu",  # With a policy and a value.
        *(
            pytest.param(x, marks=pytest.mark.slow)
            for x in configs.CONFIGS
            if x != "cpu"
        ),
    ],
)
def test_each_config_can_be_updated(name):
    sizes = {"dumbnet": True, "model_size": 10, "batch_shape": [2, 3]}
    run, flop = speed.update(name, "float32", **sizes)
    assert math.isfinite(run(0))
    assert flop > 0
