"""A trained agent: loaded from a run, it acts, imagines and can be exported."""

from __future__ import annotations

import functools
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import ml_collections
import numpy as np
import tensorflow as tf

from planet.api import environment, saved_model
from planet.control import mpc_agent
from planet.control.envs.task import Task
from planet.scripts import runs, tasks
from planet.tools import noise, parameters
from planet.training import define_model, evaluation, simulations

Arrays = dict[str, Any]  # By name; in states of a time-agnostic model, dicts of them.


def load(
    run: str | os.PathLike,
    checkpoint: int | str | None = None,
    params: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Agent:
    """Loads the agent of a run, finished or not, or one that was exported.

    Args:
      run: folder of the run, LOGDIR/00001, or LOGDIR if it holds no other run.
      checkpoint: its step; `best`, for the best test score; None, for the newest.
      params: settings that override those of the run, such as {'planner': 'icem'}.
      seed: seed of the agent's random choices.

    Raises:
      ValueError: there is no such run or checkpoint, or it cannot be used.
    """
    path = pathlib.Path(run).expanduser()
    if not path.is_dir():
        raise runs.RunError(f"{str(run)!r} is not a folder")
    folder = runs.find_one(path)
    config = runs.read_config(folder / "config.yaml", dict(params or {}))
    if config.planner == "real":
        raise runs.RunError(
            "planner 'real' needs no agent but copies of its environment; give "
            "another one, such as params={'planner': 'cem'}"
        )
    step, weights = runs.choose_checkpoint(folder, checkpoint)
    chosen = {task.name: task for task in tasks.load(config)}
    with simulations.make_batch(next(iter(chosen.values())), config, 1) as envs:
        model = evaluation.load(config, envs, weights)
        spaces = envs.observation_space
        size = envs.action_space.shape
    horizon = config.summary_horizons[0]
    planner = simulations.make_agent(config, model, horizon, 1, *size)
    return Agent(config, chosen, model, planner, spaces[model.observation], step, seed)


class Agent:
    """Acts in one environment at a time, and imagines what would follow.

    It remembers what it has seen and done since `reset`.

    Args:
      config: settings of the run.
      chosen: the run's tasks by name.
      model: what it has learned.
      planner: decides what to do, in one environment.
      space: what the model sees, a space.
      step: sequences that the model was trained on.
      seed: seed of all random choices.

    Attributes:
      config: settings of the run.
      step: step of the checkpoint.
    """

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        chosen: Mapping[str, Task],
        model: define_model.Model,
        planner: mpc_agent.MPCAgent,
        space: Any,
        step: int,
        seed: int,
    ):
        self.config = config
        self.step = step
        self._tasks = chosen
        self._model = model
        self._planner = planner
        self._space = space
        self._seeds = noise.Seeds(seed)
        self._transition = tf.function(self._imagine)
        self._decoding = tf.function(model.decode)

    @property
    def state(self) -> Arrays:
        """What it believes of the world, arrays [S] by name; may be assigned."""
        return _without_batch(self._planner.memory["state"])

    @state.setter
    def state(self, state: Arrays) -> None:
        current = self._planner.memory["state"]
        tf.nest.assert_same_structure(current, state)
        batch = tf.nest.map_structure(_as_batch, state, current)
        self._planner.memory = {**self._planner.memory, "state": batch}

    def make_env(self, task: str | None = None) -> environment.Env:
        """Starts the environment of one of the run's tasks, in a process of its own.

        Whenever an episode starts there, this agent is reset too.

        Args:
          task: its name; None, for the first one.
        """
        name = task or next(iter(self._tasks))
        if name not in self._tasks:
            raise runs.RunError(
                parameters.unknown("task of the run", name, self._tasks)
            )
        return environment.Env(self._tasks[name], self.config, self.reset)

    def reset(self) -> None:
        """Forgets everything that it has seen, for a new episode."""
        self._planner.reset()

    def act(
        self,
        observation: Mapping[str, np.ndarray],
        action: np.ndarray | None = None,
        exploration: float = 0.0,
    ) -> np.ndarray:
        """Sees an observation and decides what to do.

        Args:
          observation: what the environment shows, entries [...] by name. Only what the
            model sees is needed, such as `image`, uint8 [H, W, C].
          action: what led there [A], if that was not the agent's own last decision.
          exploration: standard deviation of noise that is added or, of choices, the
            chance that one is random.

        Returns:
          Action float32 [A], each entry from -1 to 1; choices are one-hot.

        Raises:
          ValueError: the observation lacks what the model sees, or has another shape.
        """
        self._take(action)
        seen = self._prepare(observation)
        (decision,) = self._planner.act(seen, exploration, self._seeds.next())
        return decision

    def observe(
        self, observation: Mapping[str, np.ndarray], action: np.ndarray | None = None
    ) -> None:
        """Sees an observation, while somebody else decides; arguments as of `act`."""
        self._take(action)
        self._planner.observe(self._prepare(observation), self._seeds.next())

    def imagine(self, actions: np.ndarray, go_on: bool = False) -> Arrays:
        """Dreams of what would follow from actions.

        Args:
          actions: one after the other, [H, A].
          go_on: whether the state becomes that of the end of the dream, which the next
            one goes on from; otherwise it stays.

        Returns:
          By name, arrays [H, ...] of what is expected after each action: `image` uint8
          [H, height, width, C] or `state`, `reward` [H] and diagnostics.
        """
        memory = self._planner.memory
        actions = np.asarray(actions, np.float32)
        (size,) = memory["action"].shape[1:]
        if actions.ndim != 2 or actions.shape[1] != size or not len(actions):
            raise ValueError(f"actions have to be [H, {size}], not {actions.shape}")
        state, dream = memory["state"], []
        for action in actions:
            seed = tf.constant(self._seeds.next())
            state, decoded = self._transition(state, tf.constant(action[None]), seed)
            dream.append(_without_batch(decoded))
        if go_on:
            self._planner.memory = {**memory, "state": state}
        return {key: np.stack([step[key] for step in dream]) for key in dream[0]}

    def decode(self, state: Arrays | None = None) -> Arrays:
        """What the model expects to be seen and paid in a state.

        Args:
          state: as of the attribute of that name; None: that one.

        Returns:
          By name: `image` uint8 [H, W, C] or `state`, `reward` and diagnostics.
        """
        memory = self._planner.memory["state"]
        if state is not None:
            memory = tf.nest.map_structure(_as_batch, state, memory)
        return _without_batch(self._decoding(memory))

    def export(self, path: str | os.PathLike) -> None:
        """Writes the agent as a SavedModel that needs nothing but TensorFlow to run.

        Its signatures are `act` and `reset`; see `saved_model`.

        Args:
          path: folder, which must not exist.

        Raises:
          ValueError: there is such a file or folder.
        """
        saved_model.write(
            pathlib.Path(path), self._planner, self._model, self._space.shape
        )

    def _imagine(self, state, action, seed):
        """The next state, and what is expected there."""
        with noise.stream(seed):
            state = self._model.acting_cell.transition(state, action)
        return state, self._model.decode(state)

    def _take(self, action: np.ndarray | None) -> None:
        """Remembers another action than the one it decided on, if there is one."""
        if action is not None:
            memory = self._planner.memory
            taken = _as_batch(np.asarray(action, np.float32), memory["action"])
            self._planner.memory = {**memory, "action": taken}

    def _prepare(self, observation: Mapping[str, np.ndarray]) -> Arrays:
        """What the model sees of an observation, entries [1, ...]."""
        name, space = self._model.observation, self._space
        if name not in observation:
            raise ValueError(f"the agent sees {name!r}, which the observation lacks")
        value = np.asarray(observation[name])
        if value.shape != space.shape or value.dtype != space.dtype:
            expected, given = (f"{x.dtype} {list(x.shape)}" for x in (space, value))
            raise ValueError(f"{name!r} has to be {expected}, not {given}")
        return {name: value[None]}


def _as_batch(value: np.ndarray, like: tf.Tensor) -> tf.Tensor:
    """A batch of one, with the shape and type of another."""
    tensor = tf.convert_to_tensor(np.asarray(value)[None], like.dtype)
    if tensor.shape != like.shape:
        expected, given = list(like.shape[1:]), list(tensor.shape[1:])
        raise ValueError(f"an array has to be {expected}, not {given}")
    return tensor


_without_batch = functools.partial(
    tf.nest.map_structure, lambda tensor: tensor.numpy()[0]
)
