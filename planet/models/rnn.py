"""Deterministic recurrent model."""

from __future__ import annotations

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from planet.models import base
from planet.networks import basic


class RNN(base.Base):
    r"""Deterministic recurrent model: nothing is sampled, nothing diverges.

    Prior:      h_t = GRU_p(a_{t-1}, h_{t-1})
    Posterior:  h_t = GRU_q(o_t, GRU_p(a_{t-1}, h_{t-1}))

        a_{t-1} --\
        h_{t-1} ----> GRU_p --> h_t   prior
                                 |
        o_t --> encoder -----> GRU_q --> h_t   posterior

    State entries: belief [N, D].

    Source: Hafner et al. 2019, section 3, figure 2a, filtered as in the RSSM.

    Args:
      model_size: size of the belief, D.
    """

    def __init__(self, model_size: int):
        super().__init__()
        self._model_size = model_size
        self._prior = basic.GRU(model_size)
        self._posterior = basic.GRU(model_size)

    @property
    def state_sizes(self) -> dict[str, int]:
        """Size of each state entry."""
        return {"belief": self._model_size}

    def transition(self, prev_state: base.State, prev_action: tf.Tensor) -> base.State:
        """Prior of the next step from beliefs [N, D] and actions [N, A]."""
        return {"belief": self._prior(prev_action, prev_state["belief"])}

    def observe(
        self, prev_state: base.State, prev_action: tf.Tensor, embedded: tf.Tensor
    ) -> tuple[base.State, base.State]:
        """Prior and posterior of the next step; the posterior refines the prior."""
        prior = self.transition(prev_state, prev_action)
        return prior, {"belief": self._posterior(embedded, prior["belief"])}

    def features_from_state(self, state: base.State) -> tf.Tensor:
        """The belief, [..., D]."""
        return state["belief"]

    def dist_from_state(
        self, state: base.State, mask: tf.Tensor | None = None
    ) -> tfd.Distribution:
        """All probability on the belief; batch shape [...], event shape [D]."""
        return tfd.Independent(tfd.Deterministic(state["belief"]), 1)

    def divergence_from_states(
        self, lhs: base.State, rhs: base.State, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Zeros [...]: without a distribution there is nothing to diverge."""
        return tf.zeros_like(lhs["belief"][..., 0])

    def global_divergence(self, state: base.State, mask: tf.Tensor) -> tf.Tensor:
        """Zeros [...], likewise."""
        return self.divergence_from_states(state, state, mask)
