"""Policy: what to do in a state, without any search."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from planet.networks import layers

LAYERS = 2
MIN_STDDEV = 0.1  # Otherwise the density of actions without noise is unbounded.


class Policy(keras.layers.Layer):
    """Hidden layers and a distribution over the next action, pi(a | features).

    A deterministic policy is tanh of a linear layer; a stochastic one is a Gaussian
    around that, with a stddev layer of its own, whose actions are clipped. One-hot
    actions have a categorical distribution, whatever `stochastic` says.

    Args:
      action_size: size of an action, A.
      num_units: units of each of the two hidden layers.
      activation: name of their activation function.
      stochastic: whether the policy is a distribution to which actions are fitted by
        likelihood, rather than a point to which they are fitted by squared error.
      discrete: whether actions are one-hot.
    """

    def __init__(
        self,
        action_size: int,
        num_units: int,
        activation: str = "relu",
        stochastic: bool = False,
        discrete: bool = False,
    ):
        super().__init__()
        dense = layers.Dense
        self.stochastic = stochastic or discrete
        self.discrete = discrete
        self.noise_size = LAYERS * num_units
        self._hidden = [dense(num_units, activation) for _ in range(LAYERS)]
        self._output = dense(action_size)
        if stochastic and not discrete:
            self._stddev = dense(action_size)

    def call(self, features: tf.Tensor, noise: tf.Tensor | None = None) -> Any:
        """Distribution over actions [..., A].

        Args:
          features: what is seen of a state, [..., F].
          noise: added to the outputs of the hidden layers, those of the first one
            first, [..., noise_size].

        Returns:
          A distribution; its `mode` is what the policy does, float32 within [-1, 1].
        """
        hidden = features
        noises = [None] * LAYERS if noise is None else tf.split(noise, LAYERS, -1)
        for layer, added in zip(self._hidden, noises, strict=True):
            hidden = layer(hidden)
            if added is not None:
                hidden += added
        output = tf.cast(self._output(hidden), tf.float32)
        if self.discrete:
            return tfd.OneHotCategorical(logits=output, dtype=tf.float32)
        mean = tf.tanh(output)
        if not self.stochastic:
            return tfd.Independent(tfd.Deterministic(mean), 1)
        stddev = tf.cast(self._stddev(hidden), tf.float32)
        return ClippedGaussian(mean, tf.nn.softplus(stddev) + MIN_STDDEV)


class ClippedGaussian:
    """Diagonal Gaussian whose actions are clipped to [-1, 1].

    Just as recorded actions are, to which noise was added: many are exactly -1 or 1. At
    these, the probability is that of all that is clipped to them; elsewhere it is the
    Gaussian's density. (That of a Gaussian squashed by tanh would be infinite there.)

    Args:
      mean: within (-1, 1), [..., A].
      stddev: above 0, [..., A].
    """

    def __init__(self, mean: tf.Tensor, stddev: tf.Tensor):
        self._normal = tfd.Normal(mean, stddev)

    def mode(self) -> tf.Tensor:
        """Where the density is highest, [..., A]."""
        return self._normal.loc

    def log_prob(self, action: tf.Tensor) -> tf.Tensor:
        """Of clipped actions [..., A], in nats, [...]."""
        normal = self._normal
        low, high = normal.log_cdf(-1.0), normal.log_survival_function(1.0)
        inside = normal.log_prob(action)
        entries = tf.where(action >= 1, high, tf.where(action <= -1, low, inside))
        return tf.reduce_sum(entries, -1)

    def entropy(self) -> tf.Tensor:
        """Mean of -log_prob over the distribution's actions, in nats, [...]."""
        normal, standard = self._normal, tfd.Normal(0.0, 1.0)
        bounds = [(bound - normal.loc) / normal.scale for bound in (-1.0, 1.0)]
        low, high = (x * standard.prob(x) for x in bounds)
        share = standard.cdf(bounds[1]) - standard.cdf(bounds[0])
        log_density = -tf.math.log(normal.scale) - 0.5 * math.log(2 * math.pi)
        entropy = 0.5 * (share + low - high) - share * log_density
        for log_prob in (normal.log_cdf(-1.0), normal.log_survival_function(1.0)):
            entropy -= tf.exp(log_prob) * log_prob
        return tf.reduce_sum(entropy, -1)


class Actor:
    """A policy on the states of a model.

    Args:
      network: the policy on features.
      features: what it sees, [N, F], of states with entries [N, ...].
    """

    def __init__(self, network: Policy, features: Callable[[Any], tf.Tensor]):
        self._network = network
        self._features = features

    @property
    def noise_size(self) -> int:
        """Units of all hidden layers together."""
        return self._network.noise_size

    def act(self, state: Any, noise: tf.Tensor | None = None) -> tf.Tensor:
        """What the policy does in each state: its mean, or its likeliest choice.

        Args:
          state: entries [N, ...].
          noise: added to the outputs of the hidden layers, [N, noise_size].

        Returns:
          Actions float32 [N, A] within [-1, 1], one-hot where they are discrete.
        """
        return self._network(self._features(state), noise).mode()

    def logits(self, state: Any) -> tf.Tensor:
        """Logits [N, A] of the choices in each state, where actions are discrete."""
        return self._network(self._features(state)).logits
