"""Keras' layers with a bias whose gradient is right in bfloat16 too.

TensorFlow sums the gradient of `bias_add` in the type of its inputs. In bfloat16, such
a sum stops growing at 256 times its terms, which is nothing beside the 1.6 million
pixels of a batch. Here it is summed in float32.
"""

from __future__ import annotations

import keras
import tensorflow as tf


def add_bias(products: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Adds a bias [D] to products [..., D] of the same type."""
    if products.dtype == tf.bfloat16:
        return _add_rounded(products, bias)
    return tf.nn.bias_add(products, bias)


def custom_gradient(function):
    """`tf.custom_gradient`, but for graphs that can be freed.

    TensorFlow keeps each graph in which it meets a gradient of one's own for as long as
    the process lives. Within a `tf.function` that is the small graph of the function
    itself, made once for each type and shape, rather than that of a whole model.
    """
    return tf.function(tf.custom_gradient(function))


@custom_gradient
def _add_rounded(products: tf.Tensor, bias: tf.Tensor):
    def gradient(upstream):
        axes = list(range(upstream.shape.rank - 1))
        return upstream, tf.reduce_sum(upstream, axes)  # Which sums in float32.

    return tf.nn.bias_add(products, bias), gradient


class Dense(keras.layers.Dense):
    """Keras' dense layer, always with a bias."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Outputs [..., D] from inputs [..., I]."""
        products = keras.ops.matmul(inputs, self.kernel)
        return self.activation(add_bias(products, tf.convert_to_tensor(self.bias)))


class Conv2D(keras.layers.Conv2D):
    """Keras' convolution, always with a bias."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Images [N, H', W', D] from [N, H, W, I]."""
        products = self.convolution_op(inputs, self.kernel)
        return self.activation(add_bias(products, tf.convert_to_tensor(self.bias)))


class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """Keras' transposed convolution without padding, always with a bias."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Images [N, H', W', D] from [N, H, W, I]."""
        products = keras.ops.conv_transpose(inputs, self.kernel, self.strides)
        return self.activation(add_bias(products, tf.convert_to_tensor(self.bias)))
