"""Wrappers that change what is observed."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

_NARROW = {np.dtype(np.float64): np.float32, np.dtype(np.int64): np.int32}


class RenderImage(gymnasium.ObservationWrapper):
    """Adds to an observation the `image` that the environment renders.

    Args:
      env: The environment; its observations are dicts.
      size: Height and width of what it renders.
    """

    def __init__(self, env: gymnasium.Env, size: tuple[int, int]):
        super().__init__(env)
        image = Box(0, 255, (*size, 3), np.uint8)
        self.observation_space = Dict({**env.observation_space, "image": image})

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """Adds `image`, uint8 [height, width, 3]."""
        return {**observation, "image": self.env.render()}


class ConvertTo32Bit(gymnasium.Wrapper):
    """Narrows 64-bit numbers to 32 bits; refuses those that are not finite."""

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        spaces = env.observation_space.items()
        self.observation_space = Dict({name: _narrow_box(box) for name, box in spaces})
        self.action_space = _narrow_box(env.action_space)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        """Returns the observation in 32 bits.

        Raises:
          ValueError: An entry is infinite or not a number.
        """
        observation, info = self.env.reset(seed=seed, options=options)
        return _narrow_entries(observation), info

    def step(self, action: np.ndarray) -> tuple:
        """Returns observation and reward in 32 bits.

        Raises:
          ValueError: The reward or an entry is infinite or not a number.
        """
        observation, reward, *ends, info = self.env.step(action)
        reward = _narrow("reward", np.float64(reward))
        return _narrow_entries(observation), reward, *ends, info


def _narrow_entries(observation):
    return {name: _narrow(name, value) for name, value in observation.items()}


def _narrow(name, value):
    if not np.isfinite(value).all():
        raise ValueError(f"{name} is not finite: {value}")
    return value.astype(_NARROW.get(value.dtype, value.dtype))


def _narrow_box(box):
    dtype = _NARROW.get(box.dtype, box.dtype)
    return Box(box.low.astype(dtype), box.high.astype(dtype), dtype=dtype)
