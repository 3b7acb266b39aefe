"""A small environment whose every number is known, and ways for it to go wrong."""

import os
import sys
import time

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict


class CountingEnv(gymnasium.Env):
    """Observes the number of steps so far; rewards that plus a tenth of the action."""

    def __init__(self, length=5, action_size=1, seconds=0.0):
        self.observation_space = Dict(
            image=Box(0, 255, (64, 64, 3), np.uint8),
            position=Box(-np.inf, np.inf, (1,), np.float64),
        )
        self.action_space = Box(-1, 1, [action_size], np.float64)
        self._length = length
        self._seconds = seconds
        self._steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._steps = 0
        return self._observation(), {"options": options}

    def step(self, action):
        time.sleep(self._seconds)
        self._steps += 1
        reward = self._steps + action[0] / 10
        terminated = self._steps >= self._length
        return self._observation(), reward, terminated, False, {}

    def _observation(self):
        return {
            "image": np.full((64, 64, 3), self._steps, np.uint8),
            "position": np.array([self._steps], np.float64),
        }


class Failing(gymnasium.Wrapper):
    """Raises in its constructor, `reset` or `step`."""

    def __init__(self, env, where):
        super().__init__(env)
        self._where = where
        self._fail("constructor")

    def reset(self, **kwargs):
        self._fail("reset")
        return self.env.reset(**kwargs)

    def step(self, action):
        self._fail("step")
        return self.env.step(action)

    def _fail(self, place):
        if place == self._where:
            raise ZeroDivisionError(f"broken {place}")


class Dying(gymnasium.Wrapper):
    """Takes its process down with it."""

    def step(self, action):
        os._exit(7)


class Telling(gymnasium.Wrapper):
    """Adds to `info` what its process is and which modules it has imported."""

    def step(self, action):
        *results, info = self.env.step(action)
        process = {"pid": os.getpid(), "modules": sorted(sys.modules)}
        return *results, {**info, **process}


def failing(where):
    return Failing(CountingEnv(), where)


def dying():
    return Dying(CountingEnv())


def telling(env_ctor):
    return Telling(env_ctor())
