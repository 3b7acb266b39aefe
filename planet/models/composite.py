"""What cells that consist of other cells share."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from planet.models import base


class Composite(base.Base):
    """Cells of one kind side by side.

    Each entry of the state holds those of the parts in a row.

    Args:
      cells: the parts.
    """

    def __init__(self, cells: Sequence[base.Base]):
        super().__init__()
        self._cells = list(cells)

    @property
    def state_sizes(self) -> dict[str, int]:
        """Size of each state entry, all parts together."""
        return {
            key: sum(cell.state_sizes[key] for cell in self._cells)
            for key in self._cells[0].state_sizes
        }

    def features_from_state(self, state: base.State) -> tf.Tensor:
        """Those of one cell with the sizes of all parts together, [..., F]."""
        return self._cells[0].features_from_state(state)

    def dist_from_state(
        self, state: base.State, mask: tf.Tensor | None = None
    ) -> tfd.Distribution:
        """That of one cell with the sizes of all parts together."""
        return self._cells[0].dist_from_state(state, mask)

    def divergence_from_states(
        self, lhs: base.State, rhs: base.State, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        """KL(lhs || rhs) in nats, [...], all parts together; 0 where masked."""
        return self._cells[0].divergence_from_states(lhs, rhs, mask)

    def global_divergence(self, state: base.State, mask: tf.Tensor) -> tf.Tensor:
        """KL(state || N(0, I)) in nats, [...], all parts together; 0 where masked."""
        return self._cells[0].global_divergence(state, mask)

    def _split(self, state: base.State) -> list[base.State]:
        """The states of the parts, entries [..., size]."""
        parts = [{} for _ in self._cells]
        for key in self.state_sizes:
            sizes = [cell.state_sizes[key] for cell in self._cells]
            for part, entry in zip(parts, tf.split(state[key], sizes, -1), strict=True):
                part[key] = entry
        return parts

    def _join(self, parts: Sequence[base.State]) -> base.State:
        """The state that consists of the states of all parts."""
        return {key: tf.concat([part[key] for part in parts], -1) for key in parts[0]}
