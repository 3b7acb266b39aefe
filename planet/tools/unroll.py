"""Unrolls cells over sequences."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def closed_loop(
    cell, embedded: tf.Tensor, actions: tf.Tensor
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Filters a sequence: every step sees its observation.

    Args:
      cell: offers `zero_state` and `observe`.
      embedded: encoded observations, [B, T, E].
      actions: the action that leads to each of them, [B, T, A].

    Returns:
      Priors and posteriors, entries [B, T, ...].
    """
    state = cell.zero_state(tf.shape(embedded)[0])
    priors, posteriors = [], []
    for step in range(embedded.shape[1]):
        prior, state = cell.observe(state, actions[:, step], embedded[:, step])
        priors.append(prior)
        posteriors.append(state)
    return stack(priors), stack(posteriors)


def open_loop(
    cell,
    state: dict[str, tf.Tensor],
    actions: tf.Tensor,
    act: Callable[[dict[str, tf.Tensor], tf.Tensor], tf.Tensor] | None = None,
) -> dict[str, tf.Tensor]:
    """Imagines a sequence: no step sees an observation.

    Args:
      cell: offers `transition`.
      state: where to start, entries [N, ...].
      actions: the action that leads to each step, [N, T, A]; with `act`, what that
        makes it from, [N, T, X].
      act: actions [N, A] from the states that they follow, entries [N, ...], and from
        the step's [N, X].

    Returns:
      Priors, entries [N, T, ...].
    """
    priors = []
    for step in range(actions.shape[1]):
        action = actions[:, step]
        if act is not None:
            action = act(state, action)
        state = cell.transition(state, action)
        priors.append(state)
    return stack(priors)


def stack(states: list[dict[str, tf.Tensor]]) -> dict[str, tf.Tensor]:
    """Joins states of single steps, entries [N, ...], into entries [N, T, ...]."""
    return tf.nest.map_structure(lambda *steps: tf.stack(steps, 1), *states)
