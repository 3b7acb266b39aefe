"""Dense encoder, for observations that are vectors of numbers."""

from __future__ import annotations

import keras
import tensorflow as tf

from planet.networks import layers


class Encoder(keras.layers.Layer):
    """Embeds vectors by hidden layers.

    Args:
      num_layers: how many.
      num_units: units of each.
      activation: name of their activation function.
    """

    def __init__(
        self, num_layers: int = 2, num_units: int = 100, activation: str = "relu"
    ):
        super().__init__()
        self._dense = [layers.Dense(num_units, activation) for _ in range(num_layers)]

    def call(self, vectors: tf.Tensor) -> tf.Tensor:
        """Embedded vectors [..., E] from vectors [..., S]."""
        for layer in self._dense:
            vectors = layer(vectors)
        return vectors
