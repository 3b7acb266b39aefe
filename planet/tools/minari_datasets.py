"""Datasets of Minari on this machine: https://minari.farama.org.

They lie where Minari keeps them, below `MINARI_DATASETS_PATH` or `~/.minari/datasets`.
Minari is an extra, and is imported only inside functions.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
import types
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from planet.tools import parameters

OURS = "planet_action_repeat"  # An entry of the metadata of what `write` wrote.


class DatasetError(ValueError):
    """A dataset that cannot be read or written; the message is one line."""


class Recording(NamedTuple):
    """An episode of N steps.

    Attributes:
      observations: Arrays [N + 1, ...], nested as their space is.
      actions: Array [N, ...].
      rewards: Array [N].
    """

    observations: Any
    actions: np.ndarray
    rewards: np.ndarray


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset, whose episodes are read one by one.

    Attributes:
      name: Its name.
      observation_space: Space of the observations.
      action_space: Space of the actions.
      repeat: How many steps of the environment each of its steps stands for.
      is_ours: Whether `write` made it, of what an agent of ours saw and did.
      size: How many episodes it has.
    """

    name: str
    observation_space: gymnasium.Space
    action_space: gymnasium.Space
    repeat: int
    is_ours: bool
    size: int
    _storage: Any

    def episodes(self) -> Iterator[Recording]:
        """The episodes in order.

        Raises:
          DatasetError: One of them cannot be read.
        """
        for index in range(self.size):
            try:
                (found,) = self._storage.get_episodes([index])
            except Exception as error:  # A damaged file can fail in many ways.
                reason = " ".join(f"{type(error).__name__}: {error}".split())
                raise DatasetError(
                    f"its episode {index} is damaged: {reason}"
                ) from None
            names = ("observations", "actions", "rewards")
            yield Recording(*(found[name] for name in names))


def find(name: str) -> Dataset:
    """Finds a dataset on this machine.

    What it says about the environment that it comes from is not used: to make that
    would run code of its choice.

    Raises:
      DatasetError: There is no such dataset, it does not hold its spaces, or Minari is
        missing.
    """
    minari = _import()
    folder = _folder(minari, name) / "data"
    if not folder.is_dir():
        known = minari.list_local_datasets()
        hint = parameters.unknown("dataset of Minari", name, known)
        raise DatasetError(f"{hint}; minari download NAME gets public ones")
    storage_class = minari.dataset.minari_storage.MinariStorage
    try:
        metadata = storage_class.read_raw_metadata(folder)
        for space in ("observation_space", "action_space"):
            if not isinstance(metadata.get(space), str):
                raise DatasetError(f"it does not hold its {space}")
        storage = storage_class.read(folder)
        return Dataset(
            name,
            storage.observation_space,
            storage.action_space,
            _repeat(metadata),
            OURS in metadata,
            int(storage.total_episodes),
            storage,
        )
    except DatasetError:
        raise
    except Exception as error:  # A damaged dataset can fail in many ways.
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise DatasetError(f"it cannot be read: {reason}") from None


def check_new(name: str) -> None:
    """Checks that a dataset can get a name.

    Raises:
      DatasetError: It is no name, or taken, or Minari is missing.
    """
    folder = _folder(_import(), name)
    if folder.exists():
        raise DatasetError(f"there is a dataset {name!r} already: {folder}")


def write(
    name: str,
    observation_space: gymnasium.Space,
    action_space: gymnasium.Space,
    recordings: Iterable[tuple[Recording, bool]],
    repeat: int,
    description: Mapping[str, str],
) -> pathlib.Path:
    """Writes a dataset, completely or not at all; images without loss.

    Args:
      name: Its name, `NAMESPACE/NAME-v0`.
      observation_space: Space of the observations.
      action_space: Space of the actions.
      recordings: The episodes, and whether each ended by itself, rather than in time.
      repeat: How many steps of the environment each step stands for.
      description: `algorithm_name`, `description` and the like.

    Returns:
      Its folder.

    Raises:
      DatasetError: It cannot be written under that name.
    """
    minari = _import()
    check_new(name)
    folder = _folder(minari, name)
    buffers = (_buffer(minari, *each) for each in recordings)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # About what may be added by hand.
            dataset = minari.create_dataset_from_buffers(
                name,
                buffers,
                observation_space=observation_space,
                action_space=action_space,
                jpeg_encoding=False,
                **description,
            )
        dataset.storage.update_metadata({OURS: repeat})
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def _import() -> types.ModuleType:
    try:
        import h5py  # noqa: F401 (which Minari imports only when it reads)
        import minari
        import minari.dataset.minari_storage
    except ImportError:
        raise DatasetError(
            "it needs the extra 'minari': pip install 'planet[minari]'"
        ) from None
    return minari


def _folder(minari: types.ModuleType, name: str) -> pathlib.Path:
    """The folder of a dataset; refuses what is no name, and could lead elsewhere."""
    from minari.dataset.minari_dataset import parse_dataset_id
    from minari.storage import datasets_root_dir

    try:
        parse_dataset_id(name)
    except (TypeError, ValueError):  # Without a version, or malformed.
        raise DatasetError(
            f"{parameters.show(name)} is not the name of a dataset of Minari, such as "
            "NAMESPACE/NAME-v0"
        ) from None
    return datasets_root_dir.get_dataset_path(name)


def _repeat(metadata: Mapping[str, Any]) -> int:
    """Steps of the environment in a step: ours say it, Atari games have a setting."""
    if OURS in metadata:
        return int(metadata[OURS])
    spec = json.loads(metadata.get("env_spec") or "{}")
    repeat = spec.get("kwargs", {}).get("frameskip", 1)
    return repeat if isinstance(repeat, int) else 1


def _buffer(minari, recording: Recording, terminated: bool):
    """An episode as Minari takes it."""
    steps = len(recording.rewards)
    last = np.arange(steps) == steps - 1
    return minari.data_collector.EpisodeBuffer(
        observations=recording.observations,
        actions=recording.actions,
        rewards=recording.rewards,
        terminations=last & terminated,
        truncations=last & (not terminated),
    )
