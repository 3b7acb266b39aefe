"""Weights of checkpoints that the original programs wrote."""

from __future__ import annotations

import os

import keras
import tensorflow as tf


class CheckpointError(ValueError):
    """A checkpoint that can't be read, or whose variables don't fit the model."""


def names(model) -> dict[str, keras.Variable]:
    """The model's variables by the names they have in the original's checkpoints.

    Args:
      model: offers `scopes`, its layers by the scope of their variables.

    Returns:
      Variables by name, for example `graph/rnn/rssm/transition/dense/kernel`.
    """
    return {
        f"graph/{scope}/{variable.name}": variable
        for scope, layer in model.scopes.items()
        for variable in layer.trainable_variables
    }


def load(model, path: str | os.PathLike) -> None:
    """Sets the weights of a model to those of an original TensorFlow 1 checkpoint.

    Optimizer slots, counters and whatever else lies outside `graph/` are ignored.

    Args:
      model: the model to change, built from the checkpoint's parameters.
      path: prefix of the checkpoint, without `.index`.

    Raises:
      CheckpointError: when the file can't be read, or when variables are missing,
        left over or of another shape; the message lists them, the model is unchanged.
    """
    reader = _open(path)
    found = {
        name.removesuffix(":0"): (name, shape)
        for name, shape in reader.get_variable_to_shape_map().items()
        if _is_weight(name)
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


def is_original(path: str | os.PathLike) -> bool:
    """Whether a checkpoint holds a model as the original programs save it.

    Raises:
      CheckpointError: when the file can't be read.
    """
    return any(map(_is_weight, _open(path).get_variable_to_shape_map()))


def _open(path: str | os.PathLike):
    """A reader of the checkpoint with that prefix."""
    try:
        return tf.train.load_checkpoint(os.fspath(path))
    except (ValueError, tf.errors.OpError) as error:
        raise CheckpointError(f"cannot read checkpoint {path}: {error}") from error


def _is_weight(name: str) -> bool:
    """Whether a variable belongs to the model and is not an optimizer's slot."""
    if not name.startswith("graph/"):
        return False
    last = name.removesuffix(":0").rsplit("/", 1)[-1]
    return last in ("kernel", "bias", "w_ru", "b_ru", "w_c", "b_c")
