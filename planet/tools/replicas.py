"""What replicas of a computation, each with a share of a batch, know of one another.

Losses are means over a batch, so that the mean over the replicas of what each computes
from its share is what the whole batch gives, and so are gradients. What is no such mean
is made one here. Without replicas, these functions change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import tensorflow as tf

from planet.tools import devices
from planet.tools import mask as mask_lib

Structure = TypeVar("Structure")


def amount() -> int:
    """How many replicas compute what is being computed."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def share(batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The sequences of a batch, entries [B, ...], that this replica is in charge of.

    Returns:
      Entries [B / replicas, ...].

    Raises:
      ValueError: the replicas do not divide B.
    """
    if amount() == 1:
        return dict(batch)
    shares = {key: tf.split(value, amount()) for key, value in batch.items()}
    return {key: tf.stack(value)[_index()] for key, value in shares.items()}


def own(seed: tf.Tensor) -> tf.Tensor:
    """The seed [2] of this replica's noise, from that of the whole batch."""
    return seed if amount() == 1 else tf.random.fold_in(seed, _index())


def mean(structure: Structure) -> Structure:
    """The mean over the replicas, the same for all of them.

    All is sent at once, as a single vector.

    Args:
      structure: float32 tensors of any shapes, nested; None where there is none.
    """
    if amount() == 1:
        return structure
    entries = tf.nest.flatten(structure)
    tensors = [entry for entry in entries if entry is not None]
    vector = tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)
    vector = tf.distribute.get_replica_context().all_reduce("MEAN", vector)
    parts = tf.split(vector, [tensor.shape.num_elements() for tensor in tensors])
    means = (
        tf.reshape(part, tensor.shape)
        for part, tensor in zip(parts, tensors, strict=True)
    )
    entries = [None if entry is None else next(means) for entry in entries]
    return tf.nest.pack_sequence_as(structure, entries)


class Valid:
    """The valid entries of a whole batch.

    What its methods return is, as the mean over the replicas, what they say.

    Args:
      mask: which entries of this replica's share are valid, bool of any shape.
    """

    def __init__(self, mask: tf.Tensor):
        self._mask = mask
        self._count = mean(tf.reduce_sum(tf.cast(mask, tf.float32)))

    def sum(self, values: tf.Tensor) -> tf.Tensor:
        """Sum of values of the mask's shape."""
        return amount() * self._share(values)

    def mean(self, values: tf.Tensor) -> tf.Tensor:
        """Mean of values of the mask's shape; 0 if no entry is valid."""
        return tf.math.divide_no_nan(self._share(values), self._count)

    def _share(self, values):
        """Sum over the valid entries that this replica has."""
        return tf.reduce_sum(mask_lib.apply(values, self._mask))


def part(compute: Callable, jit: str) -> Callable:
    """A part of what replicas compute, in which they do not wait for one another.

    XLA cannot compile the whole, so it compiles such parts.

    Args:
      compute: what to compute, from tensors.
      jit: as for `devices.function`.
    """
    if not devices.uses_xla(jit):
        return compute
    compiled = devices.function(compute, jit)

    def run(*arguments: Any) -> Any:
        return (compute if amount() == 1 else compiled)(*arguments)

    return run


def _index() -> int | tf.Tensor:
    """Number of this replica, from 0."""
    return tf.distribute.get_replica_context().replica_id_in_sync_group
