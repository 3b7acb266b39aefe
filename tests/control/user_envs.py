"""Constructors as a user could write them, good ones and bad ones."""

import os

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.spaces import Box
from gymnasium.wrappers import TimeLimit


class Walk(gymnasium.Env):
    """Moves along a line, rewarded for being near its middle; draws itself."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 (as gymnasium wants it)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode
        self.observation_space = Box(-10, 10, [1], np.float64)
        self.action_space = Box(-2, 2, [1], np.float64)
        self._position = np.zeros(1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._position = self.np_random.uniform(-1, 1, [1])
        return self._position.copy(), {}

    def step(self, action):
        self._position = np.clip(self._position + action, -10, 10)
        reward = -abs(self._position.item())
        return self._position.copy(), reward, reward < -5, False, {}

    def render(self):
        picture = np.zeros((30, 21, 3), np.uint8)
        picture[:, round(self._position.item()) + 10] = 255
        return picture


def drawn():
    return Walk("rgb_array")


def without_pixels():
    return Walk()


def limited():
    return TimeLimit(Walk("rgb_array"), 20)


class Different(Walk):
    """A walk with other spaces."""

    def __init__(self, observation_space=None, action_space=None):
        super().__init__("rgb_array")
        self.observation_space = observation_space or self.observation_space
        self.action_space = action_space or self.action_space

    def reset(self, *, seed=None, options=None):
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}


def textual():
    return Different(spaces.Dict(mission=spaces.Text(5), position=Box(-10, 10)))


def with_a_value():
    return Different(spaces.Dict(value=Box(-1, 1, [1]), position=Box(-10, 10, [1])))


def many_choices():
    return Different(action_space=spaces.MultiDiscrete([2, 3]))


def many_flags():
    return Different(action_space=spaces.MultiBinary(3))


def raising(**_):
    raise ZeroDivisionError("broken\nconstructor")


def raising_on_reset():
    env = Walk("rgb_array")
    env.reset = raising
    return env


def dying():
    os._exit(3)


def leaving():
    raise SystemExit("at once")


def something_else():
    return "no environment"


def needs_an_argument(length):
    return TimeLimit(Walk(), length)


def raising_on_step():
    def step(_):
        raise ValueError("broken step")

    env = Walk("rgb_array")
    env.step = step
    return env
