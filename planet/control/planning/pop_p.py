"""PG+: noise on the policy's hidden activations, in closed loop."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from planet.control.planning import loop
from planet.control.planning.beliefs import Gaussian
from planet.control.planning.mppi import weigh, weighted_mean


def _blank(num_envs: int, horizon: int, action_size: int, policy) -> tf.Tensor:
    """No noise."""
    return tf.zeros([num_envs, horizon, policy.noise_size])


@loop.remembers(_blank)
def pop_p(
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
    initial_sigma: float = 1.0,
    *,
    policy,
) -> loop.Plan:
    """Searches noise for the policy's hidden activations.

        a_t = policy(s_t, noise_t),  noise ~ N(mean, stddev), refit to the elites

    Source: PG+, after Wang and Ba 2019, section 3.3, POPLIN-P, where the noise is on
    the policy's weights.

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
      warm_start: initial mean of the noise, [B, H, policy.noise_size]; zeros if not
        given.
      initial_sigma: initial standard deviation of the noise.
      policy: offers `noise_size`, and `act`, actions [N, A] from states with entries
        [N, ...] and noise [N, noise_size].

    Returns:
      The plan; its action is the policy's with the mean noise of the first step, and
      its belief is the mean of the noise.
    """
    batch = tf.nest.flatten(state)[0].shape[0]
    start = Gaussian.start(
        (batch, horizon, policy.noise_size), initial_sigma, warm_start
    )

    def propose(belief, iteration):
        return belief.draw(amount)

    def attempt(noise):
        returns = loop.imagine(cell, objective_fn, state, noise, discount, policy.act)
        return noise, returns

    def refit(belief, noise, returns):
        return Gaussian.fit(loop.elites(noise, returns, topk))

    belief, returns = loop.search(
        start, propose, attempt, refit, iterations, batch, amount
    )
    return loop.Plan(policy.act(state, belief.mean[:, 0]), belief.mean, returns)


@loop.remembers(_blank)
def pop_p_mppi(
    cell,
    objective_fn: Callable[[dict[str, tf.Tensor]], tf.Tensor],
    state: dict[str, tf.Tensor],
    action_shape: tuple[int],
    horizon: int,
    amount: int = 1000,
    iterations: int = 10,
    discount: float = 0.99,
    warm_start: tf.Tensor | None = None,
    initial_sigma: float = 1.0,
    mppi_gamma: float = 2.0,
    mppi_beta: float = 0.6,
    *,
    policy,
) -> loop.Plan:
    """Searches the noise of `pop_p` with the weights and the momentum of `mppi`.

        a_t = policy(s_t, noise_t),  noise ~ N(mean, sigma)
        w = exp(gamma (R - max R)) / sum,  mean <- beta mean + (1 - beta) sum(w noise)

    Source: PG+.

    Args:
      cell: as for `pop_p`.
      objective_fn: as for `pop_p`.
      state: where to start, entries [B, ...]; B is static.
      action_shape: shape of one action, (A,).
      horizon: steps to plan, H.
      amount: candidates drawn in each iteration, N.
      iterations: rounds of drawing and refitting; with 0 the policy's is the plan.
      discount: weight of a step's reward relative to the step before.
      warm_start: as for `pop_p`.
      initial_sigma: standard deviation of the noise, of all iterations.
      mppi_gamma: as for `mppi`.
      mppi_beta: as for `mppi`.
      policy: as for `pop_p`.

    Returns:
      The plan, as of `pop_p`.
    """
    batch = tf.nest.flatten(state)[0].shape[0]
    start = Gaussian.start(
        (batch, horizon, policy.noise_size), initial_sigma, warm_start
    )

    def propose(belief, iteration):
        return belief.draw(amount)

    def attempt(noise):
        returns = loop.imagine(cell, objective_fn, state, noise, discount, policy.act)
        return noise, returns

    def refit(belief, noise, returns):
        mean = weighted_mean(noise, weigh(returns, mppi_gamma))
        return belief._replace(mean=mppi_beta * belief.mean + (1 - mppi_beta) * mean)

    belief, returns = loop.search(
        start, propose, attempt, refit, iterations, batch, amount
    )
    return loop.Plan(policy.act(state, belief.mean[:, 0]), belief.mean, returns)
