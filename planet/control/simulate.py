"""Episodes of an agent in its environments."""

from __future__ import annotations

from collections.abc import Callable, Generator

import numpy as np

from planet.control import batch_env, mpc_agent, real_agent
from planet.tools import episode_files

Episode = dict[str, np.ndarray]


def simulate(
    agent: mpc_agent.MPCAgent | real_agent.RealAgent,
    envs: batch_env.BatchEnv,
    next_seed: Callable[[], np.ndarray],
    exploration: float = 0.0,
    record_to: str | None = None,
    watch: Callable[[], None] = lambda: None,
) -> list[Episode]:
    """Runs one episode in every environment of a batch.

    Args:
      agent: made for B environments.
      envs: the batch of B environments; they step in parallel.
      next_seed: returns integers [2], for the reset and for each decision.
      exploration: amount of exploration, see `MPCAgent`.
      record_to: folder to store the episodes in, if any.
      watch: called after each decision, while the environments step.

    Returns:
      For each environment, the arrays [T, ...] of its episode, as recorded:
      observations by name, `action` and `reward`. The action at t leads to the
      observation and reward at t; entry 0 holds the reset observation with zero action
      and reward.
    """
    episodes = play(agent, envs, next_seed, exploration, record_to)
    while True:
        try:
            next(episodes)
        except StopIteration as end:
            return end.value
        watch()


def play(
    agent: mpc_agent.MPCAgent | real_agent.RealAgent,
    envs: batch_env.BatchEnv,
    next_seed: Callable[[], np.ndarray],
    exploration: float = 0.0,
    record_to: str | None = None,
) -> Generator[int, None, list[Episode]]:
    """As `simulate`, but yields the number of decisions while the environments step."""
    seed = next_seed()
    seeds = np.random.SeedSequence(seed).generate_state(len(envs))
    options = [
        episode_files.recording(record_to, (*map(int, seed), index))
        for index in range(len(envs))
    ]
    observation = envs.reset([int(seed) for seed in seeds], options)
    agent.reset()
    done = np.zeros(len(envs), bool)
    nothing = np.zeros((len(envs), *envs.action_space.shape), np.float32)
    steps = [
        {**observation, "action": nothing, "reward": np.zeros(len(envs), np.float32)}
    ]
    lengths = np.ones(len(envs), int)
    while not done.all():
        lengths += ~done
        actions = agent.act(observation, exploration, next_seed())
        wait = envs.step_async(actions)
        yield len(steps)
        observation, rewards, done, _ = wait()
        steps.append({**observation, "action": actions, "reward": rewards})
    return [
        {
            key: np.stack([step[key][index] for step in steps[:length]])
            for key in steps[0]
        }
        for index, length in enumerate(lengths)
    ]
