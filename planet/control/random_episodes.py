"""Episodes of random actions, to start learning from."""

import copy
import functools
import itertools
import os
from collections.abc import Callable

import numpy as np

from planet.control.batch_env import BatchEnv
from planet.tools import episode_files, interruption


def random_episodes(
    batch_env: BatchEnv,
    num_episodes: int,
    folder: str | os.PathLike | None,
    seed: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    retry_as: str | None = None,
) -> list[float]:
    """Plays episodes of uniformly random actions.

    What an episode is follows from the seed and its number. Those which the folder
    holds already, since the process before was killed, are not played again.

    Args:
      batch_env: B environments, stepped at the same time.
      num_episodes: How many episodes to play.
      folder: Where the environments record the episodes; None: nowhere.
      seed: Seeds actions and environments.
      progress: Called with the number of episodes so far, and the total.
      retry_as: Name of the task, to play episodes again that fail, as `BatchEnv.retry`
        does; None: they are errors at once.

    Returns:
      The return, the sum of rewards, of each episode.
    """
    entropy = np.random.SeedSequence(seed).entropy
    identities = ((entropy, index) for index in itertools.count())
    if folder is not None:
        identities = (x for x in identities if not episode_files.find(folder, x))
    returns = []
    while len(returns) < num_episodes:
        batch = BatchEnv(batch_env.envs[: num_episodes - len(returns)])
        chosen = list(itertools.islice(identities, len(batch)))
        play = functools.partial(_play, batch, chosen, folder)
        returns.extend(batch.retry(retry_as, play) if retry_as else play())
        if progress:
            progress(len(returns), num_episodes)
    return returns


def _play(batch, identities, folder):
    """Returns of one episode in each environment."""
    randoms = [np.random.default_rng(identity) for identity in identities]
    spaces = [copy.deepcopy(batch.action_space) for _ in identities]
    for space, random in zip(spaces, randoms, strict=True):
        space.seed(int(random.integers(2**31)))
    seeds = [int(random.integers(2**31)) for random in randoms]
    batch.reset(seeds, [episode_files.recording(folder, x) for x in identities])
    returns, done = np.zeros(len(batch)), np.zeros(len(batch), bool)
    while not done.all():
        interruption.check()
        _, rewards, done, _ = batch.step(np.stack([space.sample() for space in spaces]))
        returns += rewards
    return returns.tolist()
