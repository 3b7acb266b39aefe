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


def drawn() -> Walk:
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

    def step(self, action):
        return self.observation_space.sample(), 0.0, False, False, {}


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


def needs_an_argument(length) -> gymnasium.Env:
    return TimeLimit(Walk(), length)


class Faithless(Walk):
    """A walk that returns something else from the step of that number on."""

    def __init__(self, broken, number=1):
        super().__init__("rgb_array")
        self._broken = broken
        self._number = number
        self._steps = 0

    def reset(self, *, seed=None, options=None):
        self._steps = 0
        return super().reset(seed=seed, options=options)

    def step(self, action):
        self._steps += 1
        results = super().step(action)
        return self._broken(*results) if self._steps >= self._number else results


def raise_error(*_):
    raise ValueError("broken step")


def raising_on_step():
    return Faithless(raise_error, 5)


def not_paid(position, reward, *others):
    return position, None, *others


def nowhere(position, *others):
    return position * np.nan, *others


def far_away(position, *others):
    return position + 30, *others


def in_integers(position, *others):
    return position.round().astype(int), *others


def in_two_dimensions(position, *others):
    return np.tile(position, 2), *others


def as_of_old(position, reward, terminated, truncated, info):
    return position, reward, terminated or truncated, info


def half_ended(position, reward, terminated, *others):
    return position, reward, None, *others


def without_information(*results):
    return *results[:-1], None


def as_good_as_promised(position, reward, *others):
    position = np.clip(position, -10, 10 * (1 + 1e-7)).astype(np.float32)
    return position, np.array([reward], np.float32), *others


def unpaid():
    return Faithless(not_paid)


def unpaid_in_the_end():
    return Faithless(not_paid, 7)


def lost_in_the_end():
    return Faithless(nowhere, 7)


def old():
    return Faithless(as_of_old)


class Unseeded(Walk):
    """A walk that lacks what gymnasium's `reset` takes."""

    def reset(self):
        return super().reset()


def unseeded():
    return TimeLimit(Unseeded("rgb_array"), 20)


class Fractions(Walk):
    """Promises bytes and shows fractions."""

    def __init__(self):
        super().__init__()
        self.observation_space = Box(0, 255, (8, 8, 3), np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.random((8, 8, 3)), {}


def images_in_fractions():
    return Fractions()


def with_a_length():
    return Different(spaces.Dict(length=Box(-1, 1, [1]), position=Box(-10, 10, [1])))


class Camera(Walk):
    """A walk that shows itself as a picture, under a name and in fractions."""

    def __init__(self, size=24, brightness=1.0, lidar=0):
        super().__init__()
        self._size = size
        self._brightness = brightness
        self._position = np.zeros(1)
        self.observation_space = spaces.Dict(
            eye=Box(0, 1, (3, size, size), np.float32),
            position=Box(-10, 10, [1], np.float64),
            **({"lidar": Box(0, 9, [lidar], np.float32)} if lidar else {}),
        )

    def reset(self, *, seed=None, options=None):
        _, info = super().reset(seed=seed)
        return self._look(), info

    def step(self, action):
        _, *results = super().step(action)
        return self._look(), *results

    def _look(self):
        eye = np.zeros((3, self._size, self._size), np.float32)
        eye[0, :, round((self._position.item() + 10) / 20 * (self._size - 1))] = 1
        eye *= self._brightness
        zeros = {name: np.zeros(x.shape) for name, x in self.observation_space.items()}
        return {**zeros, "eye": eye, "position": self._position.copy()}


def camera(**params) -> gymnasium.Env:
    """Walks before a camera, with parameters of its own."""
    return Camera(**params)


def long_walk(steps=5000) -> "TimeLimit":
    return TimeLimit(Walk("rgb_array"), steps)


def with_alpha():
    return Different(Box(0, 255, (9, 9, 4), np.uint8))


def many_channels():
    env = Different(Box(0, 1, (48, 48, 7), np.float32))
    env.render_mode = None
    return env
