"""Puts the parts of an agent together and trains it."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import zlib
from collections.abc import Iterator, Mapping, Sequence

import keras
import ml_collections
import numpy as np
import tensorflow as tf
import tqdm

from planet.control import mpc_agent, planning, simulate
from planet.control.batch_env import BatchEnv, make
from planet.control.random_episodes import random_episodes
from planet.tools import (
    episode_files,
    noise,
    numpy_episodes,
    preprocess,
    schedule,
    tf1_checkpoint,
)
from planet.training import define_model
from planet.training.define_summaries import Simulation
from planet.training.trainer import Trainer

PHASES = ("train", "test")


def train(
    config: ml_collections.ConfigDict, tasks: Sequence, logdir: str | os.PathLike
) -> Iterator[float]:
    """Trains an agent; goes on where an interrupted run in the same folder ended.

    Args:
      config: what `planet.scripts.configs.load` returns.
      tasks: what `planet.scripts.tasks.load` returns.
      logdir: folder of the run.

    Yields:
      The score of each test phase: the mean return of its episodes.
    """
    logdir = pathlib.Path(logdir)
    folders = {phase: logdir / f"{phase}_episodes" for phase in PHASES}
    start = first_seed(config.seed, logdir)
    keras.utils.set_random_seed(start)
    seeds = noise.Seeds(start)
    with contextlib.ExitStack() as stack:
        envs = {
            task.name: stack.enter_context(
                _make_batch(task, config, config.collect_batch_size)
            )
            for task in tasks
        }
        collect_seed_episodes(config, tasks, envs, folders, start)
        data_spec = make_data_spec(envs[tasks[0].name])
        model = define_model.define_model(config, data_spec)
        print(model.table(), flush=True)
        _note_model(model, logdir / "config.yaml")
        trainer = Trainer(logdir, config, model, seeds)
        if trainer.restore():
            print(f"Continue from the checkpoint of step {trainer.step}.", flush=True)
        elif config.checkpoint_to_load:
            load_weights(model, config.checkpoint_to_load)
            print(f"Start from {config.checkpoint_to_load}.", flush=True)
        datasets = {
            phase: make_dataset(config, data_spec, folder, start + trainer.step)
            for phase, folder in folders.items()
        }
        simulations = Simulations(config, envs, model, seeds, folders)
        yield from trainer.run(
            datasets,
            simulations.collect,
            simulations.test,
            lambda phase: len(episode_files.scan(folders[phase])),
        )


def first_seed(seed: int | None, logdir: pathlib.Path) -> int:
    """A seed for the run in that folder: of its own, but the same each time.

    Args:
      seed: what the user asked for; None for an arbitrary one.
      logdir: folder of the run, whose name tells the runs of an experiment apart.
    """
    run = zlib.crc32(logdir.name.encode())
    entropy = None if seed is None else [seed, run]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def collect_seed_episodes(
    config: ml_collections.ConfigDict,
    tasks: Sequence,
    envs: Mapping[str, BatchEnv],
    folders: Mapping[str, pathlib.Path],
    seed: int,
) -> None:
    """Records the random episodes of each task that the folders still lack.

    Args:
      config: what `planet.scripts.configs.load` returns.
      tasks: what `planet.scripts.tasks.load` returns.
      envs: environments by name of the task; more are started for the time being if
        there are processors for them.
      folders: where the episodes of each phase belong.
      seed: of environments and actions.
    """
    amount = config.num_seed_episodes
    for phase, folder in folders.items():
        folder.mkdir(parents=True, exist_ok=True)
        found = len(episode_files.scan(folder))
        for index, task in enumerate(tasks):
            missing = min(amount, (index + 1) * amount - found)
            if missing <= 0:
                continue
            batch = envs[task.name]
            extra = min(os.cpu_count() or 1, missing) - len(batch)
            with (
                _make_batch(task, config, max(0, extra)) as more,
                tqdm.tqdm(total=missing, disable=None, leave=False) as progress,
            ):
                returns = random_episodes(
                    BatchEnv(batch.envs + more.envs),
                    missing,
                    folder,
                    seed + len(PHASES) * index + PHASES.index(phase),
                    lambda done, _, progress=progress: progress.update(
                        done - progress.n
                    ),
                )
            print(
                f"Recorded {missing} random episodes of {task.name} to {phase}; mean "
                f"return {np.mean(returns):.1f}.",
                flush=True,
            )


def make_data_spec(envs: BatchEnv) -> dict[str, tuple[int, ...]]:
    """Shapes of one step of all that the model learns from; see `define_model`."""
    spec = {key: space.shape for key, space in envs.observation_space.items()}
    return {**spec, "action": envs.action_space.shape, "reward": ()}


def make_dataset(
    config: ml_collections.ConfigDict,
    data_spec: Mapping[str, tuple[int, ...]],
    folder: pathlib.Path,
    seed: int,
) -> tf.data.Dataset:
    """Batches for the model from the episodes of a folder."""
    return numpy_episodes.make_dataset(
        folder,
        config.data_loader,
        data_spec,
        config.batch_shape,
        functools.partial(preprocess.prepare, bits=config.image_bits),
        config.num_chunks,
        config.scan_episodes_every,
        config.max_episodes,
        seed,
    )


def load_weights(model: define_model.Model, path: str) -> None:
    """Sets the weights of a model to those of a checkpoint, ours or an original one.

    Args:
      model: the model to change.
      path: prefix of the checkpoint, or a folder of which the newest is taken.

    Raises:
      CheckpointError: when the checkpoint can't be read or does not fit the model.
    """
    if os.path.isdir(path):
        path = tf.train.latest_checkpoint(path) or path
    tf1_checkpoint.load(model, path)


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
      num_envs: environments to decide for at once.
      action_size: entries of an action.
    """
    search, explore = planning.cross_entropy_method, mpc_agent.add_noise
    if config.discrete_action:
        search = functools.partial(
            planning.discrete_cross_entropy_method, select=config.discrete_select
        )
        explore = mpc_agent.epsilon_greedy
    planner = functools.partial(
        search,
        amount=config.cem_amount,
        topk=config.cem_topk,
        iterations=config.cem_iterations,
        discount=config.discount,
    )
    return mpc_agent.MPCAgent(
        model.acting_cell,
        model.embed,
        model.imagined_reward,
        planner,
        explore,
        horizon,
        num_envs,
        action_size,
        config.warm_start,
    )


