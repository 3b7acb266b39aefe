"""Layers that several models and heads share."""

from __future__ import annotations

import math

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from planet.networks import layers


class GRU(keras.layers.Layer):
    """Gated recurrent unit whose reset gate acts before the candidate's product.

        r, u = split(sigmoid([x, h] W_ru + b_ru))
        c = tanh([x, r * h] W_c + b_c)
        h' = u * h + (1 - u) * c

    Source: Cho et al. 2014, equations 5-8, with the update gate's sense turned and its
    bias starting at 1, as in TensorFlow 1. (Keras' GRU has a bias of its own in the
    recurrent product and another gate order.)
    """

    def __init__(self, size: int):
        super().__init__(autocast=False)
        self._size = size

    def build(self, inputs_shape, state_shape) -> None:
        """Creates the weights for inputs [N, I] and states [N, D]."""
        rows = inputs_shape[-1] + state_shape[-1]
        add = self.add_weight
        self.w_ru = add((rows, 2 * self._size), "glorot_uniform", name="w_ru")
        self.b_ru = add((2 * self._size,), "ones", name="b_ru")
        self.w_c = add((rows, self._size), "glorot_uniform", name="w_c")
        self.b_c = add((self._size,), "zeros", name="b_c")

    def call(self, inputs: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
        """Next state [N, D] from inputs [N, I] and the state [N, D].

        Inputs that are narrower than I stand for ones that begin with zeros.
        """
        gates = tf.sigmoid(self._linear(inputs, state, self.w_ru, self.b_ru))
        reset, update = tf.split(tf.cast(gates, state.dtype), 2, -1)
        linear = self._linear(inputs, reset * state, self.w_c, self.b_c)
        candidate = tf.cast(tf.tanh(linear), state.dtype)
        return candidate + update * (state - candidate)

    def _linear(self, inputs, state, weights, biases) -> tf.Tensor:
        """[inputs, state] times the last rows of the weights, plus biases."""
        inputs, state, weights, biases = (
            tf.cast(x, self.compute_dtype) for x in (inputs, state, weights, biases)
        )
        joined = tf.concat([inputs, state], -1)
        if joined.shape[-1] < weights.shape[0]:
            weights = weights[-joined.shape[-1] :]
        return layers.add_bias(joined @ weights, biases)


class FeedForward(keras.layers.Layer):
    """Dense layers with a linear output: the mean of a unit-variance Gaussian.

    Args:
      shape: shape of the target.
      num_layers: hidden layers.
      num_units: units of each hidden layer.
      activation: name of the hidden layers' activation function.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        num_layers: int = 2,
        num_units: int = 100,
        activation: str = "relu",
    ):
        super().__init__()
        self._shape = tuple(shape)
        size = tf.TensorShape(shape).num_elements()
        self._dense = [
            layers.Dense(num_units, activation) for _ in range(num_layers)
        ] + [layers.Dense(size)]

    def call(self, features: tf.Tensor) -> tfd.Distribution:
        """Distribution over targets [..., *shape] from features [..., F]."""
        hidden = features
        for layer in self._dense:
            hidden = layer(hidden)
        lead = tf.shape(features)[:-1]
        mean = tf.reshape(hidden, tf.concat([lead, self._shape], 0))
        mean.set_shape([*features.shape[:-1], *self._shape])
        return unit_gaussian(mean, len(self._shape))


def unit_gaussian(mean: tf.Tensor, event_rank: int) -> tfd.Distribution:
    """Gaussian with variance 1, float32, whose last `event_rank` axes are one event."""
    return UnitGaussian(tf.cast(mean, tf.float32), event_rank)


class UnitGaussian(tfd.Independent):
    """Gaussian with variance 1 whose last axes are one event.

    Its log-likelihood is a plain sum of squares, which is faster than adding up those
    of the normal distributions it consists of.

    Args:
      mean: [..., *event].
      event_rank: number of axes of an event.
    """

    def __init__(self, mean: tf.Tensor, event_rank: int):
        super().__init__(tfd.Normal(mean, 1.0), event_rank)
        self._axes = list(range(-event_rank, 0))

    def _log_prob(self, value: tf.Tensor) -> tf.Tensor:
        mean = self.distribution.loc
        squares = tf.reduce_sum(tf.math.squared_difference(value, mean), self._axes)
        size = math.prod(mean.shape[axis] for axis in self._axes)
        return -0.5 * (squares + size * math.log(2 * math.pi))
