"""Wrappers that change what an action is."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box


class ActionRepeat(gymnasium.Wrapper):
    """Applies each action `amount` times, or until the episode ends."""

    def __init__(self, env: gymnasium.Env, amount: int):
        super().__init__(env)
        self._amount = amount

    def step(self, action: np.ndarray) -> tuple:
        """Returns what the last step does, with the sum of the rewards."""
        total = 0.0
        for _ in range(self._amount):
            observation, reward, terminated, truncated, info = self.env.step(action)
            total += reward
            if terminated or truncated:
                break
        return observation, total, terminated, truncated, info


class NormalizeActions(gymnasium.ActionWrapper):
    """Takes actions in [-1, 1] where those of the environment have finite bounds."""

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        bounds = np.stack([env.action_space.low, env.action_space.high])
        unit = np.broadcast_to([[-1], [1]], bounds.shape).astype(bounds.dtype)
        bounded = np.isfinite(bounds).all(0)
        self._low, self._high = np.where(bounded, bounds, unit)
        self.action_space = Box(*np.where(bounded, unit, bounds), dtype=bounds.dtype)

    def action(self, action: np.ndarray) -> np.ndarray:
        """Maps entries [A] from [-1, 1] to the bounds of the environment."""
        return self._low + (action + 1) / 2 * (self._high - self._low)


class PadActions(gymnasium.ActionWrapper):
    """Takes actions as wide as `width`, of which only the first entries count."""

    def __init__(self, env: gymnasium.Env, width: int):
        super().__init__(env)
        (self._size,) = env.action_space.shape
        self.action_space = Box(-1, 1, [width], env.action_space.dtype)

    def action(self, action: np.ndarray) -> np.ndarray:
        """Cuts entries [width] down to those of the environment [A]."""
        return action[: self._size]
