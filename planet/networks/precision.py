"""The type of numbers that matrix products and convolutions multiply.

Whatever the precision, weights, states, distributions, losses, gradients and the
optimizer are float32; only what goes into a product, and what comes out of it, is
rounded. Sums inside a product are float32 as well.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import keras
import tensorflow as tf

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
REPEATS = 10


@contextlib.contextmanager
def scope(precision: str) -> Iterator[None]:
    """Context in which new Keras layers compute their products in a precision.

    Args:
      precision: one of `POLICIES`.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICIES[precision])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def resolve(precision: str) -> str:
    """One of `POLICIES`: the given one, or for `auto` the one that is `fastest`."""
    return fastest() if precision == "auto" else precision


def fastest() -> str:
    """The precision in which this processor computes typical products fastest.

    It is measured, within a second; bfloat16 has to gain at least a tenth.
    """
    seconds = {name: _seconds(tf.dtypes.as_dtype(name)) for name in POLICIES}
    return "bfloat16" if seconds["bfloat16"] < 0.9 * seconds["float32"] else "float32"


def _seconds(dtype: tf.DType) -> float:
    """Shortest time of a step of 1000 plans and a convolution of 100 images."""
    states, weights = tf.ones([1000, 400], dtype), tf.ones([400, 400], dtype)
    images, kernel = tf.ones([100, 31, 31, 32], dtype), tf.ones([4, 4, 32, 64], dtype)

    @tf.function
    def multiply(states, images):
        product = tf.nn.relu(states @ weights)
        convolved = tf.nn.relu(tf.nn.conv2d(images, kernel, 2, "VALID"))
        return tf.reduce_max(product), tf.reduce_max(convolved)

    def timed():
        start = time.perf_counter()
        for result in multiply(states, images):
            result.numpy()  # Waits for it.
        return time.perf_counter() - start

    return min(timed() for _ in range(REPEATS))
