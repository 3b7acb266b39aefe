"""Stochastic state-space model."""

from __future__ import annotations

import tensorflow as tf

from planet.models import base
from planet.networks import layers


class SSM(base.Base):
    r"""Stochastic state-space model: everything remembered passes through a sample.

    Prior:      s_t ~ p(s_t | s_{t-1}, a_{t-1})
    Posterior:  s_t ~ q(s_t | s_{t-1}, a_{t-1}, o_t)

        a_{t-1} --\
        s_{t-1} ----> p(s_t | s_{t-1}, a_{t-1})   prior
                        | mean, stddev
        o_t --> encoder +--> q(s_t | s_{t-1}, a_{t-1}, o_t)   posterior

    State entries: mean, stddev, sample [N, S].

    Source: Hafner et al. 2019, section 3, figure 2b.

    Args:
      state_size: size of the state, S.
      model_size: size of the hidden layers.
      mean_only: use means in place of samples.
      min_stddev: smallest standard deviation of a state.
    """

    def __init__(
        self,
        state_size: int,
        model_size: int,
        mean_only: bool = False,
        min_stddev: float = 0.1,
    ):
        super().__init__(mean_only, min_stddev)
        self._state_size = state_size
        dense = layers.Dense
        self._prior_hidden = dense(model_size, "relu")
        self._prior_mean = dense(state_size)
        self._prior_stddev = dense(state_size)
        self._posterior_hidden = dense(model_size, "relu")
        self._posterior_mean = dense(state_size)
        self._posterior_stddev = dense(state_size)

    @property
    def state_sizes(self) -> dict[str, int]:
        """Size of each state entry."""
        return dict.fromkeys(("mean", "stddev", "sample"), self._state_size)

    def transition(self, prev_state: base.State, prev_action: tf.Tensor) -> base.State:
        """Prior of the next step from state entries [N, S] and actions [N, A]."""
        inputs = tf.concat([prev_state["sample"], prev_action], -1)
        hidden = self._prior_hidden(inputs)
        return self._gaussian(self._prior_mean(hidden), self._prior_stddev(hidden))

    def observe(
        self, prev_state: base.State, prev_action: tf.Tensor, embedded: tf.Tensor
    ) -> tuple[base.State, base.State]:
        """Prior and posterior of the next step; the posterior sees the prior."""
        prior = self.transition(prev_state, prev_action)
        inputs = tf.concat([prior["mean"], prior["stddev"], embedded], -1)
        hidden = self._posterior_hidden(inputs)
        return prior, self._gaussian(
            self._posterior_mean(hidden), self._posterior_stddev(hidden)
        )

    def features_from_state(self, state: base.State) -> tf.Tensor:
        """The sample, [..., S]."""
        return state["sample"]
