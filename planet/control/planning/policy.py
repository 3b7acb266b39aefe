"""Acting without any search."""

from __future__ import annotations

import tensorflow as tf

from planet.control.planning import loop


def policy_alone(
    cell,
    objective_fn,
    state: dict[str, tf.Tensor],
    action_shape: tuple[int],
    horizon: int,
    warm_start: tf.Tensor | None = None,
    *,
    policy,
) -> loop.Plan:
    """Takes the policy's own action, a = policy(state).

    It is the baseline of every planner that the policy guides.

    Args:
      cell: not used, as nothing is imagined.
      objective_fn: not used.
      state: where to act, entries [B, ...]; B is static.
      action_shape: shape of one action, (A,).
      horizon: steps of the plan, H, which is empty.
      warm_start: not used.
      policy: offers `act`, actions [B, A] from states.

    Returns:
      The plan, of no iterations.
    """
    batch = tf.nest.flatten(state)[0].shape[0]
    belief = tf.zeros([batch, horizon, *action_shape])
    return loop.Plan(policy.act(state), belief, tf.zeros([0, batch, 0]))
