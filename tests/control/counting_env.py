"""A small environment whose every number is known, and ways for it to go wrong."""

import ctypes
import os
import signal
import sys
import threading
import time

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

from planet.control.wrappers import recording
from planet.control.wrappers.observations import ConvertTo32Bit


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


class Hanging(gymnasium.Wrapper):
    """Never ends a step: it sleeps, or computes."""

    def __init__(self, env, busily):
        super().__init__(env)
        self._busily = busily

    def step(self, action):
        while True:
            if not self._busily:
                time.sleep(60)


class StoppingMidway(gymnasium.Wrapper):
    """Stops its process while the answer, too long for a pipe, is being sent."""

    def step(self, action):
        *results, info = self.env.step(action)
        threading.Timer(0.3, stop).start()
        return *results, {**info, "much": bytes(10**7)}


class FailingOnce(gymnasium.Wrapper):
    """Does a thing in the second step, unless a file says that it was done before."""

    def __init__(self, env, action, done):
        super().__init__(env)
        self._action = action
        self._done = done

    def step(self, action):
        result = self.env.step(action)
        if result[0]["position"][0] == 2 and not self._done.exists():
            self._done.touch()
            self._action()
        return result


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


def stopping_midway():
    return StoppingMidway(CountingEnv())


def hanging(busily=False):
    return Telling(Hanging(CountingEnv(), busily))


def raise_error():
    raise ZeroDivisionError("broken step")


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def stop():
    os.kill(os.getpid(), signal.SIGSTOP)


def crash():
    ctypes.string_at(0)


def failing_once(action, done, length=3):
    """Records, and fails in the second step of its life."""
    env = FailingOnce(CountingEnv(length), action, done)
    return recording.Record(ConvertTo32Bit(env))


def telling(env_ctor):
    return Telling(env_ctor())
