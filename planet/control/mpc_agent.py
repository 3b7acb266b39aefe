"""The agent: filters what it sees into a latent state, and plans from there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from planet.control import planning
from planet.tools import devices, noise

# What an agent goes on from: the `state` that it believes in, entries [B, ...]; the
# last `action` [B, A]; and the `plan` that a warm start begins with.
Memory = dict[str, Any]


class MPCAgent:
    """Model-predictive control in latent space, for a batch of environments.

    Source: Hafner et al. 2019, algorithm 1, lines 10-15.

    Args:
      cell: latent transition model.
      embed: turns observations, entries [B, ...], into vectors [B, E].
      objective_fn: rewards [B, N, H] of imagined states, entries [B, N, H, ...].
      planner: like `planning.cross_entropy_method`, with all arguments bound except
        `cell`, `objective_fn`, `state`, `action_shape`, `horizon` and `warm_start`.
      explore: randomises actions [B, A] by an amount, its second argument; see
        `add_noise` and `epsilon_greedy`.
      horizon: steps to plan, H.
      num_envs: number of environments, B.
      action_size: size of an action, A.
      warm_start: start each search from the previous plan, shifted by one step.
      jit: whether XLA compiles decisions, see `devices.function`.
      blank: what the warm start of an episode's first search is made from, if that is
        not a belief of zeros [B, H, A]; see `planning.remembers`.

    Attributes:
      memory: what the agent goes on from.
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
        jit: str = "never",
        blank: Any = None,
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
        if blank is None:
            blank = tf.zeros([num_envs, horizon, action_size])
        self._blank = blank
        self._decision = devices.function(self.decide, jit)
        self._filtering = devices.function(self.filter, jit)
        self.reset()

    @property
    def plan_returns(self) -> np.ndarray:
        """Imagined returns of the last decision, see `planning.Plan`."""
        return self._plan.returns.numpy()

    def reset(self) -> None:
        """Clears the memory, for a new episode."""
        self._plan: Any = None  # The planning.Plan of the last decision.
        self.memory = self.blank_memory()

    def blank_memory(self) -> Memory:
        """The memory before the first step of an episode."""
        return {
            "state": self._cell.zero_state(self._num_envs),
            "action": tf.zeros([self._num_envs, self._action_size]),
            "plan": self._blank,
        }

    def act(
        self, observation: Mapping[str, np.ndarray], exploration: float, seed
    ) -> np.ndarray:
        """Decides on the next action of every environment.

        Args:
          observation: entries [B, ...].
          exploration: amount of exploration, see `explore`.
          seed: integers [2] that determine all random choices.

        Returns:
          Actions float32 [B, A].
        """
        self.memory, self._plan = self._decision(
            tf.nest.map_structure(tf.convert_to_tensor, dict(observation)),
            self.memory,
            tf.constant(exploration, tf.float32),
            tf.convert_to_tensor(seed),
        )
        return self.memory["action"].numpy()

    def observe(self, observation: Mapping[str, np.ndarray], seed) -> None:
        """Takes note of what the last action led to, without deciding anything.

        Args:
          observation: entries [B, ...].
          seed: integers [2] that determine all random choices.
        """
        self.memory = self._filtering(
            tf.nest.map_structure(tf.convert_to_tensor, dict(observation)),
            self.memory,
            tf.convert_to_tensor(seed),
        )

    def decide(
        self,
        observation: Mapping[str, tf.Tensor],
        memory: Memory,
        exploration: tf.Tensor,
        seed: tf.Tensor,
    ) -> tuple[Memory, planning.Plan]:
        """The next memory, and the plan that its action comes from; see `act`."""
        with noise.stream(seed):
            memory = self._see(observation, memory)
            plan = self._planner(
                self._cell,
                self._objective_fn,
                memory["state"],
                action_shape=(self._action_size,),
                horizon=self._horizon,
                warm_start=memory["plan"] if self._warm_start else None,
            )
            action = self._explore(plan.action, exploration)
        found = plan.belief if plan.memory is None else plan.memory
        kept = found if self._warm_start else memory["plan"]
        return {"state": memory["state"], "action": action, "plan": kept}, plan

    def filter(
        self, observation: Mapping[str, tf.Tensor], memory: Memory, seed: tf.Tensor
    ) -> Memory:
        """The memory after a step in which nothing is decided; see `observe`."""
        with noise.stream(seed):
            return self._see(observation, memory)

    def _see(self, observation, memory: Memory) -> Memory:
        """The memory with the state of this step, and the plan from here on."""
        embedded = self._embed(observation)
        state = self._cell.posterior(memory["state"], memory["action"], embedded)
        plan = planning.shift(memory["plan"]) if self._warm_start else memory["plan"]
        return {"state": state, "action": memory["action"], "plan": plan}


def add_noise(action: tf.Tensor, stddev: tf.Tensor) -> tf.Tensor:
    """Adds Gaussian noise to actions [B, A] and clips them to [-1, 1]."""
    action += stddev * noise.normal(tf.shape(action))
    return tf.clip_by_value(action, -1.0, 1.0)


def epsilon_greedy(action: tf.Tensor, epsilon: tf.Tensor) -> tf.Tensor:
    """Replaces each one-hot action [B, A] by a random one with probability epsilon."""
    size = action.shape[-1]
    anything = noise.categorical(tf.zeros_like(action), 1)[:, 0]
    explores = noise.uniform(tf.shape(action)[:1]) < epsilon
    return tf.where(explores[:, None], tf.one_hot(anything, size), action)
