"""The improved cross-entropy method, iCEM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from planet.control.planning import loop
from planet.control.planning.beliefs import Categorical, Gaussian


def _blank(
    num_envs: int,
    horizon: int,
    action_size: int,
    topk: int = 100,
    icem_keep: float = 0.3,
) -> dict[str, tf.Tensor]:
    """A memory without elites: what is not a number has yet to be drawn."""
    kept = [num_envs, _amount_kept(topk, icem_keep), horizon, action_size]
    return {
        "center": tf.zeros([num_envs, horizon, action_size]),
        "elites": tf.fill(kept, float("nan")),
    }


@loop.remembers(_blank)
def icem(
    cell,
    objective_fn: Callable[[dict[str, tf.Tensor]], tf.Tensor],
    state: dict[str, tf.Tensor],
    action_shape: tuple[int],
    horizon: int,
    amount: int = 1000,
    topk: int = 100,
    iterations: int = 10,
    discount: float = 0.99,
    warm_start: dict[str, tf.Tensor] | None = None,
    action_bounds: tuple[float, float] = (-1.0, 1.0),
    initial_sigma: float = 1.0,
    icem_beta: float = 2.0,
    icem_decay: float = 1.25,
    icem_keep: float = 0.3,
    icem_momentum: float = 0.1,
) -> loop.Plan:
    """Searches like the cross-entropy method, with fewer candidates.

        a ~ mean + stddev * noise,  power of the noise at frequency f ~ f ** -beta
        mean, stddev <- momentum (mean, stddev) + (1 - momentum) (moments of the elites)

    Iteration i has amount / decay ** i candidates, but at least twice the elites. A
    share of an iteration's elites are candidates of the next one again and, with a
    warm start, of the next decision, shifted by a step. The mean is a candidate of the
    last iteration. What is executed is the best candidate of that.

    Source: Pinneri et al. 2020, "Sample-efficient cross-entropy method for real-time
    planning", algorithm 1.

    Args:
      cell: as for `cross_entropy_method`.
      objective_fn: as for `cross_entropy_method`.
      state: where to start, entries [B, ...]; B is static.
      action_shape: shape of one action, (A,).
      horizon: steps to plan, H.
      amount: candidates of the first iteration, N, the ones that are kept included.
      topk: elites to which the belief is refit, K.
      iterations: rounds of drawing and refitting; with 0 the initial mean is the plan.
      discount: weight of a step's reward relative to the step before.
      warm_start: the last plan's `memory`, shifted by a step: `center`, the initial
        mean [B, H, A], and `elites`, candidates [B, .., H, A].
      action_bounds: smallest and largest value of each entry of an action.
      initial_sigma: initial standard deviation.
      icem_beta: how fast the power of the noise falls with frequency; 0: white noise.
      icem_decay: by what the number of candidates is divided in each iteration.
      icem_keep: share of the elites that are kept.
      icem_momentum: share of the last belief that a refit leaves.

    Returns:
      The plan; its action is the first of the best candidate.
    """
    batch = tf.nest.flatten(state)[0].shape[0]
    shape = batch, horizon, *action_shape
    center = None if warm_start is None else warm_start["center"]

    def draw(belief, number):
        return tf.clip_by_value(belief.draw(number, icem_beta), *action_bounds)

    def imagine(actions):
        return loop.imagine(cell, objective_fn, state, actions, discount)

    start = Gaussian.start(shape, initial_sigma, center)
    return _icem(
        start,
        draw,
        imagine,
        warm_start,
        amount,
        topk,
        iterations,
        icem_decay,
        icem_keep,
        icem_momentum,
    )


@loop.remembers(_blank)
def discrete_icem(
    cell,
    objective_fn: Callable[[dict[str, tf.Tensor]], tf.Tensor],
    state: dict[str, tf.Tensor],
    action_shape: tuple[int],
    horizon: int,
    amount: int = 1000,
    topk: int = 100,
    iterations: int = 10,
    discount: float = 0.99,
    warm_start: dict[str, tf.Tensor] | None = None,
    select: str = "mode",
    smoothing: float = 0.2,
    icem_beta: float = 2.0,
    icem_decay: float = 1.25,
    icem_keep: float = 0.3,
    icem_momentum: float = 0.1,
) -> loop.Plan:
    """The same search among sequences of one-hot actions.

    The belief is a categorical distribution at each step. Coloured noise makes its
    candidates repeat their actions, see `Categorical.draw_coloured`.

    Args:
      cell: as for `icem`.
      objective_fn: as for `icem`.
      state: where to start, entries [B, ...]; B is static.
      action_shape: (A,), the number of actions.
      horizon: steps to plan, H.
      amount: as for `icem`.
      topk: as for `icem`.
      iterations: rounds of drawing and refitting; with 0, the initial belief's
        likeliest action is taken.
      discount: weight of a step's reward relative to the step before.
      warm_start: as for `icem`; its center holds logits, which are smoothed.
      select: `best` takes the first action of the best candidate of the last iteration,
        `mode` the likeliest first action of the final belief, `sample` draws from it.
      smoothing: share of a warm start's chances that is spread evenly.
      icem_beta: as for `icem`.
      icem_decay: as for `icem`.
      icem_keep: as for `icem`.
      icem_momentum: as for `icem`.

    Returns:
      The plan; its action is one-hot.
    """
    batch = tf.nest.flatten(state)[0].shape[0]
    center = None if warm_start is None else warm_start["center"]

    def draw(belief, number):
        return belief.draw_coloured(number, icem_beta)

    def imagine(actions):
        return loop.imagine(cell, objective_fn, state, actions, discount)

    start = Categorical.start((batch, horizon, *action_shape), center, smoothing)
    plan = _icem(
        start,
        draw,
        imagine,
        warm_start,
        amount,
        topk,
        iterations,
        icem_decay,
        icem_keep,
        icem_momentum,
    )
    action = Categorical(plan.belief).choose(select, best=plan.action)
    return plan._replace(action=action)


def _icem(
    start: Any,
    draw: Callable[[Any, int], tf.Tensor],
    imagine: Callable[[tf.Tensor], tf.Tensor],
    warm_start: dict[str, tf.Tensor] | None,
    amount: int,
    topk: int,
    iterations: int,
    decay: float,
    keep: float,
    momentum: float,
) -> loop.Plan:
    """The search for any kind of belief.

    Iterations differ in their number of candidates, so the loop is unrolled. One graph
    for any number of candidates would be smaller, but XLA needs to know the shapes.
    """
    batch, horizon, size = start.center.shape
    numbers = sizes(amount, topk, iterations, decay)
    share = _amount_kept(topk, keep)

    def propose(belief, iteration):
        belief, kept = belief
        actions = draw(belief, numbers[iteration])
        again = tf.where(tf.math.is_nan(kept), actions[:, :share], kept)
        actions = tf.concat([again, actions[:, share:]], 1)
        if iteration == iterations - 1:
            mean = belief.likeliest[:, None]
            actions = tf.concat([actions[:, :-1], mean], 1)
        return actions

    def attempt(actions):
        missing = [[0, 0], [0, amount - actions.shape[1]]]
        return actions, tf.pad(imagine(actions), missing, constant_values=-np.inf)

    def refit(belief, actions, returns):
        belief, _ = belief
        ranked = loop.elites(actions, returns, topk, ranked=True)
        belief = belief.towards(belief.fit(ranked), momentum)
        return belief, ranked[:, :share]

    kept = _blank(batch, horizon, size, topk, keep)["elites"]
    if warm_start is not None:  # What comes after their last step is not known.
        known = tf.range(horizon) < horizon - 1
        kept = tf.where(known[:, None], warm_start["elites"], kept)
    (belief, kept), returns = loop.search(
        (start, kept), propose, attempt, refit, iterations, batch, amount, unroll=True
    )
    memory = {"center": belief.center, "elites": kept}
    best = kept[:, 0, 0] if iterations else start.likeliest[:, 0]
    return loop.Plan(best, belief.center, returns, memory)


def sizes(amount: int, topk: int, iterations: int, decay: float) -> list[int]:
    """Candidates of each iteration: fewer and fewer, but at least twice the elites."""
    least = min(amount, 2 * topk)
    return [max(least, int(amount / decay**i)) for i in range(iterations)]


def _amount_kept(topk: int, share: float) -> int:
    """How many of the elites are kept: the best one in any case."""
    return max(1, int(share * topk))
