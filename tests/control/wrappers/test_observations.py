import warnings

import numpy as np
import pytest
from gymnasium.spaces import Box
from gymnasium.utils.env_checker import check_env

from planet.control.wrappers import observations
from tests.control.counting_env import CountingEnv


def test_numbers_become_32_bit():
    env = observations.ConvertTo32Bit(CountingEnv())
    assert env.action_space == Box(-1, 1, [1], np.float32)
    assert env.observation_space["position"].dtype == np.float32
    assert env.observation_space["image"].dtype == np.uint8
    observation, _ = env.reset()
    assert observation in env.observation_space
    observation, reward, *_ = env.step(np.zeros(1, np.float32))
    assert observation in env.observation_space
    assert isinstance(reward, np.float32)
    assert reward == 1


def test_conversion_passes_the_environment_checker():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Positions have no bounds.
        check_env(observations.ConvertTo32Bit(CountingEnv()), skip_render_check=True)


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_numbers_that_are_not_finite_are_refused(value):
    env = observations.ConvertTo32Bit(CountingEnv())
    env.reset()
    with pytest.raises(ValueError, match=f"reward is not finite: {value}"):
        env.step(np.array([value]))
