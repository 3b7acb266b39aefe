"""Environments of tasks, as agents see them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np

from planet.control import batch_env
from planet.control.envs import opengl
from planet.control.envs.task import Task
from planet.scripts import configs, tasks

Observation = dict[str, np.ndarray]
# Nothing is learned, so episodes may be shorter than what is learned from at once.
ANY_LENGTH = {"batch_shape": [1, 1], "overshooting": 0}


def make_env(task: str, params: Mapping[str, Any] | None = None) -> Env:
    """Starts the environment of a task, in a process of its own.

    Args:
      task: its name, see `python -m planet.scripts.tasks`.
      params: settings, as for training; those of environments matter, for example
        {'action_repeat': 2, 'observations': 'state'}.

    Raises:
      ValueError: there is no such task, or setting.
    """
    config = configs.load("default", {**ANY_LENGTH, **(params or {}), "tasks": [task]})
    (found,) = tasks.load(config)
    return Env(found, config)


class Env:
    """One environment, with the wrappers that prepare it for an agent.

    Use it as a context manager, or call `close`.

    Args:
      task: what to do there.
      config: settings of environments.
      on_reset: called whenever an episode starts.

    Attributes:
      task: what is known of the task: its name, the length of an episode and so on.
    """

    def __init__(
        self, task: Task, config: Any, on_reset: Callable[[], None] = lambda: None
    ):
        if task.renders:
            opengl.require_isolation(config.isolate_envs)
        self.task = task
        self._on_reset = on_reset
        self._proxy = batch_env.make(
            task.env_ctor, config.isolate_envs, config.env_timeout
        )

    def __enter__(self) -> Env:
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    @property
    def observation_space(self) -> gymnasium.spaces.Dict:
        """Space of observations: `image`, uint8 [H, W, C], and diagnostics by name."""
        return self._proxy.observation_space

    @property
    def action_space(self) -> gymnasium.spaces.Box:
        """Space of actions [A], each entry from -1 to 1; choices are one-hot."""
        return self._proxy.action_space

    def reset(
        self, seed: int | None = None, record_to: str | os.PathLike | None = None
    ) -> Observation:
        """Starts an episode; with the same seed, the same one.

        Args:
          seed: of all that is random in the environment.
          record_to: folder to which the episode is written when it is over, as those
            that agents learn from are; None: nowhere.

        Returns:
          The first observation, by name.

        Raises:
          EnvError: the environment failed, or gave no answer in time.
        """
        options = {"record_to": os.fspath(record_to)} if record_to else {}
        observation, _ = self._proxy.reset(seed, options)
        self._on_reset()
        return observation

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool]:
        """Does something, for as many steps of the environment as the task repeats it.

        Args:
          action: float32 [A].

        Returns:
          Observation; reward, summed over these steps; whether the episode is over.

        Raises:
          EnvError: the environment failed, or gave no answer in time.
        """
        observation, reward, terminated, truncated, _ = self._proxy.step(action)
        return observation, float(reward), bool(terminated or truncated)

    def close(self) -> None:
        """Ends the environment and its process."""
        self._proxy.close()
