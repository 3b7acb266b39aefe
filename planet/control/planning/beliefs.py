"""Distributions over sequences: what planners draw from, and refit."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from planet.tools import noise


class Gaussian(NamedTuple):
    """Normal distributions over the entries of sequences.

    Attributes:
      mean: [B, H, X].
      stddev: [B, H, X].
    """

    mean: tf.Tensor
    stddev: tf.Tensor

    @classmethod
    def start(
        cls, shape: tuple[int, ...], sigma: float, center: tf.Tensor | None = None
    ) -> Gaussian:
        """The belief of shape [B, H, X] and stddev sigma around a center, or zero."""
        mean = tf.zeros(shape)
        stddev = tf.constant(sigma, tf.float32, shape)
        return cls(mean if center is None else mean + center, stddev)

    def draw(self, amount: int | tf.Tensor, exponent: float = 0.0) -> tf.Tensor:
        """Candidates [B, amount, H, X]; the exponent is that of `noise.coloured`."""
        batch, horizon, size = self.mean.shape
        spread = noise.coloured([batch, amount, horizon, size], exponent)
        return self.mean[:, None] + self.stddev[:, None] * spread

    @classmethod
    def fit(cls, candidates: tf.Tensor) -> Gaussian:
        """Moments of candidates [B, N, H, X]."""
        mean, variance = tf.nn.moments(candidates, 1)
        return cls(mean, tf.sqrt(variance + 1e-6))

    def towards(self, target: Gaussian, momentum: float) -> Gaussian:
        """Of this belief, a share of `momentum` is left; the rest is the target's."""
        return Gaussian(
            momentum * self.mean + (1.0 - momentum) * target.mean,
            momentum * self.stddev + (1.0 - momentum) * target.stddev,
        )

    @property
    def center(self) -> tf.Tensor:
        """What a later belief may start around, [B, H, X]."""
        return self.mean

    @property
    def likeliest(self) -> tf.Tensor:
        """The likeliest sequence, [B, H, X]."""
        return self.mean


class Categorical(NamedTuple):
    """Categorical distributions over the steps of sequences of one-hot actions.

    Attributes:
      logits: [B, H, A].
    """

    logits: tf.Tensor

    @classmethod
    def start(
        cls,
        shape: tuple[int, ...],
        center: tf.Tensor | None = None,
        smoothing: float = 0.2,
    ) -> Categorical:
        """Even chances, or those of logits [B, H, A].

        A share of `smoothing` is spread evenly over the actions, so that the search can
        still find each of them.
        """
        logits = tf.zeros(shape)
        if center is not None:
            logits = _smoothed(tf.nn.softmax(logits + center), smoothing)
        return cls(logits)

    def draw(self, amount: int | tf.Tensor) -> tf.Tensor:
        """Candidates [B, amount, H, A]."""
        batch, horizon, size = self.logits.shape
        choices = noise.categorical(tf.reshape(self.logits, [-1, size]), amount)
        choices = tf.reshape(choices, [batch, horizon, amount])
        return tf.one_hot(tf.transpose(choices, [0, 2, 1]), size)

    def draw_coloured(self, amount: int | tf.Tensor, exponent: float) -> tf.Tensor:
        """Candidates [B, amount, H, A] that tend to repeat their actions.

        By the Gumbel-max trick: an action is the one with the highest sum of logit and
        Gumbel noise. That noise is made of coloured noise, so each step on its own is
        distributed as in `draw`.
        """
        batch, horizon, size = self.logits.shape
        spread = noise.coloured([batch, amount, horizon, size], exponent)
        gumbel = -tf.math.log(-tfd.Normal(0.0, 1.0).log_cdf(spread))
        return tf.one_hot(tf.argmax(self.logits[:, None] + gumbel, -1), size)

    @classmethod
    def fit(cls, candidates: tf.Tensor) -> Categorical:
        """How often candidates [B, N, H, A] take each action."""
        return cls.of(tf.reduce_mean(candidates, 1))

    @classmethod
    def of(cls, chances: tf.Tensor) -> Categorical:
        """The belief of probabilities [B, H, A], none of which becomes 0."""
        return cls(_smoothed(chances, 1e-6))

    def towards(self, target: Categorical, momentum: float) -> Categorical:
        """Of this belief, a share of `momentum` is left; the rest is the target's."""
        old, new = tf.nn.softmax(self.logits), tf.nn.softmax(target.logits)
        return Categorical(tf.math.log(momentum * old + (1.0 - momentum) * new))

    @property
    def center(self) -> tf.Tensor:
        """What a later belief may start around, [B, H, A]."""
        return self.logits

    @property
    def likeliest(self) -> tf.Tensor:
        """The likeliest sequence, one-hot [B, H, A]."""
        return tf.one_hot(tf.argmax(self.logits, -1), self.logits.shape[-1])

    def choose(self, select: str, best: tf.Tensor) -> tf.Tensor:
        """The action to take now, one-hot [B, A].

        Args:
          select: `mode` takes the likeliest first action, `sample` draws one, `best`
            takes that of the best sequence.
          best: the first action of the best sequence, [B, A].
        """
        if select == "best":
            return best
        first = self.draw(1)[:, 0] if select == "sample" else self.likeliest
        return first[:, 0]


def _smoothed(probabilities: tf.Tensor, share: float) -> tf.Tensor:
    """Logits of probabilities [..., A], of which a share is spread evenly."""
    even = 1.0 / probabilities.shape[-1]
    return tf.math.log((1.0 - share) * probabilities + share * even)
