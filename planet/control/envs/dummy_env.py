"""An environment of noise, for tests and dry runs."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict


def make(size: tuple[int, int] | None) -> "DummyEnv":
    """Makes an environment that shows images, or four numbers if `size` is None."""
    return DummyEnv(state_size=0 if size else 4)


class DummyEnv(gymnasium.Env):
    """Shows random images [64, 64, 3], pays random rewards in [0, 1), never ends.

    Args:
      action_size: Number of action entries, each in [-1, 1].
      state_size: Show `state`, that many random numbers in [0, 1), instead of images.
    """

    def __init__(self, action_size: int = 2, state_size: int = 0):
        if state_size:
            self.observation_space = Dict(state=Box(0, 1, [state_size], np.float32))
        else:
            self.observation_space = Dict(image=Box(0, 255, (64, 64, 3), np.uint8))
        self.action_space = Box(-1, 1, [action_size], np.float32)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        """Starts an episode; a seed determines all that follows."""
        super().reset(seed=seed)
        return self._observation(), {}

    def step(self, action: np.ndarray) -> tuple:
        """Ignores the action [A], except that it has to be a valid one.

        Raises:
          ValueError: It has the wrong size or leaves [-1, 1].
        """
        if not self.action_space.contains(np.asarray(action, np.float32)):
            raise ValueError(f"action {action} is not in {self.action_space}")
        return self._observation(), self.np_random.uniform(), False, False, {}

    def _observation(self):
        if "state" in self.observation_space.spaces:
            size = self.observation_space["state"].shape
            return {"state": self.np_random.random(size, np.float32)}
        return {"image": self.np_random.integers(0, 256, (64, 64, 3), np.uint8)}
