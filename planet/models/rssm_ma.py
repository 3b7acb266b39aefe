"""Recurrent state-space model with a moving average."""

from __future__ import annotations

import tensorflow as tf

from planet.models import base, composite, rssm


class MovingAverageRSSM(composite.Composite):
    r"""A slow and a fast RSSM side by side; the slow one's state is a moving average.

    For every entry of the state, prior and posterior alike:

        slow_t = (1 - alpha) * slow_{t-1} + alpha * RSSM_slow(slow_{t-1}, ...)
        fast_t =                                    RSSM_fast(fast_{t-1}, ...)

        slow_{t-1} --+--> RSSM_slow --> * alpha --> + --> slow_t --\
                     \--> * (1 - alpha) ------------/               +--> state_t
        fast_{t-1} -----> RSSM_fast ---------------------> fast_t --/

    State entries: those of the RSSM, the slow part of each first.

    Args:
      state_size: size of the stochastic state, S, both parts together.
      model_size: size of the belief, D, both parts together; and of the hidden layers
        of each.
      ma_ppn: share of the slow part in S and D, in (0, 1).
      ma_alpha: speed of the slow part, in (0, 1].
      future_rnn: let the prior depend on the belief.
      mean_only: use means in place of samples.
      min_stddev: smallest standard deviation of a state.
    """

    def __init__(
        self,
        state_size: int,
        model_size: int,
        ma_ppn: float = 0.25,
        ma_alpha: float = 0.25,
        future_rnn: bool = False,
        mean_only: bool = False,
        min_stddev: float = 0.1,
    ):
        state, belief = int(ma_ppn * state_size), int(ma_ppn * model_size)
        options = future_rnn, mean_only, min_stddev, model_size
        slow = rssm.RSSM(state, belief, *options)
        fast = rssm.RSSM(state_size - state, model_size - belief, *options)
        super().__init__([slow, fast])
        self._alpha = ma_alpha

    def transition(self, prev_state: base.State, prev_action: tf.Tensor) -> base.State:
        """Prior of the next step from state entries [N, ...] and actions [N, A]."""
        slow, fast = self._cells
        prev_slow, prev_fast = self._split(prev_state)
        next_slow = slow.transition(prev_slow, prev_action)
        next_fast = fast.transition(prev_fast, prev_action)
        return self._join([self._average(prev_slow, next_slow), next_fast])

    def observe(
        self, prev_state: base.State, prev_action: tf.Tensor, embedded: tf.Tensor
    ) -> tuple[base.State, base.State]:
        """Prior and posterior of the next step, given what was seen there."""
        slow, fast = self._cells
        prev_slow, prev_fast = self._split(prev_state)
        pairs = zip(
            slow.observe(prev_slow, prev_action, embedded),
            fast.observe(prev_fast, prev_action, embedded),
            strict=True,
        )
        prior, posterior = (
            self._join([self._average(prev_slow, next_slow), next_fast])
            for next_slow, next_fast in pairs
        )
        return prior, posterior

    def _average(self, prev_slow: base.State, slow: base.State) -> base.State:
        """The slow state, no faster than alpha."""
        return {
            key: (1 - self._alpha) * prev_slow[key] + self._alpha * entry
            for key, entry in slow.items()
        }
