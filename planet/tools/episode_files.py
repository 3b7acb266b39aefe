"""Episodes on disk: one compressed npz file each, complete or absent.

An episode is a dict of arrays that share their first dimension, time: `action`,
`reward` and whatever was observed, such as `image`. Entry 0 holds the reset observation
with zero action and zero reward; after that, the action at t leads to the observation
and reward at t.
"""

import contextlib
import datetime
import hashlib
import io
import os
import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import BinaryIO

import numpy as np

from planet.tools import atomic_files, npz

REQUIRED = ("action", "reward")
SUFFIX = ".npz"
PHASES = ("train", "test")  # A run has a folder of episodes for each.


class TornEpisodeError(ValueError):
    """A file that does not hold a complete episode.

    Attributes:
      path: The file.
      reason: What is wrong with it, in one line.
    """

    def __init__(self, path: str | os.PathLike, reason: str):
        super().__init__(path, reason)
        self.path = pathlib.Path(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path} is not a complete episode: {self.reason}"


def new_name(folder: str | os.PathLike, identity: object = None) -> str:
    """Name of a file for an episode, `YYYYMMDDTHHMMSS-<uuid>.npz` by the time (UTC).

    It sorts after all names that this process has made. If there is an episode of the
    same identity in the folder, as after a run was killed, it is that one's name.

    Args:
      folder: Where the episode will be.
      identity: Tells episodes apart: all that they follow from, such as their seed.
    """
    global _newest
    digest = os.urandom(8).hex()
    if identity is not None:
        digest = _digest(identity)
        if found := find(folder, identity):
            return found.name
    _newest = max(_newest + 1, time.time_ns())
    now = datetime.datetime.fromtimestamp(_newest / 1e9, datetime.timezone.utc)
    return f"{now:%Y%m%dT%H%M%S}-{_newest:016x}{digest}{SUFFIX}"


def recording(folder: str | os.PathLike | None, identity: object) -> dict[str, str]:
    """Options for the reset of an environment that is to record to a folder, if any."""
    if folder is None:
        return {}
    name = new_name(folder, identity)
    return {"record_to": os.fspath(folder), "record_as": name}


def find(folder: str | os.PathLike, identity: object) -> pathlib.Path | None:
    """The episode of that identity, see `new_name`; None if there is none."""
    end = f"{_digest(identity)}{SUFFIX}"
    found = (name for name in _list(folder) if name.endswith(end))
    return next((pathlib.Path(folder, name) for name in found), None)


_newest = 0  # Nanoseconds, of the last name.


def _digest(identity: object) -> str:
    return hashlib.blake2b(repr(identity).encode(), digest_size=8).hexdigest()


