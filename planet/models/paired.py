"""Two cells that act together."""

from __future__ import annotations

import tensorflow as tf

from planet.models import base


class Paired:
    """Two cells that see the same inputs, each in a state of its own.

    State entries: `cell` and `tap`, the states of the two.

    Args:
      cell: the model.
      tap: the time-agnostic predictor.
    """

    def __init__(self, cell: base.Base, tap: base.Base):
        self._cells = {"cell": cell, "tap": tap}

    def zero_state(self, batch: int | tf.Tensor) -> dict[str, base.State]:
        """The states before the first step."""
        return {key: cell.zero_state(batch) for key, cell in self._cells.items()}

    def transition(
        self, prev_state: dict[str, base.State], prev_action: tf.Tensor
    ) -> dict[str, base.State]:
        """Priors of the next step from states [N, ...] and actions [N, A]."""
        return {
            key: cell.transition(prev_state[key], prev_action)
            for key, cell in self._cells.items()
        }

    def posterior(
        self,
        prev_state: dict[str, base.State],
        prev_action: tf.Tensor,
        embedded: tf.Tensor,
    ) -> dict[str, base.State]:
        """Posteriors of the next step, given what was seen there, embedded [N, E]."""
        return {
            key: cell.posterior(prev_state[key], prev_action, embedded)
            for key, cell in self._cells.items()
        }
