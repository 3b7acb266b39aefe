"""Errors of predictions that may come true at any later step of a sequence."""

from __future__ import annotations

import math

import tensorflow as tf

from planet.tools import mask as mask_lib


def pairwise_errors(mean: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Negative log likelihood of every step's target given every step's prediction.

    Args:
      mean: means of unit-variance Gaussians, [B, T, ...].
      target: [B, T, ...].

    Returns:
      Errors in nats, [B, T, T], by the step of the prediction and that of the target.
    """
    shape = [-1, mean.shape[1], math.prod(mean.shape[2:])]
    mean, target = tf.reshape(mean, shape), tf.reshape(target, shape)
    squares = tf.reduce_sum(mean**2, -1)[:, :, None]
    squares += tf.reduce_sum(target**2, -1)[:, None, :]
    squares -= 2 * tf.matmul(mean, target, transpose_b=True)
    return 0.5 * (squares + shape[-1] * math.log(2 * math.pi))


def best_later_errors(errors: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """The smallest error of each step against any strictly later one.

    Source: Jayaraman et al. 2018, "Time-agnostic prediction: predicting predictable
    video frames", equation 2.

    Args:
      errors: by the step of the prediction and that of the target, [B, T, T].
      mask: valid steps, bool [B, T].

    Returns:
      Errors [B, T], which count where `has_later` is true.
    """
    valid = mask_lib.apply(errors, _later(mask), errors.dtype.max)
    return tf.reduce_min(valid, -1)


def has_later(mask: tf.Tensor) -> tf.Tensor:
    """Which of the valid steps have a valid later one, bool [B, T]."""
    return tf.reduce_any(_later(mask), -1)


def _later(mask: tf.Tensor) -> tf.Tensor:
    """Which valid steps are later than which, bool [B, T, T]."""
    steps = tf.range(mask.shape[1])
    return (steps[:, None] < steps) & mask[:, :, None] & mask[:, None, :]