def write(
    folder: str | os.PathLike, episode: dict[str, np.ndarray], name: str | None = None
) -> pathlib.Path:
    """Writes an episode to a file, which appears only once it is complete.

    Args:
      folder: Where to write; created if missing.
      episode: Arrays [T, ...] by name.
      name: Of the file; None: a new one.

    Returns:
      The file.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name or new_name(folder))
    with atomic_files.writing(path, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **episode)
    return path


def read(
    path: str | os.PathLike,
    expected: Mapping[str, tuple[int, ...] | None] | None = None,
) -> dict[str, np.ndarray]:
    """Reads the arrays [T, ...] of an episode.

    Args:
      path: The file.
      expected: Entries that it has to have, with the shape of one step, or None where
        any will do. They are checked to be finite numbers; an image, to be uint8.

    Raises:
      TornEpisodeError: The file is gone or damaged, an array is missing, lengths
        differ, or an entry is not as expected.
      OSError: The file cannot be read for another reason.
    """
    with _open(path) as file:
        content = io.BytesIO(file.read())
    with _named(path), npz.reading(content) as arrays:
        episode = {name: arrays[name] for name in arrays}
        lengths = {name: len(episode[name]) for name in (*REQUIRED, *episode)}
    if len(set(lengths.values())) > 1:
        raise TornEpisodeError(path, f"lengths differ: {lengths}")
    _require_steps(path, lengths["reward"])
    for name, shape in (expected or {}).items():
        if problem := find_problem(name, shape, episode.get(name)):
            raise TornEpisodeError(path, problem)
    return episode


def check(
    path: str | os.PathLike, expected: Mapping[str, tuple[int, ...] | None]
) -> None:
    """Checks types and shapes in an episode, without reading its numbers.

    Args:
      path: The file.
      expected: As for `read`.

    Raises:
      TornEpisodeError: The file is gone or damaged, or an entry is not as expected.
      OSError: The file cannot be read for another reason.
    """
    with _open(path) as file, _named(path):
        headers = npz.headers(file)
        lengths = {name: (*shape, 0)[0] for name, (shape, _) in headers.items()}
    if len(set(lengths.values())) > 1:
        raise TornEpisodeError(path, f"lengths differ: {lengths}")
    _require_steps(path, min(lengths.values(), default=0))
    for name, shape in expected.items():
        if problem := _find_mismatch(name, shape, *headers.get(name, (None, None))):
            raise TornEpisodeError(path, problem)


def find_problem(
    name: str, shape: tuple[int, ...] | None, entry: np.ndarray | None
) -> str | None:
    """What is wrong with an entry of an episode, in words, if anything is.

    Args:
      name: Its name.
      shape: That of one step, or None where any will do.
      entry: The entry, an array [T, ...]; None where there is none.
    """
    if entry is None:
        return _find_mismatch(name, shape, None, None)
    if problem := _find_mismatch(name, shape, entry.shape, entry.dtype):
        return problem
    if entry.dtype.kind == "f" and not np.isfinite(entry).all():
        return f"its {name!r} is not finite"
    return None


def _find_mismatch(
    name: str,
    shape: tuple[int, ...] | None,
    found: tuple[int, ...] | None,
    dtype: np.dtype | None,
) -> str | None:
    """What is wrong with the shape [T, ...] or type of an entry, if anything is."""
    if found is None or dtype is None:
        return f"it has no {name!r}"
    if dtype.kind not in "biuf" or (name == "image" and dtype != np.uint8):
        return f"its {name!r} is of type {dtype}"
    if shape is not None and found[1:] != tuple(shape):
        return f"a step of its {name!r} has shape {found[1:]}, not {tuple(shape)}"
    return None


def count_decisions(path: str | os.PathLike) -> int:
    """Decisions in an episode, of which only the rewards are read.

    Raises:
      TornEpisodeError: The file is gone or damaged.
      OSError: The file cannot be read for another reason.
    """
    with _open(path) as file, _named(path), npz.reading(file) as arrays:
        length = len(arrays["reward"])
    _require_steps(path, length)
    return length - 1


def _require_steps(path: str | os.PathLike, length: int) -> None:
    """Refuses an episode that has not even a first step."""
    if not length:
        raise TornEpisodeError(path, "it has no steps")


def _open(path: str | os.PathLike) -> BinaryIO:
    """Opens a file; TornEpisodeError if there is none, or none any more."""
    try:
        return pathlib.Path(path).open("rb")
    except FileNotFoundError:
        raise TornEpisodeError(path, "it is gone") from None
    except (IsADirectoryError, PermissionError) as error:
        raise TornEpisodeError(path, f"it cannot be read: {error.strerror}") from None


@contextlib.contextmanager
def _named(path: str | os.PathLike) -> Iterator[None]:
    """Turns damage into a TornEpisodeError."""
    try:
        yield
    except npz.DamagedError as error:
        raise TornEpisodeError(path, str(error)) from error


def scan(folder: str | os.PathLike, newest: int | None = None) -> list[pathlib.Path]:
    """Lists the episode files of a folder, oldest first.

    Args:
      folder: The folder; if there is none, it has no files.
      newest: How many to list at most; None: all. It takes time to make a path.
    """
    names = sorted(_list(folder))
    if newest is not None:
        names = names[max(0, len(names) - newest) :]
    return [pathlib.Path(folder, name) for name in names]


def count(folder: str | os.PathLike) -> int:
    """Number of episode files in a folder."""
    return len(_list(folder))


def _list(folder: str | os.PathLike) -> list[str]:
    """Names of the episode files of a folder, in any order."""
    try:
        return [name for name in os.listdir(folder) if name.endswith(SUFFIX)]
    except FileNotFoundError:
        return []
