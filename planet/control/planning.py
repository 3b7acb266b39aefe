"""Planning by the cross-entropy method in latent space."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from planet.tools import noise, unroll

# Share of the initial belief that is spread evenly over the actions, so that a warm
# start can still find each of them.
SMOOTHING = 0.2


class Plan(NamedTuple):
    """What a planner found, for each of B environments.

    Attributes:
      action: what to do now, [B, A].
      belief: center of the final belief over action sequences, [B, H, A]: their mean,
        or logits where actions are discrete.
      returns: imagined return of every candidate, [iterations, B, amount].
    """

    action: tf.Tensor
    belief: tf.Tensor
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
      objective_fn: rewards [B, N, H] of imagined states [B, N, H, ...].
      state: where to start, entries [B, ...]; B is static.
      action_shape: shape of one action, (A,).
      horizon: steps to plan, H.
      amount: candidates drawn in each iteration, N.
      topk: elites to which the belief is refit.
      iterations: rounds of drawing and refitting; with 0 the initial mean is the plan.
      discount: weight of a step's reward relative to the step before.
      warm_start: initial mean [B, H, A]; zeros if not given.
      action_bounds: smallest and largest value of each entry of an action.

    Returns:
      The plan; its action is the first of the final mean.
    """
    batch = tf.nest.flatten(state)[0].shape[0]
    mean = tf.zeros([batch, horizon, *action_shape])
    stddev = tf.ones_like(mean)
    if warm_start is not None:
        mean += warm_start
    history = tf.TensorArray(tf.float32, iterations, element_shape=[batch, amount])
    seed = noise.seed()
    for iteration in tf.range(iterations):
        with noise.stream(tf.random.fold_in(seed, iteration)):
            spread = noise.normal([batch, amount, horizon, *action_shape])
            actions = mean[:, None] + stddev[:, None] * spread
            actions = tf.clip_by_value(actions, *action_bounds)
            returns = imagine(cell, objective_fn, state, actions, discount)
        best = tf.math.top_k(returns, topk, sorted=False).indices
        elites = tf.gather(actions, best, batch_dims=1)
        mean, variance = tf.nn.moments(elites, 1)
        stddev = tf.sqrt(variance + 1e-6)
        history = history.write(iteration, returns)
    return Plan(mean[:, 0], mean, history.stack())


def discrete_cross_entropy_method(
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
    select: str = "mode",
) -> Plan:
    """Searches the sequence of one-hot actions with the highest imagined return.

    The belief is a categorical distribution at each step, refit to how often the
    elites take each action.

    Args:
      cell: as for `cross_entropy_method`.
      objective_fn: as for `cross_entropy_method`.
      state: where to start, entries [B, ...]; B is static.
      action_shape: (A,), the number of actions.
      horizon: steps to plan, H.
      amount: candidates drawn in each iteration, N.
      topk: elites to which the belief is refit.
      iterations: rounds of drawing and refitting; with 0, the initial belief's
        likeliest action is taken.
      discount: weight of a step's reward relative to the step before.
      warm_start: initial logits [B, H, A]; they are smoothed, so that no action is out
        of reach. Zeros, which stand for even chances, if not given.
      select: `best` takes the first action of the best sequence of the last iteration,
        `mode` the likeliest first action of the final belief.

    Returns:
      The plan; its action is one-hot.
    """
    batch = tf.nest.flatten(state)[0].shape[0]
    (size,) = action_shape
    logits = tf.zeros([batch, horizon, size])
    if warm_start is not None:
        logits = _smoothed(tf.nn.softmax(logits + warm_start), SMOOTHING)
    action = tf.one_hot(tf.argmax(logits[:, 0], -1), size)
    history = tf.TensorArray(tf.float32, iterations, element_shape=[batch, amount])
    seed = noise.seed()
    for iteration in tf.range(iterations):
        with noise.stream(tf.random.fold_in(seed, iteration)):
            choices = noise.categorical(tf.reshape(logits, [-1, size]), amount)
            choices = tf.reshape(choices, [batch, horizon, amount])
            actions = tf.one_hot(tf.transpose(choices, [0, 2, 1]), size)
            returns = imagine(cell, objective_fn, state, actions, discount)
        best = tf.math.top_k(returns, topk).indices
        elites = tf.gather(actions, best, batch_dims=1)
        logits = _smoothed(tf.reduce_mean(elites, 1), 1e-6)
        action = elites[:, 0, 0]
        history = history.write(iteration, returns)
    if select == "mode":
        action = tf.one_hot(tf.argmax(logits[:, 0], -1), size)
    return Plan(action, logits, history.stack())


def imagine(
    cell,
    objective_fn: Callable[[dict[str, tf.Tensor]], tf.Tensor],
    state: dict[str, tf.Tensor],
    actions: tf.Tensor,
    discount: float,
) -> tf.Tensor:
    """Returns of sequences of actions, each from the state of its own environment.

    Args:
      cell: offers `transition`.
      objective_fn: rewards [B, N, H] of imagined states [B, N, H, ...].
      state: where to start, entries [B, ...].
      actions: N sequences for each environment, [B, N, H, A].
      discount: weight of a step's reward relative to the step before.

    Returns:
      Imagined returns, [B, N].
    """
    batch, amount, horizon, size = actions.shape
    start = tf.nest.map_structure(lambda entry: tf.repeat(entry, amount, 0), state)
    merged = tf.reshape(actions, [batch * amount, horizon, size])
    imagined = unroll.open_loop(cell, start, merged)
    imagined = tf.nest.map_structure(
        lambda entry: tf.reshape(entry, [batch, amount, *entry.shape[1:]]), imagined
    )
    return discounted_return(objective_fn(imagined), discount)


def discounted_return(rewards: tf.Tensor, discount: float) -> tf.Tensor:
    """Sum of discount ** k times the k-th reward, [...] from rewards [..., H]."""
    steps = tf.range(rewards.shape[-1], dtype=rewards.dtype)
    return tf.linalg.matvec(rewards, discount**steps)


def shift(belief: tf.Tensor) -> tf.Tensor:
    """A belief [B, H, A] a step later: its first step dropped, a neutral one added."""
    return tf.concat([belief[:, 1:], tf.zeros_like(belief[:, :1])], 1)


def _smoothed(probabilities: tf.Tensor, share: float) -> tf.Tensor:
    """Logits of probabilities [..., A], of which a share is spread evenly."""
    even = 1.0 / probabilities.shape[-1]
    return tf.math.log((1.0 - share) * probabilities + share * even)
