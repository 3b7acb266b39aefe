"""The agent: filters what it sees into a latent state, and plans from there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from planet.control import planning
from planet.tools import noise, preprocess


class MPCAgent:
    """Model-predictive control in latent space, for a batch of environments.

    Source: Hafner et al. 2019, algorithm 1, lines 10-15.

    Args:
      cell: latent transition model.
      encoder: embeds preprocessed images [B, H, W, C] as vectors [B, E].
      objective_fn: rewards [N, H] of imagined states, entries [N, H, ...].
      planner: like `planning.cross_entropy_method`, with its settings bound but for
        `cell`, `objective_fn`, `state`, `action_shape`, `horizon` and `warm_start`.
      horizon: steps to plan.
      num_envs: number of environments, B.
      action_size: size of an action, A.
      image_bits: colour depth of the model's images.
      warm_start: begin each search where the last one ended, one step later.
    """

    def __init__(
        self,
        cell,
        encoder,
        objective_fn: Callable,
        planner: Callable[..., planning.Plan],
        horizon: int,
        num_envs: int,
        action_size: int,
        image_bits: int,
        warm_start: bool = False,
    ):
        self._cell = cell
        self._encoder = encoder
        self._objective_fn = objective_fn
        self._planner = planner
        self._horizon = horizon
        self._num_envs = num_envs
        self._action_size = action_size
        self._image_bits = image_bits
        self._warm_start = warm_start
        self._compiled = tf.function(self._decide)
        self.reset()

    def reset(self) -> None:
        """Forgets everything, at the beginning of an episode."""
        self._memory = {
            "state": self._cell.zero_state(self._num_envs),
            "action": tf.zeros([self._num_envs, self._action_size]),
            "mean": tf.zeros([self._num_envs, self._horizon, self._action_size]),
        }

    def act(
        self, observation: dict[str, np.ndarray], exploration: float, seed
    ) -> np.ndarray:
        """Decides on the next action of every environment.

        Args:
          observation: `image` uint8 [B, H, W, C]; other entries are not looked at.
          exploration: standard deviation of the noise added to the actions.
          seed: integers [2] that determine all random choices.

        Returns:
          Actions float32 [B, A] in [-1, 1].
        """
        self._memory, _ = self._compiled(
            tf.convert_to_tensor(observation["image"]),
            self._memory,
            tf.constant(exploration, tf.float32),
            tf.convert_to_tensor(seed),
        )
        return self._memory["action"].numpy()

    def _decide(self, image, memory, exploration, seed):
        """Next memory, and the plan behind its action."""
        with noise.stream(seed):
            embedded = self._encoder(preprocess.preprocess(image, self._image_bits))
            state = self._cell.posterior(memory["state"], memory["action"], embedded)
            plan = self._planner(
                self._cell,
                self._objective_fn,
                state,
                action_shape=(self._action_size,),
                horizon=self._horizon,
                warm_start=planning.shift(memory["mean"]) if self._warm_start else None,
            )
            action = plan.action + exploration * noise.normal(tf.shape(plan.action))
        action = tf.clip_by_value(action, -1.0, 1.0)
        return {"state": state, "action": action, "mean": plan.mean}, plan
