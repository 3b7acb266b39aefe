import copy
import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control import PendulumEnv
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from gymnasium.utils.env_checker import check_env

from planet.control.errors import UnusableEnvError
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


def test_one_hot_samples_are_uniform_and_exactly_one_hot():
    space = actions.OneHot(5)
    space.seed(0)
    samples = np.stack([space.sample() for _ in range(5000)])
    assert samples.dtype == np.float32
    assert set(samples.ravel()) == {0, 1}
    assert (samples.sum(1) == 1).all()
    expected = 1000
    chi_square = ((samples.sum(0) - expected) ** 2 / expected).sum()
    assert chi_square < 18.5  # 0.999 quantile for 4 degrees of freedom.


def test_one_hot_samples_obey_the_seed():
    spaces = [actions.OneHot(9) for _ in range(2)]
    for space in spaces:
        space.seed(3)
    one, two = ([space.sample().argmax() for _ in range(20)] for space in spaces)
    assert one == two
    assert len(set(one)) > 3


@pytest.mark.parametrize(
    ("vector", "valid"),
    [
        ([0, 1, 0], True),
        (np.float32([1, 0, 0]), True),
        ([0, 0, 0], False),
        ([0, 1, 1], False),
        ([0, 0.5, 0.5], False),
        ([0, 0.999, 0], False),
        ([2, 0, 0], False),
        ([1, -1, 1], False),
        ([np.nan, 1, 0], False),
        ([0, 1], False),
        ([[0, 1, 0]], False),
        (1, False),
    ],
)
def test_one_hot_contains_one_hot_vectors_only(vector, valid):
    assert (vector in actions.OneHot(3)) == valid


def test_one_hot_is_equal_to_its_copies_only():
    space = actions.OneHot(3)
    assert space == pickle.loads(pickle.dumps(space)) == copy.deepcopy(space)
    assert space != actions.OneHot(4)
    assert space != Box(0, 1, [3], np.float32)
    assert repr(space) == "OneHot(3)"


class Choosing(gymnasium.Env):
    """Rewards a choice with its index."""

    observation_space = Box(0, 1, [1], np.float32)

    def __init__(self, size=3, start=0):
        self.action_space = Discrete(size, start=start)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        assert action in self.action_space
        return np.zeros(1, np.float32), float(action), False, False, {}


@pytest.mark.parametrize("start", [0, 7])
def test_one_hot_vectors_stand_for_choices(start):
    env = actions.OneHotActions(Choosing(3, start))
    assert env.action_space == actions.OneHot(3)
    env.reset()
    rewards = [env.step(action)[1] for action in np.eye(3)]
    assert rewards == [start, start + 1, start + 2]


@pytest.mark.parametrize("action", [[0, 0, 0], [1, 1, 0], [0.9, 0, 0.1], [1, 0]])
def test_other_vectors_are_refused(action):
    for env in (
        actions.OneHotActions(Choosing(3)),
        actions.PadActions(actions.OneHotActions(Choosing(2)), 3),
    ):
        env.reset()
        with pytest.raises(ValueError, match=r"is not in OneHot\(3\)"):
            env.step(np.array(action))


def test_padded_choices_beyond_the_own_ones_are_the_first():
    env = actions.PadActions(actions.OneHotActions(Choosing(3)), 5)
    assert env.action_space == actions.OneHot(5)
    env.reset()
    assert [env.step(action)[1] for action in np.eye(5)] == [0, 1, 2, 0, 0]


def test_choices_stand_for_values():
    values = (-1, -0.25, 0, 0.25, 1)
    env = actions.DiscretizeActions(CountingEnv(), values)
    assert env.action_space == Discrete(5)
    chosen = [env.action(choice) for choice in range(5)]
    np.testing.assert_allclose(chosen, np.array(values)[:, None])
    assert chosen[0].dtype == np.float64
    env.reset()
    assert env.step(1)[1] == pytest.approx(1 - 0.025)


def test_environment_checker_is_content_with_choices():
    check_env(actions.OneHotActions(Choosing(3, 7)), skip_render_check=True)


def test_actions_of_other_shapes_become_vectors():
    inner = CountingEnv()
    inner.action_space = Box(-2, 2, (2, 3), np.float32)
    env = actions.NormalizeActions(inner)
    assert env.action_space == Box(-1, 1, [6], np.float32)
    np.testing.assert_allclose(
        env.action(np.linspace(-1, 1, 6)), np.linspace(-2, 2, 6).reshape(2, 3)
    )


@pytest.mark.parametrize(
    "space", [MultiDiscrete([2, 3]), MultiBinary(4), Box(0, 9, [2], np.int64)]
)
def test_actions_that_are_neither_numbers_nor_a_choice_are_refused(space):
    inner = CountingEnv()
    inner.action_space = space
    with pytest.raises(UnusableEnvError, match="its actions are ") as caught:
        actions.NormalizeActions(inner)
    assert str(space) in str(caught.value)
