"""Evaluation of trained agents."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterator, Sequence

import ml_collections
import numpy as np
import tqdm

from planet.control import simulate
from planet.control.batch_env import BatchEnv
from planet.tools import noise, tf1_checkpoint
from planet.training import data, define_model, films, simulations

# Each decision counts as a fraction of its episode.
PROGRESS = "{desc}{n:.1f} of {total} episodes |{bar}| {remaining} left"


def evaluate(
    config: ml_collections.ConfigDict,
    tasks: Sequence,
    checkpoint: str,
    num_episodes: int,
    num_agents: int,
    horizon: int,
    seed: int,
    show: Callable[[str, int, np.ndarray], None] | None = None,
) -> dict[str, list[float]]:
    """Runs episodes without exploration.

    Each return depends on nothing but weights, settings, task, horizon, seed, the index
    of the episode, and the number of agents that plan in the same batch, because they
    draw their candidates together: `num_agents`, or fewer for the last episodes.

    Args:
      config: settings of the run.
      tasks: some of what `planet.scripts.tasks.load` returns.
      checkpoint: prefix of its files.
      num_episodes: episodes of each task.
      num_agents: environments that are stepped at once.
      horizon: steps to plan.
      seed: seed of all randomness, at least 0.
      show: receives the name of the task, the index of an episode and its film, see
        `films.Filmer`; without it no films are made.

    Returns:
      The return of each episode in order, by name of the task.

    Raises:
      CheckpointError: when the checkpoint can't be read or does not fit the model.
    """
    returns = {task.name: [] for task in tasks}
    model = None
    bar = functools.partial(tqdm.tqdm, bar_format=PROGRESS, leave=False, disable=None)
    with bar(total=len(tasks) * num_episodes) as progress:
        for task in tasks:
            progress.set_description(task.name)
            amount = min(num_agents, num_episodes)
            with simulations.make_batch(task, config, amount) as envs:
                if model is None:
                    model = load(config, envs, checkpoint)
                    agents = simulations.Agents(config, model)
                    find_agent = functools.partial(agents.find, horizon)
                    filmer = films.Filmer(model, config.image_bits)
                for episode in _episodes(
                    task, envs, find_agent, num_episodes, seed, progress
                ):
                    if show:
                        index = len(returns[task.name])
                        show(task.name, index, filmer.film(episode))
                    returns[task.name].append(float(episode["reward"].sum()))
    return returns


def _episodes(
    task, envs, find_agent, num_episodes, seed, progress
) -> Iterator[simulate.Episode]:
    """Episodes of a task, batch after batch."""
    finished = progress.n
    for first in range(0, num_episodes, len(envs)):
        batch = BatchEnv(envs.envs[: num_episodes - first])
        agent = find_agent(batch)
        entropy = np.random.SeedSequence([seed, zlib.crc32(task.name.encode()), first])
        seeds = noise.Seeds(int(entropy.generate_state(1)[0]))
        share = len(batch) / task.max_length
        yield from simulate.simulate(
            agent, batch, seeds.next, watch=functools.partial(progress.update, share)
        )
        # Episodes may have been shorter than `max_length`.
        finished += len(batch)
        progress.update(finished - progress.n)


def load(
    config: ml_collections.ConfigDict, envs: BatchEnv, checkpoint: str
) -> define_model.Model:
    """The model for environments, with the weights of a checkpoint.

    Args:
      config: settings of the run.
      envs: environments of one of its tasks.
      checkpoint: prefix of its files.

    Raises:
      CheckpointError: when the checkpoint can't be read or does not fit the model.
    """
    model = define_model.define_model(config, data.make_data_spec(envs))
    tf1_checkpoint.load(model, checkpoint)
    return model
