"""Convolutional encoder and decoder of Ha & Schmidhuber 2018, "World Models", A.1."""

from __future__ import annotations

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from planet.networks import basic


class Encoder(keras.layers.Layer):
    """Embeds images: 64x64 -> 31 -> 14 -> 6 -> 2 -> a vector of 1024.

    Args:
      dumb: one wide stride instead of four layers, for quick tests.
    """

    def __init__(self, dumb: bool = False):
        super().__init__()
        layers = [(256, 32)] if dumb else [(32, 2), (64, 2), (128, 2), (256, 2)]
        self._convolutions = [
            keras.layers.Conv2D(filters, 4, strides, activation="relu")
            for filters, strides in layers
        ]

    @property
    def scopes(self) -> dict[str, keras.layers.Layer]:
        """Layers by the scope that holds their variables in original checkpoints."""
        return basic.number("conv2d", self._convolutions)

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """Vectors [..., 1024] from preprocessed images [..., 64, 64, C]."""
        hidden = tf.reshape(images, tf.concat([[-1], images.shape[-3:]], 0))
        for layer in self._convolutions:
            hidden = layer(hidden)
        lead = tf.shape(images)[:-3]
        embedded = tf.reshape(hidden, tf.concat([lead, [1024]], 0))
        embedded.set_shape([*images.shape[:-3], 1024])
        return embedded


class Decoder(keras.layers.Layer):
    """Draws images: a vector of 1024 -> 5 -> 13 -> 30 -> 64x64.

    Args:
      shape: shape of the images, (64, 64, C).
      dumb: two filters a layer, for quick tests.
    """

    def __init__(self, shape: tuple[int, int, int], dumb: bool = False):
        super().__init__()
        self._shape = tuple(shape)
        filters = [2, 2, 2] if dumb else [128, 64, 32]
        transpose = keras.layers.Conv2DTranspose
        self._dense = keras.layers.Dense(1024)
        self._transposed = [
            FromPoint(filters[0], 5),
            transpose(filters[1], 5, 2, activation="relu"),
            transpose(filters[2], 6, 2, activation="relu"),
            transpose(shape[-1], 6, 2),
        ]

    @property
    def scopes(self) -> dict[str, keras.layers.Layer]:
        """Layers by the scope that holds their variables in original checkpoints."""
        return {
            "dense": self._dense,
            **basic.number("conv2d_transpose", self._transposed),
        }

    def call(self, features: tf.Tensor) -> tfd.Distribution:
        """Distribution over images [..., 64, 64, C] from features [..., F]."""
        hidden = tf.reshape(self._dense(features), [-1, 1024])
        for layer in self._transposed:
            hidden = layer(hidden)
        lead = tf.shape(features)[:-1]
        mean = tf.reshape(hidden, tf.concat([lead, self._shape], 0))
        mean.set_shape([*features.shape[:-1], *self._shape])
        return basic.unit_gaussian(mean, len(self._shape))


class FromPoint(keras.layers.Layer):
    """A transposed convolution of a 1x1 image, as the matrix product that it is.

    Keeps the convolution's weights, [size, size, filters, inputs].
    """

    def __init__(self, filters: int, size: int):
        super().__init__()
        self._filters, self._size = filters, size

    def build(self, input_shape) -> None:
        """Creates the weights for inputs [N, I]."""
        shape = (self._size, self._size, self._filters, input_shape[-1])
        self.kernel = self.add_weight(shape, "glorot_uniform", name="kernel")
        self.bias = self.add_weight((self._filters,), "zeros", name="bias")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Images [N, size, size, filters] from inputs [N, I]."""
        matrix = tf.reshape(self.kernel, [-1, inputs.shape[-1]])
        output = tf.matmul(inputs, matrix, transpose_b=True)
        shape = [-1, self._size, self._size, self._filters]
        return tf.nn.relu(tf.nn.bias_add(tf.reshape(output, shape), self.bias))
