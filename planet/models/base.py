"""What all latent transition models share."""

from __future__ import annotations

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from planet.tools import mask as mask_lib
from planet.tools import noise

State = dict[str, tf.Tensor]


class Base(keras.layers.Layer):
    """A transition model in latent space, used like the cell of a recurrent network.

    A state is a dict of tensors [N, ...]. Subclasses define `state_sizes`,
    `transition`, `observe` and `features_from_state`; those with a state that is not
    one diagonal Gaussian override the other methods too. Arguments of constructors have
    the names of the settings they stand for.

    Args:
      mean_only: use the mean of each state's distribution in place of a sample.
      min_stddev: smallest standard deviation of a state.
    """

    def __init__(self, mean_only: bool = False, min_stddev: float = 0.1):
        super().__init__()
        self._mean_only = mean_only
        self._min_stddev = min_stddev

    @property
    def state_sizes(self) -> dict[str, int]:
        """Size of each state entry."""
        raise NotImplementedError

    def transition(self, prev_state: State, prev_action: tf.Tensor) -> State:
        """Prior of the next step.

        Args:
          prev_state: entries [N, ...] of the step before.
          prev_action: action that leads to this step, [N, A].

        Returns:
          State with entries [N, ...].
        """
        raise NotImplementedError

    def observe(
        self, prev_state: State, prev_action: tf.Tensor, embedded: tf.Tensor
    ) -> tuple[State, State]:
        """Prior and posterior of the next step, given what was seen there.

        Args:
          prev_state: entries [N, ...] of the step before.
          prev_action: action that leads to this step, [N, A].
          embedded: the encoded observation of this step, [N, E].

        Returns:
          Two states with entries [N, ...].
        """
        raise NotImplementedError

    def posterior(
        self, prev_state: State, prev_action: tf.Tensor, embedded: tf.Tensor
    ) -> State:
        """Posterior of the next step; arguments as in `observe`."""
        return self.observe(prev_state, prev_action, embedded)[1]

    def zero_state(self, batch: int | tf.Tensor) -> State:
        """The state before the first step, entries [batch, size] of zeros."""
        return {key: tf.zeros([batch, size]) for key, size in self.state_sizes.items()}

    def features_from_state(self, state: State) -> tf.Tensor:
        """What the heads see of a state, [..., F]."""
        raise NotImplementedError

    def dist_from_state(
        self, state: State, mask: tf.Tensor | None = None
    ) -> tfd.Distribution:
        """Diagonal Gaussian over the stochastic part of a state.

        Args:
          state: entries [..., S].
          mask: bool [...]; where it is false the stddev is 1.

        Returns:
          Distribution with batch shape [...] and event shape [S].
        """
        stddev = state["stddev"]
        if mask is not None:
            stddev = mask_lib.apply(stddev, mask, 1.0)
        return tfd.Independent(tfd.Normal(state["mean"], stddev), 1)

    def divergence_from_states(
        self, lhs: State, rhs: State, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        """KL(lhs || rhs) in nats, [...]; 0 where the mask is false."""
        divergence = tfd.kl_divergence(
            self.dist_from_state(lhs, mask), self.dist_from_state(rhs, mask)
        )
        return divergence if mask is None else mask_lib.apply(divergence, mask)

    def global_divergence(self, state: State, mask: tf.Tensor) -> tf.Tensor:
        """KL(state || N(0, I)) in nats, [...]; 0 where the mask is false."""
        standard = {
            "mean": tf.zeros_like(state["mean"]),
            "stddev": tf.ones_like(state["stddev"]),
        }
        return self.divergence_from_states(state, standard, mask)

    def internal_divergence(self, state: State, mask: tf.Tensor) -> tf.Tensor:
        """Sum of KL(part || next slower part) in nats, [...]; 0 where masked.

        Only for cells whose state consists of parts on time scales of their own.
        """
        raise NotImplementedError

    def _gaussian(self, mean: tf.Tensor, stddev: tf.Tensor) -> State:
        """Entries of a diagonal Gaussian from the outputs of two linear layers."""
        mean, stddev = (tf.cast(x, tf.float32) for x in (mean, stddev))
        stddev = tf.nn.softplus(stddev) + self._min_stddev
        sample = mean
        if not self._mean_only:
            sample += stddev * noise.normal(tf.shape(mean))
        return {"mean": mean, "stddev": stddev, "sample": sample}
