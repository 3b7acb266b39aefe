"""Weights in checkpoints, by the names that the original programs gave them.

Our own checkpoints hold the weights under the same names, in `model/weights`.
"""

from __future__ import annotations

import os

import keras
import tensorflow as tf

from planet.tools import original_names

_OURS = "model/weights/"
_OURS_END = "/.ATTRIBUTES/VARIABLE_VALUE"


class CheckpointError(ValueError):
    """A checkpoint that can't be read, or whose variables don't fit the model."""


def names(model) -> dict[str, keras.Variable]:
    """The variables of a model by name; see `original_names`.

    Args:
      model: offers `parts`, its layers by name; or a cell alone.
    """
    return original_names.names(getattr(model, "parts", {"cell": model}))


def load(model, path: str | os.PathLike) -> None:
    """Sets the weights of a model to those of a checkpoint, the original's or ours.

    Optimizer slots, counters and whatever else is not a weight are ignored.

    Args:
      model: the model to change, built from the checkpoint's parameters.
      path: prefix of the checkpoint, without `.index`, or a folder, whose newest
        checkpoint is loaded.

    Raises:
      CheckpointError: when the file can't be read, or when variables are missing,
        left over or of another shape; the message lists them, the model is unchanged.
    """
    path = os.fspath(path)
    if os.path.isdir(path):
        path = tf.train.latest_checkpoint(path) or path
    try:
        reader = tf.train.load_checkpoint(path)
    except (ValueError, tf.errors.OpError) as error:
        raise CheckpointError(f"cannot read checkpoint {path}: {error}") from error
    found = {
        name: (key, shape)
        for key, shape in reader.get_variable_to_shape_map().items()
        if (name := _weight(key))
    }
    wanted = names(model)
    problems = [f"missing {name}" for name in sorted(wanted.keys() - found.keys())]
    problems += [f"not in the model: {name}" for name in sorted(found.keys() - wanted)]
    for name in sorted(wanted.keys() & found.keys()):
        have, want = tuple(found[name][1]), tuple(wanted[name].shape)
        if have != want:
            problems.append(f"{name} has shape {have}, the model wants {want}")
    if problems:
        raise CheckpointError(
            f"checkpoint {path} does not fit the model:\n  " + "\n  ".join(problems)
        )
    for name, variable in wanted.items():
        variable.assign(reader.get_tensor(found[name][0]))


def _weight(key: str) -> str | None:
    """The name of the weight that a checkpoint keeps under a key, if it is one."""
    if key.startswith(_OURS) and key.endswith(_OURS_END):
        return key[len(_OURS) : -len(_OURS_END)].replace(".S", "/")
    if key.startswith("graph/"):
        name = key.removesuffix(":0")
        if name.rsplit("/", 1)[-1] in ("kernel", "bias", "w_ru", "b_ru", "w_c", "b_c"):
            return name
    return None
