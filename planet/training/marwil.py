"""Policy and value, learned from recorded episodes beside the model.

    V(s) regresses on R;    A = R - V(s);    pi maximises exp(kappa A / c) log pi(a | s)

for every state s in a sequence, the action a that followed it and the discounted return
R from there to the end of its episode. c is the root mean square of A.

Sources: Wang et al. 2018, "Exponentially Weighted Imitation Learning for Batched
Historical Data" (MARWIL), equation 9; PG+, "Policy Guided Planning in Latent Space".
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import ml_collections
import tensorflow as tf

from planet.networks.policy import Policy
from planet.tools import replicas

LIMIT = 20.0  # Of the weights.

Scalars = dict[str, tf.Tensor]


class Marwil(tf.Module):
    """Losses of a policy and a value.

    Args:
      policy: distribution over actions, if it is to learn.
      value: distribution over returns, of which the mean counts, if it is to learn; it
        then weighs the actions from which the policy learns.
      config: `marwil_kappa`, `marwil_rate`, `policy_reduce`.
    """

    def __init__(
        self,
        policy: Policy | None,
        value: keras.layers.Layer | None,
        config: ml_collections.ConfigDict,
    ):
        super().__init__(name="marwil")
        self._policy = policy
        self._value = value
        self._config = config
        if policy and value:  # c ** 2; 0 before the first update.
            self._square = tf.Variable(0.0, trainable=False)

    def evaluate(
        self, features: tf.Tensor, data: Mapping[str, tf.Tensor], mask: tf.Tensor
    ) -> tuple[Scalars, Scalars]:
        """Losses, and what else is worth watching.

        The last step of a sequence counts only as the end of the one before it.

        Args:
          features: what is seen of the states, [B, T, F].
          data: `action` [B, T, A], leading to the state of the same index; for the
            value, `return` [B, T], the discounted sum of the rewards after it.
          mask: which steps are valid, bool [B, T].

        Returns:
          Losses `policy` and `value`, and metrics, scalars by name.
        """
        features, followed = features[:, :-1], replicas.Valid(mask[:, 1:])
        losses, metrics, weights = {}, {}, tf.constant(1.0)
        if self._value:
            returns = data["return"][:, :-1]
            error = returns - self._value(features).mean()
            losses["value"] = followed.mean(error**2)
            metrics["value/explained_variance"] = _explained(error, returns, followed)
        if self._value and self._policy:
            weights, square = advantage_weights(
                tf.stop_gradient(error),
                followed,
                self._square,
                self._config.marwil_kappa,
                self._config.marwil_rate,
            )
            clipped = tf.cast(weights >= LIMIT, tf.float32)
            metrics["policy/weight"] = followed.mean(weights)
            metrics["policy/clipped"] = followed.mean(clipped)
            metrics["policy/advantage_square"] = square
        if self._policy:
            dist, actions = self._policy(features), data["action"][:, 1:]
            errors = weights * _errors(self._policy, dist, actions)
            summed = self._config.policy_reduce == "sum"
            losses["policy"] = (followed.sum if summed else followed.mean)(errors)
            distance = _distance(self._policy, dist, actions)
            metrics["policy/distance"] = followed.mean(distance)
            if self._policy.stochastic:
                metrics["policy/entropy"] = followed.mean(dist.entropy())
        return losses, metrics

    def learned(self, metrics: Scalars) -> None:
        """Remembers what `evaluate` found out about a batch that was learned from."""
        if self._value and self._policy:
            self._square.assign(metrics["policy/advantage_square"])


def advantage_weights(
    advantage: tf.Tensor,
    steps: replicas.Valid,
    square: tf.Tensor,
    kappa: float,
    rate: float,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Weights exp(kappa A / c) of actions, at most 20.

    Args:
      advantage: by how much the return was higher than expected, A, [B, T].
      steps: which of them count.
      square: c ** 2 of the update before; 0 stands for the first batch, whose mean of
        A ** 2 is where it starts.
      kappa: strength of the preference for actions that went well.
      rate: weight of a batch's mean of A ** 2 in the moving one.

    Returns:
      Weights [B, T] and c ** 2.
    """
    mean = replicas.mean(steps.mean(advantage**2))
    square = tf.where(square > 0, square + rate * (mean - square), mean)
    scaled = tf.math.divide_no_nan(kappa * advantage, tf.sqrt(square))
    return tf.minimum(tf.exp(scaled), LIMIT), square


def _errors(policy, dist, actions) -> tf.Tensor:
    """-log pi in nats, or squared error, of actions [B, T, A]."""
    if policy.stochastic:
        return -dist.log_prob(actions)
    return tf.reduce_sum((actions - dist.mode()) ** 2, -1)


def _distance(policy, dist, actions) -> tf.Tensor:
    """Euclidean distance of the policy's actions to those taken, [B, T].

    Of one-hot actions, whether they differ.
    """
    difference = tf.abs(dist.mode() - actions)
    if policy.discrete:
        return tf.reduce_max(difference, -1)
    return tf.norm(difference, axis=-1)


def _explained(error, returns, steps) -> tf.Tensor:
    """Share of the variance of returns that is not the error's; 0 if there is none."""
    values = error, returns
    means = replicas.mean([steps.mean(x) for x in values])
    squares = [(x - mean) ** 2 for x, mean in zip(values, means, strict=True)]
    left, variance = replicas.mean([steps.mean(x) for x in squares])
    return tf.where(variance > 0, 1 - tf.math.divide_no_nan(left, variance), 0.0)
