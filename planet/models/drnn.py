"""Doubly recurrent model."""

from __future__ import annotations

import tensorflow as tf

from planet.models import base
from planet.networks import basic, layers


class DRNN(base.Base):
    r"""Doubly recurrent model: an encoder's and a decoder's path, a sample in between.

        e_t = GRU_e([o_t, a_{t-1}, s_{t-1}*, d_{t-1}*], e_{t-1})
        s_t ~ q(s_t | e_t, s_{t-1}*, d_{t-1}*)
        d_t = GRU_d([s_t, e_{t-1}*, a_{t-1}*], d_{t-1})

        o_t --> encoder --\
        a_{t-1} -----------+--> GRU_e --> e_t --> q(s_t | ...) --> GRU_d --> d_t
        s_{t-1}, d_{t-1} --/      ^                   ^              ^
                               e_{t-1}         s_{t-1}, d_{t-1}   d_{t-1}

    The inputs with a star are optional. The prior has the same weights and sees zeros
    in place of the embedded observation, so the first step has to be an observed one.

    State entries: encoder_state, decoder_state [N, D]; mean, stddev, sample [N, S].

    Source: the public release of Hafner et al. 2019; the layout is that of Gregor et
    al. 2015, "DRAW", section 2.

    Args:
      state_size: size of the stochastic state, S.
      model_size: size of both recurrent states and of the hidden layer, D.
      drnn_sample_to_encoder: let e_t depend on s_{t-1}.
      drnn_decoder_to_encoder: let e_t depend on d_{t-1}.
      drnn_sample_to_sample: let s_t depend on s_{t-1}.
      drnn_decoder_to_sample: let s_t depend on d_{t-1}.
      drnn_encoder_to_decoder: let d_t depend on e_{t-1}.
      drnn_action_to_decoder: let d_t depend on a_{t-1}.
      mean_only: use means in place of samples.
      min_stddev: smallest standard deviation of a state.
    """

    def __init__(
        self,
        state_size: int,
        model_size: int,
        drnn_sample_to_encoder: bool = True,
        drnn_decoder_to_encoder: bool = False,
        drnn_sample_to_sample: bool = True,
        drnn_decoder_to_sample: bool = True,
        drnn_encoder_to_decoder: bool = False,
        drnn_action_to_decoder: bool = False,
        mean_only: bool = False,
        min_stddev: float = 0.1,
    ):
        super().__init__(mean_only, min_stddev)
        self._state_size = state_size
        self._model_size = model_size
        self._sample_to_encoder = drnn_sample_to_encoder
        self._decoder_to_encoder = drnn_decoder_to_encoder
        self._sample_to_sample = drnn_sample_to_sample
        self._decoder_to_sample = drnn_decoder_to_sample
        self._encoder_to_decoder = drnn_encoder_to_decoder
        self._action_to_decoder = drnn_action_to_decoder
        self._encoder = basic.GRU(model_size)
        self._hidden = layers.Dense(model_size, "relu")
        self._mean = layers.Dense(state_size)
        self._stddev = layers.Dense(state_size)
        self._decoder = basic.GRU(model_size)

    @property
    def state_sizes(self) -> dict[str, int]:
        """Size of each state entry."""
        return {
            "encoder_state": self._model_size,
            "decoder_state": self._model_size,
            "mean": self._state_size,
            "stddev": self._state_size,
            "sample": self._state_size,
        }

    def transition(self, prev_state: base.State, prev_action: tf.Tensor) -> base.State:
        """Prior of the next step from state entries [N, ...] and actions [N, A]."""
        return self._step(prev_state, prev_action)

    def observe(
        self, prev_state: base.State, prev_action: tf.Tensor, embedded: tf.Tensor
    ) -> tuple[base.State, base.State]:
        """Prior and posterior of the next step; both start from the last posterior."""
        posterior = self._step(prev_state, prev_action, embedded)
        return self.transition(prev_state, prev_action), posterior

    def features_from_state(self, state: base.State) -> tf.Tensor:
        """The decoder's state, [..., D]."""
        return state["decoder_state"]

    def _step(self, prev_state, prev_action, embedded=None) -> base.State:
        """State of the next step, given what was seen there, embedded [N, E], if so."""
        prev_encoder, prev_decoder, prev_sample = (
            prev_state[key] for key in ("encoder_state", "decoder_state", "sample")
        )
        inputs = [prev_action]
        inputs += [prev_sample] if self._sample_to_encoder else []
        inputs += [prev_decoder] if self._decoder_to_encoder else []
        if embedded is not None:  # Without it, the encoder takes it for zeros.
            inputs.insert(0, embedded)
        encoded = self._encoder(tf.concat(inputs, -1), prev_encoder)
        inputs = [encoded]
        inputs += [prev_sample] if self._sample_to_sample else []
        inputs += [prev_decoder] if self._decoder_to_sample else []
        hidden = self._hidden(tf.concat(inputs, -1))
        stats = self._gaussian(self._mean(hidden), self._stddev(hidden))
        inputs = [stats["sample"]]
        inputs += [prev_encoder] if self._encoder_to_decoder else []
        inputs += [prev_action] if self._action_to_decoder else []
        decoded = self._decoder(tf.concat(inputs, -1), prev_decoder)
        return {"encoder_state": encoded, "decoder_state": decoded, **stats}
