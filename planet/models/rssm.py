"""Recurrent state-space model."""

from __future__ import annotations

import tensorflow as tf

from planet.models import base
from planet.networks import basic, layers


class RSSM(base.Base):
    r"""Recurrent state-space model: a deterministic path h and a stochastic state s.

    Prior:      h_t = f(h_{t-1}, s_{t-1}, a_{t-1}),  s_t ~ p(s_t | h_t)
    Posterior:                                       s_t ~ q(s_t | h_t, o_t)

        a_{t-1} --\
        s_{t-1} ----> x_t --> GRU --> h_t --+--> p(s_t | h_t)   prior
        h_{t-1} --------------^             |
        o_t --> encoder --------------------+--> q(s_t | h_t, o_t)   posterior

    Unless `future_rnn`, the prior's layer looks at x_t, not at h_t: the prior is then
    Markovian in s, and only the posterior and the heads see the belief h.

    State entries: mean, stddev, sample [N, S]; belief, rnn_state [N, D].

    Source: Hafner et al. 2019, section 3, figure 2c.

    Args:
      state_size: size of the stochastic state, S.
      model_size: size of the belief and of the hidden layers, D.
      future_rnn: let the prior depend on the belief.
      mean_only: use means in place of samples.
      min_stddev: smallest standard deviation of a state.
      hidden_size: size of the hidden layers, where it is not that of the belief.
    """

    def __init__(
        self,
        state_size: int,
        model_size: int,
        future_rnn: bool = False,
        mean_only: bool = False,
        min_stddev: float = 0.1,
        hidden_size: int | None = None,
    ):
        super().__init__(mean_only, min_stddev)
        self._state_size = state_size
        self._model_size = model_size
        self._future_rnn = future_rnn
        hidden_size = hidden_size or model_size
        dense = layers.Dense
        self._input = dense(hidden_size, "relu")
        self._gru = basic.GRU(model_size)
        self._prior_hidden = dense(hidden_size, "relu")
        self._prior_mean = dense(state_size)
        self._prior_stddev = dense(state_size)
        self._posterior_hidden = dense(hidden_size, "relu")
        self._posterior_mean = dense(state_size)
        self._posterior_stddev = dense(state_size)

    @property
    def state_sizes(self) -> dict[str, int]:
        """Size of each state entry."""
        return {
            "mean": self._state_size,
            "stddev": self._state_size,
            "sample": self._state_size,
            "belief": self._model_size,
            "rnn_state": self._model_size,
        }

    def transition(self, prev_state: base.State, prev_action: tf.Tensor) -> base.State:
        """Prior of the next step from state entries [N, ...] and actions [N, A]."""
        inputs = tf.concat([prev_state["sample"], prev_action], -1)
        hidden = self._input(inputs)
        belief = self._gru(hidden, prev_state["rnn_state"])
        hidden = self._prior_hidden(belief if self._future_rnn else hidden)
        stats = self._gaussian(self._prior_mean(hidden), self._prior_stddev(hidden))
        return {**stats, "belief": belief, "rnn_state": belief}

    def observe(
        self, prev_state: base.State, prev_action: tf.Tensor, embedded: tf.Tensor
    ) -> tuple[base.State, base.State]:
        """Prior and posterior of the next step; both share one belief."""
        prior = self.transition(prev_state, prev_action)
        hidden = self._posterior_hidden(tf.concat([prior["belief"], embedded], -1))
        stats = self._gaussian(
            self._posterior_mean(hidden), self._posterior_stddev(hidden)
        )
        return prior, {**prior, **stats}

    def features_from_state(self, state: base.State) -> tf.Tensor:
        """Sample and belief, [..., S + D]."""
        return tf.concat([state["sample"], state["belief"]], -1)