class Simulations:
    """Episodes that a learning agent lives through, as its schedule wants them.

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
        # An agent compiles its graph, so each kind is made once.
        self._make_agent = functools.cache(functools.partial(make_agent, config, model))

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
        """Runs an episode per task and horizon, without exploration."""
        return [
            simulation
            for horizon in self._config.summary_horizons
            for task, envs in self._envs.items()
            for simulation in self._run(task, BatchEnv(envs.envs[:1]), horizon)
        ]

    def _run(
        self, task, envs, horizon, exploration=0.0, phase=None
    ) -> list[Simulation]:
        """One episode in each environment, recorded to the phase's folder if any.

        What plans promised is noted for those that are not recorded.
        """
        config = self._config
        agent = self._make_agent(horizon, len(envs), *envs.action_space.shape)
        folder = str(self._folders[phase]) if phase else None
        noted = config.summarise_plan_returns and config.cem_iterations and not phase
        promised = []

        def watch():
            progress.update()
            if noted:
                promised.append(agent.plan_returns[[0, -1]])

        with tqdm.tqdm(
            desc=f"episode of {task}",
            unit=" decisions",
            bar_format="{desc}: {n_fmt} decisions, {rate_noinv_fmt}",
            leave=False,
            disable=None,
        ) as progress:
            episodes = simulate.simulate(
                agent, envs, self._seeds.next, exploration, folder, watch
            )
        simulations = []
        for index, episode in enumerate(episodes):
            decisions = len(episode["reward"]) - 1
            plans = np.stack(promised[:decisions])[:, :, index] if noted else None
            simulations.append(Simulation(task, horizon, episode, plans))
        return simulations


def _note_model(model: define_model.Model, path: pathlib.Path) -> None:
    """Adds to the settings of a run which model was built from them, as a comment."""
    note = "".join(f"# {line}\n" for line in model.table().splitlines())
    if path.exists() and note not in path.read_text(encoding="utf-8"):
        with path.open("a", encoding="utf-8") as stream:
            stream.write(note)


def _make_batch(task, config, amount) -> BatchEnv:
    """Starts environments of a task."""
    return BatchEnv([make(task.env_ctor, config.isolate_envs) for _ in range(amount)])
