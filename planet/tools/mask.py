"""Masks of valid steps in padded sequences."""

from __future__ import annotations

import tensorflow as tf


def from_length(length: tf.Tensor, steps: int) -> tf.Tensor:
    """Which steps lie inside the sequences.

    Args:
      length: number of valid steps of each sequence, int [B].
      steps: number of steps of the padded sequences, T.

    Returns:
      bool [B, T], true for valid steps.
    """
    return tf.sequence_mask(length, steps)


def apply(tensor: tf.Tensor, mask: tf.Tensor, value: float = 0.0) -> tf.Tensor:
    """Replaces what is masked, and keeps its NaNs out of the gradient.

    Args:
      tensor: [*mask.shape, ...].
      mask: bool, true where the tensor is kept.
      value: what replaces it elsewhere.

    Returns:
      A tensor like the first argument.
    """
    missing = tensor.shape.rank - mask.shape.rank
    mask = tf.reshape(mask, tf.concat([tf.shape(mask), [1] * missing], 0))
    return tf.where(mask, tensor, tf.cast(value, tensor.dtype))


def mean(tensor: tf.Tensor, mask: tf.Tensor, axis: int) -> tf.Tensor:
    """Mean over the valid elements along one axis; 0 where there is none.

    Args:
      tensor: values of any rank.
      mask: bool of the same shape.
      axis: the axis that disappears.

    Returns:
      A tensor with one rank less.
    """
    total = tf.reduce_sum(apply(tensor, mask), axis)
    return tf.math.divide_no_nan(
        total, tf.reduce_sum(tf.cast(mask, tensor.dtype), axis)
    )
