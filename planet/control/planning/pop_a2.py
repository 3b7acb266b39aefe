"""POPLIN-A-Replan: noise on the policy's actions, in closed loop."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from planet.control.planning import loop
from planet.control.planning.beliefs import Gaussian


def pop_a2(
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
    """Searches noise for the policy's actions, which see where the noise leads.

        a_t = policy(s_t) + noise_t,  noise ~ N(mean, stddev), refit to the elites

    Source: Wang and Ba 2019, section 3.2, POPLIN-A-Replan; PG+.

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
      The plan; its action is the policy's with the mean noise of the first step, and
      its belief is the mean of the noise.
    """
    batch = tf.nest.flatten(state)[0].shape[0]
    start = Gaussian.start((batch, horizon, *action_shape), initial_sigma, warm_start)

    def propose(belief, iteration):
        return belief.draw(amount)

    def attempt(noise):
        left = []  # Of the noise at each step, what the bounds leave of it.

        def act(state, noise):
            center = policy.act(state)
            action = tf.clip_by_value(center + noise, *action_bounds)
            left.append(action - center)
            return action

        returns = loop.imagine(cell, objective_fn, state, noise, discount, act)
        return tf.reshape(tf.stack(left, 1), noise.shape), returns

    def refit(belief, noise, returns):
        return Gaussian.fit(loop.elites(noise, returns, topk))

    belief, returns = loop.search(
        start, propose, attempt, refit, iterations, batch, amount
    )
    action = tf.clip_by_value(policy.act(state) + belief.mean[:, 0], *action_bounds)
    return loop.Plan(action, belief.mean, returns)


def discrete_pop_a2(
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
    initial_sigma: float = 3.0,
    *,
    policy,
) -> loop.Plan:
    """The same search among one-hot actions: the noise is on the policy's logits.

        a_t = one_hot(argmax(logits(s_t) + noise_t))

    Args:
      cell: as for `pop_a2`.
      objective_fn: as for `pop_a2`.
      state: where to start, entries [B, ...]; B is static.
      action_shape: (A,), the number of actions.
      horizon: steps to plan, H.
      amount: candidates drawn in each iteration, N.
      topk: elites to which the belief is refit.
      iterations: rounds of drawing and refitting; with 0 the policy's is the plan.
      discount: weight of a step's reward relative to the step before.
      warm_start: initial mean of the noise, [B, H, A]; zeros if not given.
      initial_sigma: initial standard deviation of the noise; a policy that is sure of
        its choices takes more than vectors do.
      policy: offers `logits`, [N, A] from states with entries [N, ...].

    Returns:
      The plan; its action, one-hot, is the policy's with the mean noise of the first
      step, and its belief is the mean of the noise.
    """
    batch = tf.nest.flatten(state)[0].shape[0]
    start = Gaussian.start((batch, horizon, *action_shape), initial_sigma, warm_start)

    def propose(belief, iteration):
        return belief.draw(amount)

    def act(state, noise):
        return tf.one_hot(tf.argmax(policy.logits(state) + noise, -1), *action_shape)

    def attempt(noise):
        return noise, loop.imagine(cell, objective_fn, state, noise, discount, act)

    def refit(belief, noise, returns):
        return Gaussian.fit(loop.elites(noise, returns, topk))

    belief, returns = loop.search(
        start, propose, attempt, refit, iterations, batch, amount
    )
    return loop.Plan(act(state, belief.mean[:, 0]), belief.mean, returns)
