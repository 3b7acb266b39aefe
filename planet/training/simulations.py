"""Episodes for training and testing: random ones, and those of the agent."""

from __future__ import annotations

import functools
import os
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import ml_collections
import numpy as np
import tqdm

from planet.control import mpc_agent, planners, real_agent, simulate
from planet.control.batch_env import BatchEnv, make
from planet.control.random_episodes import random_episodes
from planet.tools import (
    episode_files,
    extensions,
    interruption,
    noise,
    schedule,
    wording,
)
from planet.training import define_model
from planet.training.data import PHASES


class Simulation(NamedTuple):
    """An episode of the agent.

    Attributes:
      task: name of its task.
      horizon: planning horizon of the agent.
      episode: arrays [T, ...], see `simulate.simulate`.
      plan_returns: imagined returns of the candidates in the first and in the last
        iteration of each decision's search, [T - 1, 2, amount]; None if not wanted.
      promised: what each decision's plan promises, [T - 1]: the mean imagined return of
        the last iteration's elites; None where nothing was searched.
      seconds: its share of the time that all episodes of its batch took.
    """

    task: str
    horizon: int
    episode: simulate.Episode
    plan_returns: np.ndarray | None = None
    promised: np.ndarray | None = None
    seconds: float = 0.0

    @property
    def kind(self) -> str:
        """Task and horizon, in names of summaries."""
        return f"{self.task}/horizon_{self.horizon}"

    @property
    def score(self) -> float:
        """Return of the episode."""
        return float(self.episode["reward"].sum())

    @property
    def decisions(self) -> int:
        """Decisions in the episode."""
        return len(self.episode["reward"]) - 1


class EnvSteps:
    """Counts environment steps of stored episodes, each of which is read only once.

    Where tasks differ in their action repeats, a decision counts as many steps as it
    takes on average if each task has as many episodes, all of the greatest length.

    Args:
      tasks: what `planet.scripts.tasks.load` returns.
      folder: where their episodes are stored.
    """

    def __init__(self, tasks: Sequence, folder: pathlib.Path):
        steps = sum(task.max_length * task.action_repeat for task in tasks)
        self._repeat = steps / sum(task.max_length for task in tasks)
        self._folder = folder
        self._decisions: dict[pathlib.Path, int] = {}

    def count(self) -> int:
        """Environment steps of all episodes that the folder holds by now."""
        for path in episode_files.scan(self._folder):
            if path not in self._decisions:
                self._decisions[path] = _decisions(path)
        return round(sum(self._decisions.values()) * self._repeat)


def _decisions(path: pathlib.Path) -> int:
    """Decisions in a stored episode; none where the file is torn."""
    try:
        return episode_files.count_decisions(path)
    except episode_files.TornEpisodeError:
        return 0


def make_batch(task, config: ml_collections.ConfigDict, amount: int) -> BatchEnv:
    """Starts `amount` environments of a task."""
    where = config.isolate_envs, config.env_timeout
    return BatchEnv([make(task.env_ctor, *where) for _ in range(amount)])


def collect_seed_episodes(
    config: ml_collections.ConfigDict,
    tasks: Sequence,
    envs: Mapping[str, BatchEnv],
    folders: Mapping[str, pathlib.Path],
    seed: int,
) -> None:
    """Records the random episodes that the folders still lack, for each task.

    Args:
      config: what `planet.scripts.configs.load` returns.
      tasks: what `planet.scripts.tasks.load` returns.
      envs: environments by name of the task; more are started temporarily if there
        are processors for them.
      folders: where the episodes of each phase belong.
      seed: seeds environments and actions.
    """
    amount = config.num_seed_episodes
    for phase, folder in folders.items():
        folder.mkdir(parents=True, exist_ok=True)
        found = episode_files.count(folder)
        for index, task in enumerate(tasks):
            missing = min(amount, (index + 1) * amount - found)
            if missing <= 0:
                continue
            batch = envs[task.name]
            extra = min(os.cpu_count() or 1, missing) - len(batch)
            with (
                make_batch(task, config, max(0, extra)) as more,
                tqdm.tqdm(total=missing, disable=None, leave=False) as progress,
            ):
                returns = random_episodes(
                    BatchEnv(batch.envs + more.envs),
                    missing,
                    folder,
                    seed + len(PHASES) * index + PHASES.index(phase),
                    lambda done, _: progress.update(done - progress.n),
                    task.name,
                )
            print(
                f"Recorded {wording.count(missing, 'random episode')} of {task.name} "
                f"to {phase}; mean return {np.mean(returns):.1f}.",
                flush=True,
            )


def make_agent(
    config: ml_collections.ConfigDict,
    model: define_model.Model,
    horizon: int,
    num_envs: int,
    action_size: int,
) -> mpc_agent.MPCAgent:
    """The agent that plans with a model.

    Args:
      config: what `planet.scripts.configs.load` returns.
      model: the agent's model.
      horizon: steps to plan.
      num_envs: environments to plan for in one batch.
      action_size: entries of an action.
    """
    search = extensions.load(config.planner_function)
    settings = _planner_settings(config)
    if config.use_policy:
        settings[planners.POLICY] = model.policy
    blank = None
    if hasattr(search, "blank"):
        known = extensions.arguments(search.blank, settings)
        blank = search.blank(num_envs, horizon, action_size, **known)
    discrete = config.discrete_action
    return mpc_agent.MPCAgent(
        model.acting_cell,
        model.embed,
        model.imagined_reward,
        functools.partial(search, **extensions.arguments(search, settings)),
        mpc_agent.epsilon_greedy if discrete else mpc_agent.add_noise,
        horizon,
        num_envs,
        action_size,
        config.warm_start,
        config.jit,
        blank,
    )


