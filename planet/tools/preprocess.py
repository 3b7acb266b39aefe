"""Colour depth of images on their way into and out of the model."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from planet.tools import noise

# More would be rounded up to the next level, once in some millions of pixels.
BELOW_ONE = 1 - 2**-16


def prepare(data: Mapping[str, tf.Tensor], bits: int) -> dict[str, tf.Tensor]:
    """Observations of environments, or batches of episodes, with images preprocessed.

    Args:
      data: tensors by name; `image`, if there is one, is uint8, or preprocessed before.
      bits: colour depth of the images.
    """
    if "image" not in data or data["image"].dtype != tf.uint8:
        return dict(data)
    return {**data, "image": preprocess(data["image"], bits)}


def preprocess(image: tf.Tensor, bits: int) -> tf.Tensor:
    """Quantises an image, spreads each level by uniform noise and centres it.

    Source: Kingma & Dhariwal 2018 ("Glow"), as in Hafner et al. 2019, section 5.

    Args:
      image: uint8 [...].
      bits: colour depth after quantisation, 1 to 8.

    Returns:
      float32 [...] in [-0.5, 0.5).
    """
    image = tf.cast(image, tf.float32)
    bins = 2**bits
    image = tf.floor(image / 2 ** (8 - bits)) / bins
    spread = tf.minimum(noise.uniform(tf.shape(image)), BELOW_ONE)
    return image + spread / bins - 0.5


def postprocess(image: tf.Tensor, bits: int) -> tf.Tensor:
    """Turns the model's output back into an image.

    Args:
      image: float32 [...] about 0, as `preprocess` returns.
      bits: colour depth used there.

    Returns:
      uint8 [...] with 2 ** bits levels.
    """
    bins = 2**bits
    levels = tf.clip_by_value(tf.floor(bins * (image + 0.5)), 0, bins - 1)
    return tf.cast(levels * (256 // bins), tf.uint8)
