"""Weights of an agent to pass on: in half precision, in files of less than 1 MB."""

from __future__ import annotations

import collections
import io
import os
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np

from planet.tools import npz

LIMIT = 900_000  # Bytes of a file, before compression.


def write(folder: str | os.PathLike, weights: Mapping[str, np.ndarray]) -> None:
    """Writes weights to a new folder, as compressed `001.npz`, `002.npz` and so on.

    Args:
      folder: where to write; created along with its parents.
      weights: arrays by name.

    Raises:
      ValueError: half precision cannot represent a weight.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    halves = {}
    for name, value in weights.items():
        with np.errstate(over="ignore"):  # It becomes infinite.
            halves[name] = np.asarray(value, np.float16)
        if not np.isfinite(halves[name]).all():
            raise ValueError(f"half precision cannot represent {name}")
    for number, pieces in enumerate(_divide(halves), 1):
        np.savez_compressed(folder / f"{number:03}.npz", allow_pickle=False, **pieces)


def read(folder: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads the float32 arrays that `write` wrote, by name.

    Raises:
      ValueError: a file is damaged, or a weight is not finite.
      OSError: a file cannot be read at all.
    """
    pieces = collections.defaultdict(list)
    for path in sorted(pathlib.Path(folder).glob("*.npz")):
        content = io.BytesIO(path.read_bytes())
        try:
            with npz.reading(content) as arrays:
                found = {name: arrays[name].astype(np.float32) for name in arrays}
        except npz.DamagedError as error:
            raise ValueError(f"{path} is damaged: {error}") from error
        for name, piece in found.items():
            if not np.isfinite(piece).all():
                raise ValueError(f"{path} is damaged: {name!r} is not finite")
            pieces[name].append(piece)
    return {
        name: np.concatenate(parts) if len(parts) > 1 else parts[0]
        for name, parts in pieces.items()
    }


def is_folder(path: str | os.PathLike) -> bool:
    """Tells whether a path is a folder that `write` wrote."""
    return os.path.isfile(os.path.join(path, "001.npz"))


def _divide(weights: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Contents of the files: what does not fit into one continues in the next.

    Arrays are cut between entries of their first axis. An entry larger than the limit
    gets a file of its own.
    """
    pieces, room = {}, LIMIT
    for name, value in weights.items():
        while value.nbytes > room and value.ndim:
            fitting = max(room // value[0].nbytes, 0 if pieces else 1)
            if fitting:
                pieces[name], value = value[:fitting], value[fitting:]
            yield pieces
            pieces, room = {}, LIMIT
        if value.size:
            pieces[name] = value
            room -= value.nbytes
    if pieces:
        yield pieces