def make_real_agent(
    config: ml_collections.ConfigDict, horizon: int, envs: BatchEnv
) -> real_agent.RealAgent:
    """The agent that plans in copies of its environments.

    Args:
      config: what `planet.scripts.configs.load` returns.
      horizon: steps to plan.
      envs: the environments.
    """
    search = extensions.load(config.planner_function)
    settings = _planner_settings(config)
    explore = (
        real_agent.epsilon_greedy if config.discrete_action else real_agent.add_noise
    )
    return real_agent.RealAgent(
        envs.rewards,
        functools.partial(search, **extensions.arguments(search, settings)),
        explore,
        horizon,
        len(envs),
        envs.action_space.shape[0],
        config.warm_start,
    )


def _planner_settings(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """All settings, by the names that planners have for them."""
    settings = {key: x for key, x in config.items() if key not in planners.GIVEN}
    return settings | {key: config[name] for key, name in planners.SETTINGS.items()}


class Agents:
    """The agents of a model, by horizon and environments.

    Args:
      config: what `planet.scripts.configs.load` returns.
      model: the model.
    """

    def __init__(self, config: ml_collections.ConfigDict, model: define_model.Model):
        self._config = config
        # Making an agent compiles a graph, so each kind is made only once.
        self._make = functools.cache(functools.partial(make_agent, config, model))

    def find(
        self, horizon: int, envs: BatchEnv
    ) -> mpc_agent.MPCAgent | real_agent.RealAgent:
        """The agent that plans a number of steps, for a batch of environments."""
        if self._config.planner == "real":
            return make_real_agent(self._config, horizon, envs)
        return self._make(horizon, len(envs), *envs.action_space.shape)


class Simulations:
    """The agent's episodes during training: collection when it is due, and tests.

    Args:
      config: what `planet.scripts.configs.load` returns.
      envs: environments by name of the task.
      model: the agent's model.
      seeds: source of all randomness.
      folders: where the episodes of each phase belong.
    """

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        envs: Mapping[str, BatchEnv],
        model: define_model.Model,
        seeds: noise.Seeds,
        folders: Mapping[str, pathlib.Path],
    ):
        self._config = config
        self._envs = envs
        self._seeds = seeds
        self._folders = folders
        self._agents = Agents(config, model)

    def collect(self, trained: int) -> list[Simulation]:
        """Records episodes with exploration if they are due.

        Args:
          trained: sequences trained on so far.

        Returns:
          The episodes that went to the training data.
        """
        config = self._config
        if not schedule.due(trained, config.batch_shape[0], config.collect_every):
            return []
        simulations = []
        for horizon, noisiness, ramp in zip(
            config.collect_horizons,
            config.exploration_noises,
            config.exploration_ramps,
            strict=True,
        ):
            exploration = noisiness * schedule.linear(trained, ramp)
            for task, envs in self._envs.items():
                simulations += self._run(task, envs, horizon, exploration, "train")
                if config.collect_test:
                    self._run(task, envs, horizon, exploration, "test")
        return simulations

    def test(self) -> list[Simulation]:
        """Runs the test episodes of each task and horizon, without exploration."""
        return [
            simulation
            for horizon in self._config.summary_horizons
            for task, envs in self._envs.items()
            for _ in range(self._config.test_episodes)
            for simulation in self._run(task, BatchEnv(envs.envs[:1]), horizon)
        ]

    def _run(
        self, task, envs, horizon, exploration=0.0, phase=None
    ) -> list[Simulation]:
        """One episode in each environment, recorded to the folder of the phase, if any.

        What was imagined is kept only for episodes that are not recorded.
        """
        config = self._config
        agent = self._agents.find(horizon, envs)
        folder = str(self._folders[phase]) if phase else None
        plan_returns, promised = [], []
        position = self._seeds.position

        def play():
            self._seeds.rewind(position)
            plan_returns.clear()
            promised.clear()
            return simulate.simulate(
                agent, envs, self._seeds.next, exploration, folder, watch
            )

        def watch():
            interruption.check()
            progress.update()
            if phase or not (returns := agent.plan_returns).size:
                return
            promised.append(_mean_of_best(returns[-1], config.cem_topk))
            if config.summarise_plan_returns:
                plan_returns.append(returns[[0, -1]])

        with tqdm.tqdm(
            desc=f"episode of {task}",
            unit=" decisions",
            bar_format="{desc}: {n_fmt} decisions, {rate_noinv_fmt}",
            leave=False,
            disable=None,
        ) as progress:
            start = time.perf_counter()
            episodes = envs.retry(task, play)
            seconds = (time.perf_counter() - start) / len(episodes)
        simulations = []
        for index, episode in enumerate(episodes):
            found = Simulation(task, horizon, episode, seconds=seconds)
            decisions = found.decisions
            if promised:
                promise = np.stack(promised[:decisions])[:, index]
                found = found._replace(promised=promise)
            if plan_returns:
                plans = np.stack(plan_returns[:decisions])[:, :, index]
                found = found._replace(plan_returns=plans)
            simulations.append(found)
        return simulations


def _mean_of_best(returns: np.ndarray, topk: int) -> np.ndarray:
    """Means [B] of the highest of the returns [B, amount] of some candidates."""
    topk = min(topk, returns.shape[-1])
    return np.partition(returns, -topk)[:, -topk:].mean(-1)
