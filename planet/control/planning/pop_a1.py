"""POPLIN-A-Init: noise around the policy's sequence of actions."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from planet.control.planning import cem, loop


def pop_a1(
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
    *,
    policy,
) -> loop.Plan:
    """Searches around what the policy would do from here on.

        a ~ policy's sequence + N(mean, stddev),  refit to the elites

    The policy's sequence is imagined once, before the search, which is that of the
    cross-entropy method.

    Source: Wang and Ba 2019, "Exploring model-based planning with policy networks",
    section 3.2, POPLIN-A-Init; PG+.

    Args:
      cell: as for `cross_entropy_method`.
      objective_fn: as for `cross_entropy_method`.
      state: where to start, entries [B, ...]; B is static.
      action_shape: shape of one action, (A,).
      horizon: steps to plan, H.
      amount: candidates drawn in each iteration, N.
      topk: elites to which the belief is refit.
      iterations: rounds of drawing and refitting; with 0 the policy's is the plan.
      discount: weight of a step's reward relative to the step before.
      warm_start: initial mean of the noise, [B, H, A]; zeros if not given.
      action_bounds: smallest and largest value of each entry of an action.
      initial_sigma: initial standard deviation of the noise.
      policy: offers `act`, actions [N, A] from states with entries [N, ...].

    Returns:
      The plan; its belief is the mean of the noise.
    """
    center = _follow(cell, state, policy.act, policy.act, horizon)
    start = center if warm_start is None else center + warm_start
    plan = cem.cross_entropy_method(
        cell,
        objective_fn,
        state,
        action_shape,
        horizon,
        amount,
        topk,
        iterations,
        discount,
        warm_start=start,
        action_bounds=action_bounds,
        initial_sigma=initial_sigma,
    )
    return plan._replace(belief=plan.belief - center)


def discrete_pop_a1(
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
    *,
    policy,
) -> loop.Plan:
    """The same search among one-hot actions: it starts from the policy's chances.

    Args:
      cell: as for `pop_a1`.
      objective_fn: as for `pop_a1`.
      state: where to start, entries [B, ...]; B is static.
      action_shape: (A,), the number of actions.
      horizon: steps to plan, H.
      amount: candidates drawn in each iteration, N.
      topk: elites to which the belief is refit.
      iterations: rounds of drawing and refitting; with 0 the policy's is the plan.
      discount: weight of a step's reward relative to the step before.
      warm_start: what is added to the policy's logits, [B, H, A]; zeros if not given.
      select: as for `discrete_cross_entropy_method`.
      smoothing: share of the initial chances that is spread evenly.
      policy: offers `act` and `logits`, one-hot actions and logits [N, A] from states
        with entries [N, ...].

    Returns:
      The plan; its belief is what the search added to the policy's logits.
    """
    logits = _follow(cell, state, policy.act, policy.logits, horizon)
    center = tf.nn.log_softmax(logits)
    start = center if warm_start is None else center + warm_start
    plan = cem.discrete_cross_entropy_method(
        cell,
        objective_fn,
        state,
        action_shape,
        horizon,
        amount,
        topk,
        iterations,
        discount,
        warm_start=start,
        select=select,
        smoothing=smoothing,
    )
    return plan._replace(belief=plan.belief - center)


def _follow(cell, state, act: Callable, look: Callable, horizon: int) -> tf.Tensor:
    """Imagines the policy from states [B, ...]; what `look` sees of each, [B, H, A]."""
    seen = []
    for _ in range(horizon):
        seen.append(look(state))
        state = cell.transition(state, act(state))
    return tf.stack(seen, 1)
