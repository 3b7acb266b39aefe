import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control import PendulumEnv
from gymnasium.spaces import Box

from planet.control.wrappers import actions
from tests.control.counting_env import CountingEnv


def test_repeat_sums_rewards_and_shows_the_last_observation():
    env = actions.ActionRepeat(CountingEnv(length=5), 3)
    env.reset()
    observation, reward, terminated, _, _ = env.step(np.array([0.5]))
    assert observation["position"] == 3
    assert reward == pytest.approx(1 + 2 + 3 + 3 * 0.05)
    assert not terminated


def test_repeat_stops_where_the_episode_ends():
    env = actions.ActionRepeat(CountingEnv(length=5), 3)
    env.reset()
    env.step(np.zeros(1))
    observation, reward, terminated, _, _ = env.step(np.zeros(1))
    assert observation["position"] == 5
    assert reward == 4 + 5
    assert terminated


def test_normalized_actions_reach_the_bounds():
    env = actions.NormalizeActions(PendulumEnv())
    assert env.action_space == Box(-1, 1, [1], np.float32)
    for normalized, torque in [(-1, -2), (0, 0), (0.5, 1), (1, 2)]:
        np.testing.assert_allclose(env.action(np.array([normalized])), [torque])


def test_normalizing_leaves_entries_without_bounds_alone():
    inner = CountingEnv()
    inner.action_space = Box(*np.float32([[0, -np.inf, 1], [10, np.inf, np.inf]]))
    env = actions.NormalizeActions(inner)
    np.testing.assert_array_equal(env.action_space.low, [-1, -np.inf, 1])
    np.testing.assert_array_equal(env.action_space.high, [1, np.inf, np.inf])
    np.testing.assert_allclose(env.action(np.array([0.0, 7, 7])), [5, 7, 7])


def test_padding_takes_wide_actions_and_hands_on_the_first_entries():
    class Checking(gymnasium.Wrapper):
        def step(self, action):
            np.testing.assert_array_equal(action, [0.1, 0.2])
            return self.env.step(action)

    env = actions.PadActions(Checking(CountingEnv(action_size=2)), 6)
    assert env.action_space == Box(-1, 1, [6], np.float64)
    env.reset()
    env.step(np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]))
