"""The agent: filters what it sees into a latent state, and plans from there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from planet.control import planning
from planet.tools import noise


class MPCAgent:
    """Model-predictive control in latent space, for a batch of environments.

    Source: Hafner et al. 2019, algorithm 1, lines 10-15.

    Args:
      cell: latent transition model.
      embed: vectors [B, E] from what the environments show, entries [B, ...].
      objective_fn: rewards [B, N, H] of imagined states, entries [B, N, H, ...].
      planner: like `planning.cross_entropy_method`, with its settings bound but for
        `cell`, `objective_fn`, `state`, `action_shape`, `horizon` and `warm_start`.
      explore: replaces or perturbs actions [B, A] at random, more so the larger its
        second argument is; see `add_noise` and `epsilon_greedy`.
      horizon: steps to plan, H.
      num_envs: number of environments, B.
      action_size: size of an action, A.
      warm_start: begin each search where the last one ended, one step later.
    """

    def __init__(
        self,
        cell,
        embed: Callable[[Mapping[str, tf.Tensor]], tf.Tensor],
        objective_fn: Callable[[dict[str, tf.Tensor]], tf.Tensor],
        planner: Callable[..., planning.Plan],
        explore: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
        horizon: int,
        num_envs: int,
        action_size: int,
        warm_start: bool = False,
    ):
        self._cell = cell
        self._embed = embed
        self._objective_fn = objective_fn
        self._planner = planner
        self._explore = explore
        self._horizon = horizon
        self._num_envs = num_envs
        self._action_size = action_size
        self._warm_start = warm_start
        self._compiled = tf.function(self._decide)
        self.reset()

    @property
    def plan_returns(self) -> np.ndarray:
        """Imagined returns behind the last decision, [iterations, B, amount]."""
        return self._plan.returns.numpy()

    def reset(self) -> None:
        """Forgets everything, at the beginning of an episode."""
        self._plan: Any = None  # Afterwards, the planning.Plan of each decision.
        self._memory = {
            "state": self._cell.zero_state(self._num_envs),
            "action": tf.zeros([self._num_envs, self._action_size]),
            "plan": tf.zeros([self._num_envs, self._horizon, self._action_size]),
        }

    def act(
        self, observation: Mapping[str, np.ndarray], exploration: float, seed
    ) -> np.ndarray:
        """Decides on the next action of every environment.

        Args:
          observation: what the environments show, entries [B, ...].
          exploration: scale of the randomness added to the actions, see `explore`.
          seed: integers [2] that determine all random choices.

        Returns:
          Actions float32 [B, A].
        """
        self._memory, self._plan = self._compiled(
            tf.nest.map_structure(tf.convert_to_tensor, dict(observation)),
            self._memory,
            tf.constant(exploration, tf.float32),
            tf.convert_to_tensor(seed),
        )
        return self._memory["action"].numpy()

    def _decide(self, observation, memory, exploration, seed):
        """Next memory, and the plan behind its action."""
        with noise.stream(seed):
            embedded = self._embed(observation)
            state = self._cell.posterior(memory["state"], memory["action"], embedded)
            start = planning.shift(memory["plan"]) if self._warm_start else None
            plan = self._planner(
                self._cell,
                self._objective_fn,
                state,
                action_shape=(self._action_size,),
                horizon=self._horizon,
                warm_start=start,
            )
            action = self._explore(plan.action, exploration)
        return {"state": state, "action": action, "plan": plan.belief}, plan


def add_noise(action: tf.Tensor, stddev: tf.Tensor) -> tf.Tensor:
    """Actions [B, A] with Gaussian noise of that scale, clipped to [-1, 1]."""
    action += stddev * noise.normal(tf.shape(action))
    return tf.clip_by_value(action, -1.0, 1.0)


def epsilon_greedy(action: tf.Tensor, epsilon: tf.Tensor) -> tf.Tensor:
    """One-hot actions [B, A], each replaced by any one with that probability."""
    size = action.shape[-1]
    anything = noise.categorical(tf.zeros_like(action), 1)[:, 0]
    explores = noise.uniform(tf.shape(action)[:1]) < epsilon
    return tf.where(explores[:, None], tf.one_hot(anything, size), action)
