"""Episodes of an agent in its environments."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from planet.control import batch_env, mpc_agent


def simulate(
    agent: mpc_agent.MPCAgent,
    envs: batch_env.BatchEnv,
    next_seed: Callable[[], np.ndarray],
    exploration: float = 0.0,
    record_to: str | None = None,
) -> np.ndarray:
    """Runs one episode in every environment of a batch.

    Args:
      agent: made for as many environments.
      envs: the batch of B environments; they step in parallel.
      next_seed: integers [2] for each decision, and for the reset.
      exploration: how much noise the actions carry.
      record_to: folder in which the episodes are stored, if any.

    Returns:
      Returns, float32 [B].
    """
    seeds = np.random.SeedSequence(next_seed()).generate_state(len(envs))
    observation = envs.reset(
        seed=[int(seed) for seed in seeds],
        options={"record_to": record_to} if record_to else None,
    )
    agent.reset()
    returns = np.zeros(len(envs), np.float32)
    done = np.zeros(len(envs), bool)
    while not done.all():
        actions = agent.act(observation, exploration, next_seed())
        observation, rewards, done, _ = envs.step(actions)
        returns += rewards
    return returns
