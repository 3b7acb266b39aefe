import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from planet.tools import noise, preprocess


@given(st.integers(1, 8))
def test_preprocess_keeps_the_level_of_every_value(bits):
    image = np.arange(256, dtype=np.uint8)
    result = preprocess.preprocess(tf.constant(image), bits)
    assert result.dtype == tf.float32
    assert result.numpy().min() >= -0.5
    assert result.numpy().max() < 0.5
    quantised = preprocess.postprocess(result, bits).numpy()
    width = 2 ** (8 - bits)
    assert quantised.tolist() == (image // width * width).tolist()


def test_preprocess_spreads_levels_evenly():
    image = tf.fill([100_000], np.uint8(77))
    values = preprocess.preprocess(image, 5).numpy()
    low = 77 // 8 / 32 - 0.5
    assert values.min() == pytest.approx(low, abs=1e-4)
    assert values.max() == pytest.approx(low + 1 / 32, abs=1e-4)
    assert values.mean() == pytest.approx(low + 1 / 64, abs=1e-4)


@pytest.mark.parametrize("bits", range(1, 9))
def test_the_highest_noise_stays_below_the_next_level(bits, monkeypatch):
    highest = np.nextafter(np.float32(1), np.float32(0))
    monkeypatch.setattr(noise, "uniform", lambda shape: tf.fill(shape, highest))
    image = np.arange(256, dtype=np.uint8)
    result = preprocess.preprocess(tf.constant(image), bits)
    width = 2 ** (8 - bits)
    assert result.numpy().max() < 0.5
    quantised = preprocess.postprocess(result, bits).numpy()
    assert quantised.tolist() == (image // width * width).tolist()


def test_postprocess_clips_what_the_model_overdraws():
    image = preprocess.postprocess(tf.constant([-3.0, 0.0, 3.0]), 5)
    assert image.dtype == tf.uint8
    assert image.numpy().tolist() == [0, 128, 248]
