"""Planning by the cross-entropy method in latent space."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from planet.tools import noise, unroll


class Plan(NamedTuple):
    """What a planner found, for each of B environments.

    Attributes:
      action: first action of the final mean, [B, A].
      mean: mean of the final belief over action sequences, [B, H, A].
      stddev: its standard deviation, [B, H, A].
      returns: imagined return of every candidate, [iterations, B, amount].
    """

    action: tf.Tensor
    mean: tf.Tensor
    stddev: tf.Tensor
    returns: tf.Tensor


def cross_entropy_method(
    cell,
    objective_fn: Callable[[dict[str, tf.Tensor]], tf.Tensor],
    state: dict[str, tf.Tensor],
    action_shape: tuple[int],
    horizon: int,
    amount: int = 1000,
    topk: int = 100,
    iterations: int = 10,
    discount: float = 0.99,
    warm_start: tf.Tensor | None = None,
    action_bounds: tuple[float, float] = (-1.0, 1.0),
) -> Plan:
    """Searches the action sequence with the highest imagined return.

    Every environment of the batch is planned for by itself: its candidates start from
    its own state.

    Source: Hafner et al. 2019, section 3 and algorithm 2.

    Args:
      cell: offers `transition` from states and actions [N, ...] to states [N, ...].
      objective_fn: rewards [N, H] of imagined states [N, H, ...].
      state: where to start, entries [B, ...]; B is static.
      action_shape: shape of one action, (A,).
      horizon: steps to plan, H.
      amount: candidates drawn in each iteration.
      topk: elites to which the belief is refit.
      iterations: rounds of drawing and refitting; with 0 the initial mean is the plan.
      discount: weight of a step's reward relative to the step before.
      warm_start: initial mean [B, H, A]; zeros if not given.
      action_bounds: smallest and largest value of each entry of an action.

    Returns:
      The plan.
    """
    batch = tf.nest.flatten(state)[0].shape[0]
    mean = tf.zeros([batch, horizon, *action_shape])
    stddev = tf.ones_like(mean)
    if warm_start is not None:
        mean += warm_start
    start = tf.nest.map_structure(lambda entry: tf.repeat(entry, amount, 0), state)
    history = tf.TensorArray(tf.float32, iterations, element_shape=[batch, amount])
    seed = noise.seed()
    for iteration in tf.range(iterations):
        with noise.stream(tf.random.fold_in(seed, iteration)):
            spread = noise.normal([batch, amount, horizon, *action_shape])
            actions = mean[:, None] + stddev[:, None] * spread
            actions = tf.clip_by_value(actions, *action_bounds)
            merged = tf.reshape(actions, [batch * amount, horizon, *action_shape])
            imagined = unroll.open_loop(cell, start, merged)
        returns = discounted_return(objective_fn(imagined), discount)
        returns = tf.reshape(returns, [batch, amount])
        best = tf.math.top_k(returns, topk, sorted=False).indices
        elites = tf.gather(actions, best, batch_dims=1)
        mean, variance = tf.nn.moments(elites, 1)
        stddev = tf.sqrt(variance + 1e-6)
        history = history.write(iteration, returns)
    return Plan(mean[:, 0], mean, stddev, history.stack())


def discounted_return(rewards: tf.Tensor, discount: float) -> tf.Tensor:
    """Sum of discount ** k times the k-th reward, [N] from rewards [N, H]."""
    steps = tf.range(rewards.shape[1], dtype=rewards.dtype)
    return tf.linalg.matvec(rewards, discount**steps)


def shift(plan: tf.Tensor) -> tf.Tensor:
    """A plan [B, H, A] one step later: its first step dropped, a neutral one added."""
    return tf.concat([plan[:, 1:], tf.zeros_like(plan[:, :1])], 1)
