"""Model-predictive path integral control."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from planet.control.planning import loop
from planet.control.planning.beliefs import Categorical, Gaussian


def mppi(
    cell,
    objective_fn: Callable[[dict[str, tf.Tensor]], tf.Tensor],
    state: dict[str, tf.Tensor],
    action_shape: tuple[int],
    horizon: int,
    amount: int = 1000,
    iterations: int = 10,
    discount: float = 0.99,
    warm_start: tf.Tensor | None = None,
    action_bounds: tuple[float, float] = (-1.0, 1.0),
    initial_sigma: float = 1.0,
    mppi_gamma: float = 2.0,
    mppi_beta: float = 0.6,
) -> loop.Plan:
    """Searches with all candidates, each weighted by its imagined return.

        a ~ N(mean, sigma),  w = exp(gamma (R - max R)) / sum
        mean <- beta mean + (1 - beta) sum(w a)

    The standard deviation stays what it is, so the search does not narrow down: its
    plan is as exact as the weights and sigma make it.

    Source: Williams et al. 2016, "Aggressive driving with model predictive path
    integral control", section III; momentum as in PG+.

    Args:
      cell: as for `cross_entropy_method`.
      objective_fn: as for `cross_entropy_method`.
      state: where to start, entries [B, ...]; B is static.
      action_shape: shape of one action, (A,).
      horizon: steps to plan, H.
      amount: candidates drawn in each iteration, N.
      iterations: rounds of drawing and refitting; with 0 the initial mean is the plan.
      discount: weight of a step's reward relative to the step before.
      warm_start: initial mean [B, H, A]; zeros if not given.
      action_bounds: smallest and largest value of each entry of an action.
      initial_sigma: standard deviation, of all iterations.
      mppi_gamma: sharpness of the weights, per unit of return; if it is infinite, the
        best candidate has all of the weight.
      mppi_beta: momentum, the share of the last belief that a refit leaves.

    Returns:
      The plan; its action is the first of the final mean.
    """
    batch = tf.nest.flatten(state)[0].shape[0]
    start = Gaussian.start((batch, horizon, *action_shape), initial_sigma, warm_start)

    def propose(belief, iteration):
        return tf.clip_by_value(belief.draw(amount), *action_bounds)

    def attempt(actions):
        return actions, loop.imagine(cell, objective_fn, state, actions, discount)

    def refit(belief, actions, returns):
        mean = weighted_mean(actions, weigh(returns, mppi_gamma))
        return belief._replace(mean=mppi_beta * belief.mean + (1 - mppi_beta) * mean)

    belief, returns = loop.search(
        start, propose, attempt, refit, iterations, batch, amount
    )
    return loop.Plan(belief.mean[:, 0], belief.mean, returns)


def discrete_mppi(
    cell,
    objective_fn: Callable[[dict[str, tf.Tensor]], tf.Tensor],
    state: dict[str, tf.Tensor],
    action_shape: tuple[int],
    horizon: int,
    amount: int = 1000,
    iterations: int = 10,
    discount: float = 0.99,
    warm_start: tf.Tensor | None = None,
    smoothing: float = 0.2,
    mppi_gamma: float = 2.0,
    mppi_beta: float = 0.6,
) -> loop.Plan:
    """The same search among sequences of one-hot actions.

    The belief is a categorical distribution at each step, whose probabilities are
    refit.

    Args:
      cell: as for `mppi`.
      objective_fn: as for `mppi`.
      state: where to start, entries [B, ...]; B is static.
      action_shape: (A,), the number of actions.
      horizon: steps to plan, H.
      amount: candidates drawn in each iteration, N.
      iterations: rounds of drawing and refitting; with 0, the initial belief's
        likeliest action is taken.
      discount: weight of a step's reward relative to the step before.
      warm_start: initial logits [B, H, A], which are smoothed.
      smoothing: share of a warm start's chances that is spread evenly.
      mppi_gamma: as for `mppi`.
      mppi_beta: as for `mppi`.

    Returns:
      The plan; its action, one-hot, is the likeliest first one of the final belief.
    """
    batch = tf.nest.flatten(state)[0].shape[0]
    start = Categorical.start((batch, horizon, *action_shape), warm_start, smoothing)

    def propose(belief, iteration):
        return belief.draw(amount)

    def attempt(actions):
        return actions, loop.imagine(cell, objective_fn, state, actions, discount)

    def refit(belief, actions, returns):
        chances = weighted_mean(actions, weigh(returns, mppi_gamma))
        return belief.towards(Categorical.of(chances), mppi_beta)

    belief, returns = loop.search(
        start, propose, attempt, refit, iterations, batch, amount
    )
    return loop.Plan(belief.likeliest[:, 0], belief.logits, returns)


def weigh(returns: tf.Tensor, gamma: float) -> tf.Tensor:
    """Weights exp(gamma (R - max R)) of candidates with returns [B, N], of sum 1."""
    behind = returns - tf.reduce_max(returns, 1, keepdims=True)
    return tf.nn.softmax(tf.math.multiply_no_nan(gamma, behind))


def weighted_mean(candidates: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Mean [B, H, X] of candidates [B, N, H, X] with weights [B, N]."""
    return tf.einsum("bn,bnhx->bhx", weights, candidates)
