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


def best_later_error(errors: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Mean over steps of the smallest error against any strictly later step.

    Source: Jayaraman et al. 2018, "Time-agnostic prediction: predicting predictable
    video frames", equation 2.

    Args:
      errors: by the step of the prediction and that of the target, [B, T, T].
      mask: valid steps, bool [B, T].

    Returns:
      Scalar, the mean over the valid steps that have a valid later one; 0 if none has.
    """
    steps = tf.range(mask.shape[1])
    later = (steps[:, None] < steps) & mask[:, :, None] & mask[:, None, :]
    best = tf.reduce_min(mask_lib.apply(errors, later, errors.dtype.max), -1)
    counts = tf.reshape(tf.reduce_any(later, -1), [-1])
    return mask_lib.mean(tf.reshape(best, [-1]), counts, 0)
