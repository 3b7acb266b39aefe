import numpy as np
import tensorflow as tf

from planet.tools import mask


def test_mask_replaces_values_and_stops_gradients():
    values = tf.Variable([[1.0, 0.0], [4.0, 9.0]])
    keep = mask.from_length(tf.constant([1, 2]), 2)
    assert keep.numpy().tolist() == [[True, False], [True, True]]
    with tf.GradientTape() as tape:
        kept = mask.apply(tf.sqrt(mask.apply(values, keep, 1.0)), keep)
    assert kept.numpy().tolist() == [[1, 0], [2, 3]]
    assert tape.gradient(kept, values).numpy()[0].tolist() == [0.5, 0]


def test_mask_of_leading_axes():
    keep = tf.constant([True, False])
    result = mask.apply(tf.ones([2, 3, 4]), keep, 7.0)
    assert result[0].numpy().max() == 1
    assert result[1].numpy().min() == 7


def test_masked_mean_without_valid_elements_is_zero():
    keep = tf.constant([[True, True], [True, False], [False, False]])
    values = tf.constant([[1.0, 3.0], [5.0, np.inf], [np.nan, np.nan]])
    assert mask.mean(values, keep, 1).numpy().tolist() == [2, 5, 0]
