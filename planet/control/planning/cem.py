"""The cross-entropy method."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from planet.control.planning import loop
from planet.control.planning.beliefs import Categorical, Gaussian


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
    initial_sigma: float = 1.0,
) -> loop.Plan:
    """Searches the action sequence with the highest imagined return.

        a ~ N(mean, stddev),  mean, stddev <- moments of the elites

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
      initial_sigma: initial standard deviation.

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
        return Gaussian.fit(loop.elites(actions, returns, topk))

    belief, returns = loop.search(
        start, propose, attempt, refit, iterations, batch, amount
    )
    return loop.Plan(belief.mean[:, 0], belief.mean, returns)


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
    smoothing: float = 0.2,
) -> loop.Plan:
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
        `mode` the likeliest first action of the final belief, `sample` draws from it.
      smoothing: share of a warm start's chances that is spread evenly.

    Returns:
      The plan; its action is one-hot.
    """
    batch = tf.nest.flatten(state)[0].shape[0]
    start = Categorical.start((batch, horizon, *action_shape), warm_start, smoothing)

    def propose(belief, iteration):
        return belief[0].draw(amount)

    def attempt(actions):
        return actions, loop.imagine(cell, objective_fn, state, actions, discount)

    def refit(belief, actions, returns):
        ranked = loop.elites(actions, returns, topk, ranked=True)
        return Categorical.fit(ranked), ranked[:, 0, 0]

    start = start, start.likeliest[:, 0]
    (belief, best), returns = loop.search(
        start, propose, attempt, refit, iterations, batch, amount
    )
    return loop.Plan(belief.choose(select, best), belief.logits, returns)
