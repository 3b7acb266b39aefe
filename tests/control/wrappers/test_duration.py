import gymnasium
import numpy as np
from gymnasium.wrappers import TimeLimit

from planet.control.wrappers.duration import MinimumDuration
from tests.control.counting_env import CountingEnv


class EndsOnce(gymnasium.Wrapper):
    """Fails if it is stepped after its end."""

    def __init__(self, env):
        super().__init__(env)
        self.ended = True

    def reset(self, **kwargs):
        self.ended = False
        return self.env.reset(**kwargs)

    def step(self, action):
        assert not self.ended
        *results, terminated, truncated, info = self.env.step(action)
        self.ended = terminated or truncated
        return *results, terminated, truncated, info


def play(env):
    env.reset()
    positions, rewards, ends = [], [], (False, False)
    while not any(ends):
        observation, reward, *ends, _ = env.step(np.zeros(1))
        positions.append(int(observation["position"][0]))
        rewards.append(reward)
    return positions, rewards, tuple(ends)


def test_last_observation_is_held_with_a_reward_of_zero():
    env = MinimumDuration(EndsOnce(CountingEnv(length=3)), 5)
    for _ in range(2):
        positions, rewards, ends = play(env)
        assert positions == [1, 2, 3, 3, 3]
        assert rewards == [1, 2, 3, 0, 0]
        assert ends == (True, False)


def test_longer_episodes_stay_as_they_are():
    for length, duration in [(3, 0), (3, 2), (3, 3)]:
        env = MinimumDuration(EndsOnce(CountingEnv(length)), duration)
        assert play(env) == ([1, 2, 3], [1, 2, 3], (True, False))


def test_truncation_is_put_off_too():
    env = MinimumDuration(EndsOnce(TimeLimit(CountingEnv(9), 2)), 4)
    assert play(env) == ([1, 2, 2, 2], [1, 2, 0, 0], (False, True))


def test_interrupted_episode_leaves_nothing_behind():
    env = MinimumDuration(EndsOnce(CountingEnv(length=2)), 4)
    env.reset()
    for _ in range(3):
        env.step(np.zeros(1))
    assert play(env)[0] == [1, 2, 2, 2]
