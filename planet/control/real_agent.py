"""An agent that plans in copies of the true environment: the upper bound of a planner.

It imports no TensorFlow, and sees nothing: the environments try its plans themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from planet.control import real_planning


class RealAgent:
    """Model-predictive control with a perfect model, for a batch of environments.

    It acts like `mpc_agent.MPCAgent`.

    Args:
      rewards: true rewards [B, N, H] of candidates [B, N, H, A], from the current state
        of each environment; see `batch_env.BatchEnv.rewards`.
      planner: like `real_planning.cross_entropy_method`, with all arguments bound
        except `rewards`, `start` and `random`.
      explore: randomises actions [B, A] by an amount, its second argument, with numbers
        from its third; see `add_noise` and `epsilon_greedy`.
      horizon: steps to plan, H.
      num_envs: number of environments, B.
      action_size: size of an action, A.
      warm_start: start each search from the previous plan, shifted by one step.
    """

    def __init__(
        self,
        rewards: real_planning.Rewards,
        planner: Callable[..., real_planning.Plan],
        explore: Callable[[np.ndarray, float, np.random.Generator], np.ndarray],
        horizon: int,
        num_envs: int,
        action_size: int,
        warm_start: bool = False,
    ):
        self._rewards = rewards
        self._planner = planner
        self._explore = explore
        self._shape = (num_envs, horizon, action_size)
        self._warm_start = warm_start
        self.reset()

    @property
    def plan_returns(self) -> np.ndarray:
        """Returns of the candidates of the last decision, [iterations, B, amount]."""
        return self._plan.returns

    def reset(self) -> None:
        """Forgets the last plan, for a new episode."""
        self._plan: Any = None  # The real_planning.Plan of the last decision.

    def act(
        self, observation: Mapping[str, np.ndarray], exploration: float, seed
    ) -> np.ndarray:
        """Decides on the next action of every environment.

        Args:
          observation: ignored.
          exploration: amount of exploration, see `explore`.
          seed: integers, at least 0, that determine all random choices.

        Returns:
          Actions float32 [B, A].
        """
        del observation
        random = np.random.default_rng(seed)
        start = np.zeros(self._shape, np.float32)
        if self._warm_start and self._plan:
            start = real_planning.shift(self._plan.belief)
        self._plan = self._planner(self._rewards, start=start, random=random)
        return self._explore(self._plan.action, exploration, random)


def add_noise(
    action: np.ndarray, stddev: float, random: np.random.Generator
) -> np.ndarray:
    """Adds Gaussian noise to actions [B, A] and clips them to [-1, 1]."""
    noise = random.standard_normal(action.shape, np.float32)
    return np.clip(action + np.float32(stddev) * noise, -1, 1)


def epsilon_greedy(
    action: np.ndarray, epsilon: float, random: np.random.Generator
) -> np.ndarray:
    """Replaces each one-hot action [B, A] by a random one with probability epsilon."""
    batch, size = action.shape
    anything = np.eye(size, dtype=action.dtype)[random.integers(size, size=batch)]
    explores = random.random([batch, 1]) < epsilon
    return np.where(explores, anything, action)
