"""Model states on disk: one compressed npz file for each line of the run's log.

`latents_<from>_<to>.npz` holds N steps of the newest batch at step `to`; `from` is the
step of the previous file. Its arrays:

    sample, belief  [N, size]  posterior of the model, where it has such parts
    <diagnostic>    [N, ...]   what the task observed beside the image
    sequence        [N]        which sequence of the batch a step belongs to
    phase           []         `train`, or `test`: steps the model does not learn from
"""

from __future__ import annotations

import io
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from planet.tools import atomic_files, npz

STATES = ("sample", "belief")
OTHERS = ("sequence", "phase")
PHASES = ("train", "test")
NAME = re.compile(r"latents_(\d{1,18})_(\d{1,18})\.npz")


class TornFileError(ValueError):
    """A file that does not hold model states; the message is one line."""


def write(
    folder: pathlib.Path, first: int, last: int, arrays: Mapping[str, np.ndarray]
) -> pathlib.Path:
    """Writes a file, which appears only once it is complete, and returns its path.

    Args:
      folder: where to write; created if missing.
      first: step of the previous file.
      last: step of this one.
      arrays: what it holds, by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"latents_{first}_{last}.npz"
    with atomic_files.writing(path, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    return path


def scan(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """The files of a folder by the step of each, oldest first."""
    matches = ((NAME.fullmatch(path.name), path) for path in folder.glob("*.npz"))
    return dict(sorted((int(match[2]), path) for match, path in matches if match))


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of a file.

    Raises:
      TornFileError: it is gone or damaged, an array is missing, their lengths differ,
        or they do not hold finite numbers.
    """
    try:
        with npz.reading(io.BytesIO(path.read_bytes())) as file:
            arrays: dict[str, Any] = {name: file[name] for name in file}
            arrays["phase"] = PHASES[PHASES.index(arrays["phase"])]
            lengths = {name: len(x) for name, x in arrays.items() if name != "phase"}
    except (npz.DamagedError, OSError) as error:
        raise TornFileError(f"{path} does not hold states: {error}") from error
    known = lengths.keys() & set(STATES)
    if len(set(lengths.values())) > 1 or not known or 0 in lengths.values():
        raise TornFileError(f"{path} does not hold states: lengths are {lengths}")
    for key, value in arrays.items():
        if key == "phase":
            continue
        if value.dtype.kind not in "biuf" or (key in known and value.ndim != 2):
            kind = f"{value.dtype} {list(value.shape)}"
            raise TornFileError(f"{path} does not hold states: its {key!r} is {kind}")
        if not np.isfinite(value).all():
            raise TornFileError(
                f"{path} does not hold states: its {key!r} is not finite"
            )
    return arrays
