"""Cells that tick with periods of their own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import tensorflow as tf

from planet.models import base, composite


class Clockwork(composite.Composite):
    r"""Sub-cells side by side, each of which ticks with a period of its own.

    Sub-cell i updates at the steps t with t mod tau_i = 0, counted from the zero
    state, and otherwise holds its last prior and posterior. For tau = 1, 2, 4:

        t             0   1   2   3   4   5   6   7
        fast          o   o   o   o   o   o   o   o  --\
        slow          o-------o-------o-------o----- ---+--> features
        slowest       o---------------o------------- --/

    The heads see all sub-cells at every step; the sub-cells do not see one another.

    State entries: those of the sub-cells in a row, fastest first; `prior_*`, the prior
    that the steps between ticks hold; `tick` [N], the steps made so far. The clock is
    part of the state, so it may differ between the rows of a batch; only the rows that
    tick are computed.

    Source: Koutník et al. 2014, "A Clockwork RNN", section 3, without the connections
    from slow to fast.

    Args:
      cells: sub-cells of one kind, fastest first.
      periods: steps between the ticks of each, tau; the first is 1.
    """

    def __init__(self, cells: Sequence[base.Base], periods: Sequence[int]):
        super().__init__(cells)
        self._periods = tuple(periods)

    def zero_state(self, batch: int | tf.Tensor) -> base.State:
        """The state before the first step, at which every sub-cell ticks."""
        state = super().zero_state(batch)
        return state | _memory(state, tf.zeros([batch], tf.int32))

    def transition(self, prev_state: base.State, prev_action: tf.Tensor) -> base.State:
        """Prior of the next step; sub-cells that do not tick stay where they are."""

        def update(cell, *inputs):
            prior = cell.transition(*inputs)
            return prior, prior

        return self._step(update, prev_state, prev_action)[1]

    def observe(
        self, prev_state: base.State, prev_action: tf.Tensor, embedded: tf.Tensor
    ) -> tuple[base.State, base.State]:
        """Prior and posterior of the next step, or the last ones between ticks."""

        def update(cell, *inputs):
            return cell.observe(*inputs)

        return self._step(update, prev_state, prev_action, embedded)

    def internal_divergence(self, state: base.State, mask: tf.Tensor) -> tf.Tensor:
        """Sum of KL(sub-cell || next slower one) in nats, [...]; 0 where masked."""
        return sum(
            self.divergence_from_states(faster, slower, mask)
            for faster, slower in itertools.pairwise(self._split(state))
        )

    def _step(self, update: Callable, prev_state: base.State, *inputs: tf.Tensor):
        """Prior and state of the next step.

        Args:
          update: prior and state of a sub-cell, from that cell, its state and inputs.
          prev_state: entries [N, ...] of the step before.
          *inputs: what every sub-cell sees, [N, ...].
        """
        tick = prev_state["tick"]
        prior = {key: prev_state[f"prior_{key}"] for key in self.state_sizes}
        last = zip(self._split(prior), self._split(prev_state), strict=True)
        pairs = []
        for cell, period, held in zip(self._cells, self._periods, last, strict=True):
            visible = held[1], *inputs
            if period == 1:  # No need to look at the clock.
                pairs.append(update(cell, *visible))
            else:
                due = tf.where(tick % period == 0)
                pairs.append(_replace(held, due, update(cell, *_choose(visible, due))))
        prior, state = map(self._join, zip(*pairs, strict=True))
        memory = _memory(prior, tick + 1)
        return prior | memory, state | memory


def _choose(entries, rows: tf.Tensor):
    """Some rows, int [K, 1], of entries [N, ...].

    What is computed from no rows, as between two ticks, costs no arithmetic.
    """
    return tf.nest.map_structure(lambda entry: tf.gather_nd(entry, rows), entries)


def _replace(entries, rows: tf.Tensor, updates):
    """Entries [N, ...] with some rows, int [K, 1], replaced by [K, ...]."""
    return tf.nest.map_structure(
        lambda entry, update: tf.tensor_scatter_nd_update(entry, rows, update),
        entries,
        updates,
    )


def _memory(prior: base.State, tick: tf.Tensor) -> base.State:
    """What a state holds besides the entries of the sub-cells."""
    return {f"prior_{key}": entry for key, entry in prior.items()} | {"tick": tick}
