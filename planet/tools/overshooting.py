"""Latent overshooting: open-loop predictions from every step of a sequence."""

from __future__ import annotations

import tensorflow as tf


def overshooting(
    cell, posterior: dict[str, tf.Tensor], actions: tf.Tensor, amount: int
) -> list[dict[str, tf.Tensor]]:
    """Predicts up to `amount` steps beyond the one-step prior from every posterior.

    From the posterior at t - 1 (the zero state for t = 0) the transition is rolled
    over t ... t + amount. Predictions beyond the end of the sequence are not computed,
    so the result is a triangle: for T = 4 and amount = 2, by the time predicted,

        distance 0:  0 1 2 3     from the posteriors at  -1 0 1 2
        distance 1:    1 2 3     from the posteriors at  -1 0 1
        distance 2:      2 3     from the posteriors at  -1 0

    Source: Hafner et al. 2019, section 4 and equation 7.

    Args:
      cell: offers `zero_state` and `transition`.
      posterior: closed-loop posteriors, entries [B, T, ...].
      actions: the action that leads to each step, [B, T, A].
      amount: largest distance, less than T.

    Returns:
      Priors by distance, 0 to amount; entries [B, T - distance, ...], where element t
      is the prior of time t + distance.
    """
    batch, steps = tf.shape(actions)[0], actions.shape[1]
    state = tf.nest.map_structure(
        lambda zero, later: tf.concat([zero[:, None], later[:, :-1]], 1),
        cell.zero_state(batch),
        posterior,
    )
    priors = []
    for distance in range(amount + 1):
        left = steps - distance
        state = tf.nest.map_structure(lambda entry: _merge(entry[:, :left]), state)  # noqa: B023
        state = cell.transition(state, _merge(actions[:, distance:]))
        state = tf.nest.map_structure(lambda entry: _divide(entry, left), state)  # noqa: B023
        priors.append(state)
    return priors


def _merge(tensor: tf.Tensor) -> tf.Tensor:
    """[B, T, ...] to [B * T, ...]."""
    return tf.reshape(tensor, tf.concat([[-1], tf.shape(tensor)[2:]], 0))


def _divide(tensor: tf.Tensor, steps: int) -> tf.Tensor:
    """[B * steps, ...] to [B, steps, ...]."""
    return tf.reshape(tensor, tf.concat([[-1, steps], tf.shape(tensor)[1:]], 0))
