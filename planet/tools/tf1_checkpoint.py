"""Weights in checkpoints, by the names that the original programs gave them.

Our own checkpoints hold the weights under the same names, in `model/weights`; agents to
pass on hold nothing else (`weight_files`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from planet.tools import original_names, weight_files

LISTED = 3  # Problems of each kind that a message lists.
_OURS = "model/weights/"
_OURS_END = "/.ATTRIBUTES/VARIABLE_VALUE"


class CheckpointError(ValueError):
    """A checkpoint that can't be read, or whose variables don't fit the model."""


class DamagedCheckpointError(CheckpointError):
    """A checkpoint that can't be read, or holds what nobody would save."""


def names(model) -> dict[str, keras.Variable]:
    """The variables of a model by name; see `original_names`.

    Args:
      model: offers `parts`, its layers by name; or a cell alone.
    """
    return original_names.names(getattr(model, "parts", {"cell": model}))


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The weights in a checkpoint, by name.

    Optimizer slots, counters and whatever else is not a weight are ignored.

    Args:
      path: prefix of the original's checkpoint or of ours, without `.index`; or a
        folder, of `weight_files` or of checkpoints, the newest of which is read.

    Raises:
      DamagedCheckpointError: when the file can't be read.
    """
    path = locate(path)
    try:
        if weight_files.is_folder(path):
            return weight_files.read(path)
        reader = tf.train.load_checkpoint(path)
        keys = {_weight(key): key for key in reader.get_variable_to_shape_map()}
        return {name: reader.get_tensor(key) for name, key in keys.items() if name}
    except (ValueError, OSError, tf.errors.OpError) as error:
        raise DamagedCheckpointError(
            f"cannot read checkpoint {path}: {' '.join(str(error).split())}"
        ) from error


def locate(path: str | os.PathLike) -> str:
    """The newest checkpoint in a folder of checkpoints; any other path as it is."""
    path = os.fspath(path)
    if os.path.isdir(path) and not weight_files.is_folder(path):
        with contextlib.suppress(ValueError):  # What lists them is damaged.
            return tf.train.latest_checkpoint(path) or path
    return path


def load(model, path: str | os.PathLike, optional: Iterable[str] = ()) -> list[str]:
    """Sets the weights of a model to those of a checkpoint.

    Args:
      model: the model to change, built from the checkpoint's parameters.
      path: as for `read`.
      optional: parts that either of the two may lack; nothing changes in these.

    Returns:
      Which of the optional parts only the model has.

    Raises:
      CheckpointError: when the file can't be read, or when variables are missing,
        left over or of another shape; the message lists them, the model is unchanged.
    """
    found, wanted = read(path), names(model)
    lacking = []
    for part in optional:
        there, here = (
            [name for name in weights if name.startswith(f"graph/{part}/")]
            for weights in (found, wanted)
        )
        if not there or not here:
            found = {key: found[key] for key in found.keys() - there}
            wanted = {key: wanted[key] for key in wanted.keys() - here}
            lacking += [part] if here else []
    shapes = {
        name: (found[name].shape, tuple(wanted[name].shape))
        for name in sorted(wanted.keys() & found.keys())
    }
    problems = [
        *_first(f"missing {name}" for name in sorted(wanted.keys() - found)),
        *_first(f"not in the model: {name}" for name in sorted(found.keys() - wanted)),
        *_first(
            f"{name} has shape {have}, the model wants {want}"
            for name, (have, want) in shapes.items()
            if have != want
        ),
    ]
    if problems:
        raise CheckpointError(
            f"checkpoint {path} does not fit the model:\n  " + "\n  ".join(problems)
        )
    for name, variable in wanted.items():
        variable.assign(found[name])
    return lacking


def _first(problems: Iterable[str]) -> list[str]:
    """The first ones of many problems of a kind, and how many more there are."""
    problems = list(problems)
    more = len(problems) - LISTED
    return problems[:LISTED] + ([f"and {more} more"] if more > 0 else [])


def _weight(key: str) -> str | None:
    """The name of the weight that a checkpoint keeps under a key, if it is one."""
    if key.startswith(_OURS) and key.endswith(_OURS_END):
        return key[len(_OURS) : -len(_OURS_END)].replace(".S", "/")
    if key.startswith("graph/"):
        name = key.removesuffix(":0")
        if name.rsplit("/", 1)[-1] in ("kernel", "bias", "w_ru", "b_ru", "w_c", "b_c"):
            return name
    return None
