"""Wrappers that change what an action is.

Once wrapped, an environment takes vectors of real numbers, or one-hot vectors that
stand for one of several choices.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from planet.control.errors import UnusableEnvError


class OneHot(Box):
    """Vectors float32 [size] with a 1 in one place and 0 in the others."""

    def __init__(self, size: int):
        super().__init__(0, 1, [size], np.float32)

    def sample(self, mask: None = None, probability: None = None) -> np.ndarray:
        """Draws one of the vectors, all with the same probability."""
        vector = np.zeros(self.shape, self.dtype)
        vector[self.np_random.integers(len(vector))] = 1
        return vector

    def contains(self, x: Any) -> bool:
        """Tells whether `x` is one of the vectors."""
        x = np.asarray(x)
        return x.shape == self.shape and x.max() == 1 and np.count_nonzero(x) == 1

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, OneHot) and self.shape == other.shape

    def __repr__(self) -> str:
        return f"OneHot({self.shape[0]})"


class ActionRepeat(gymnasium.Wrapper):
    """Applies each action `amount` times, or until the episode ends."""

    def __init__(self, env: gymnasium.Env, amount: int):
        super().__init__(env)
        self._amount = amount

    def step(self, action: np.ndarray) -> tuple:
        """Returns the results of the last step, with the sum of the rewards."""
        total = 0.0
        for _ in range(self._amount):
            observation, reward, terminated, truncated, info = self.env.step(action)
            total += reward
            if terminated or truncated:
                break
        return observation, total, terminated, truncated, info


class NormalizeActions(gymnasium.ActionWrapper):
    """Takes vectors in [-1, 1] where the actions of the environment have finite bounds.

    Raises:
      UnusableEnvError: Its actions are not real numbers.
    """

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        space = env.action_space
        if not isinstance(space, Box) or not np.issubdtype(space.dtype, np.floating):
            raise UnusableEnvError(
                f"its actions are {space}, but must be real numbers (Box) or one of a "
                "number of choices (Discrete)"
            )
        bounds = np.stack([space.low.ravel(), space.high.ravel()])
        unit = np.broadcast_to([[-1], [1]], bounds.shape).astype(bounds.dtype)
        bounded = np.isfinite(bounds).all(0)
        self._low, self._high = np.where(bounded, bounds, unit)
        self.action_space = Box(*np.where(bounded, unit, bounds), dtype=bounds.dtype)

    def action(self, action: np.ndarray) -> np.ndarray:
        """Maps entries [A] from [-1, 1] to the bounds of the environment."""
        action = self._low + (action + 1) / 2 * (self._high - self._low)
        return action.reshape(self.env.action_space.shape)


class DiscretizeActions(gymnasium.ActionWrapper):
    """Takes the index of a value in a list, and sets every action entry to it."""

    def __init__(self, env: gymnasium.Env, values: Sequence[float]):
        super().__init__(env)
        self._values = values
        self.action_space = Discrete(len(values))

    def action(self, action: int) -> np.ndarray:
        """Returns the entries [A] that a choice stands for."""
        space = self.env.action_space
        return np.full(space.shape, self._values[action], space.dtype)


class OneHotActions(gymnasium.ActionWrapper):
    """Takes one-hot vectors where the environment takes the index of a choice."""

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        self.action_space = OneHot(int(env.action_space.n))

    def action(self, action: np.ndarray) -> int:
        """Returns the index of the choice that a vector [A] stands for.

        Raises:
          ValueError: The vector is not one-hot.
        """
        _require_one_hot(action, self.action_space)
        return int(self.env.action_space.start + np.argmax(action))


class PadActions(gymnasium.ActionWrapper):
    """Takes actions of `width` entries, of which the environment gets the first ones.

    One-hot vectors stay one-hot: a choice that the environment lacks becomes its first
    one, which in Atari games is to do nothing.
    """

    def __init__(self, env: gymnasium.Env, width: int):
        super().__init__(env)
        (self._size,) = env.action_space.shape
        self._discrete = isinstance(env.action_space, OneHot)
        box = Box(-1, 1, [width], env.action_space.dtype)
        self.action_space = OneHot(width) if self._discrete else box

    def action(self, action: np.ndarray) -> np.ndarray:
        """Cuts entries [width] down to those of the environment [A].

        Raises:
          ValueError: The vector should be one-hot and is not.
        """
        if self._discrete:
            _require_one_hot(action, self.action_space)
            if not action[: self._size].any():
                return np.eye(1, self._size, dtype=action.dtype)[0]
        return action[: self._size]


def _require_one_hot(action, space):
    if not space.contains(action):
        raise ValueError(f"action {action} is not in {space}: it must be one-hot")
