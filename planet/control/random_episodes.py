"""Episodes of random actions, to start learning from."""

import copy
import os
from collections.abc import Callable

import numpy as np

from planet.control.batch_env import BatchEnv


def random_episodes(
    batch_env: BatchEnv,
    num_episodes: int,
    folder: str | os.PathLike | None,
    seed: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[float]:
    """Plays episodes of uniformly random actions.

    Args:
      batch_env: B environments, stepped at the same time.
      num_episodes: How many episodes to play.
      folder: Where the environments record the episodes; None: nowhere.
      seed: Seeds actions and environments.
      progress: Called with the number of episodes so far, and the total.

    Returns:
      The return, the sum of rewards, of each episode.
    """
    random = np.random.default_rng(seed)
    space = copy.deepcopy(batch_env.action_space)
    space.seed(int(random.integers(2**31)))
    returns = []
    while len(returns) < num_episodes:
        batch = BatchEnv(batch_env.envs[: num_episodes - len(returns)])
        seeds = [int(number) for number in random.integers(2**31, size=len(batch))]
        batch.reset(seeds, {"record_to": folder} if folder else None)
        sums, done = np.zeros(len(batch)), np.zeros(len(batch), bool)
        while not done.all():
            actions = np.stack([space.sample() for _ in range(len(batch))])
            _, rewards, done, _ = batch.step(actions)
            sums += rewards
        returns.extend(sums.tolist())
        if progress:
            progress(len(returns), num_episodes)
    return returns
