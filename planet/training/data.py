"""What the model learns from: batches of the episodes of a run."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import ml_collections

from planet.control.batch_env import BatchEnv
from planet.tools import episode_files, numpy_episodes

PHASES = episode_files.PHASES


def make_data_spec(envs: BatchEnv) -> dict[str, tuple[int, ...]]:
    """Shapes of one step of everything the model learns from; see `define_model`."""
    spaces = {**envs.observation_space.spaces, "action": envs.action_space}
    return {key: space.shape or () for key, space in spaces.items()} | {"reward": ()}


def make_dataset(
    config: ml_collections.ConfigDict,
    data_spec: Mapping[str, tuple[int, ...]],
    folder: pathlib.Path,
    seed: int,
) -> numpy_episodes.Batches:
    """Batches for the model from the episodes of a folder.

    They hold returns if there is a value to learn from them.
    """
    return numpy_episodes.Batches(
        folder,
        config.data_loader,
        data_spec,
        config.batch_shape,
        config.num_chunks,
        config.scan_episodes_every,
        config.max_episodes,
        config.max_cache,
        seed,
        config.discount if config.use_value else None,
    )
