"""Convolutional encoder and decoder of Ha & Schmidhuber 2018, "World Models", A.1."""

from __future__ import annotations

import math

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from planet.networks import basic, layers


class Encoder(keras.layers.Layer):
    """Embeds images: 64x64 -> 31 -> 14 -> 6 -> 2 -> a vector of 1024.

    Args:
      dumbnet: one wide stride instead of four layers, for quick tests.
      cnn_depth: filters of the first layer; each further one has twice as many, and
        the vector has 32 entries for each.
    """

    def __init__(self, dumbnet: bool = False, cnn_depth: int = 32):
        super().__init__()
        wide = [(256, 32)]
        deep = [(cnn_depth * factor, 2) for factor in (1, 2, 4, 8)]
        self.convolutions = [
            layers.Conv2D(filters, 4, strides, activation="relu")
            for filters, strides in (wide if dumbnet else deep)
        ]

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """Vectors [..., E] from preprocessed images [..., 64, 64, C]; E is 1024."""
        hidden = tf.reshape(images, tf.concat([[-1], images.shape[-3:]], 0))
        for layer in self.convolutions:
            hidden = layer(hidden)
        lead = tf.shape(images)[:-3]
        size = math.prod(hidden.shape[1:])
        embedded = tf.reshape(hidden, tf.concat([lead, [size]], 0))
        embedded.set_shape([*images.shape[:-3], size])
        return embedded


class Decoder(keras.layers.Layer):
    """Draws images: a vector of 1024 -> 5 -> 13 -> 30 -> 64x64.

    Args:
      shape: shape of the images, (64, 64, C).
      dumbnet: two filters a layer, for quick tests.
      cnn_depth: filters of the last hidden layer; each one before has twice as many,
        and the vector has 32 entries for each.
    """

    def __init__(
        self, shape: tuple[int, int, int], dumbnet: bool = False, cnn_depth: int = 32
    ):
        super().__init__()
        self._shape = tuple(shape)
        size = 1024 if dumbnet else 32 * cnn_depth
        filters = [2, 2, 2] if dumbnet else [cnn_depth * x for x in (4, 2, 1)]
        transpose = layers.Conv2DTranspose
        self.dense = layers.Dense(size)
        self.transposed: list[keras.layers.Layer] = [
            FromPoint(filters[0], 5),
            transpose(filters[1], 5, 2, activation="relu"),
            transpose(filters[2], 6, 2, activation="relu"),
            ToPixels(shape[-1], 6, 2),
        ]

    def call(self, features: tf.Tensor) -> tfd.Distribution:
        """Distribution over images [..., 64, 64, C] from features [..., F]."""
        hidden = self.dense(features)
        hidden = tf.reshape(hidden, [-1, hidden.shape[-1]])
        for layer in self.transposed:
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
        bias = tf.convert_to_tensor(self.bias)
        return tf.nn.relu(layers.add_bias(tf.reshape(output, shape), bias))


class ToPixels(keras.layers.Conv2DTranspose):
    """A transposed convolution with stride 2 to few channels, computed in two steps.

    Each 2x2 block of the output is a point with four times the channels, which fill a
    processor's registers better: a convolution with stride 1 computes these points.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Images float32 [N, 2 (H - 1) + size, ..., C] from [N, H, W, I].

        The bias is added in float32, as its gradient is a sum over all pixels.
        """
        images = _transposed(inputs, tf.convert_to_tensor(self.kernel))
        return tf.nn.bias_add(*(tf.cast(x, tf.float32) for x in (images, self.bias)))


@layers.custom_gradient
def _transposed(inputs: tf.Tensor, kernel: tf.Tensor):
    """What `ToPixels` computes, without a bias, from a kernel [size, size, C, I]."""
    size, _, channels, depth = kernel.shape
    half = size // 2
    blocks = tf.reshape(kernel, [half, 2, half, 2, channels, depth])
    blocks = tf.transpose(tf.reverse(blocks, [0, 2]), [0, 2, 5, 1, 3, 4])
    blocks = tf.reshape(blocks, [half, half, depth, 4 * channels])
    border = [half - 1, half - 1]
    padding = [[0, 0], border, border, [0, 0]]
    outputs = tf.nn.depth_to_space(tf.nn.conv2d(inputs, blocks, 1, padding), 2)

    def gradient(upstream):
        to_inputs = tf.nn.conv2d(upstream, kernel, 2, "VALID")
        to_kernel = tf.raw_ops.Conv2DBackpropFilter(
            input=upstream,
            filter_sizes=kernel.shape,
            out_backprop=inputs,
            strides=[1, 2, 2, 1],
            padding="VALID",
        )
        return to_inputs, to_kernel

    return outputs, gradient
