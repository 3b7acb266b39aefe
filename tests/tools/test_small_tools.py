import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from planet.tools import mask, noise, preprocess, schedule


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


def test_postprocess_clips_what_the_model_overdraws():
    image = preprocess.postprocess(tf.constant([-3.0, 0.0, 3.0]), 5)
    assert image.dtype == tf.uint8
    assert image.numpy().tolist() == [0, 128, 248]


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


@given(st.integers(1, 20), st.integers(1, 50), st.integers(1, 400))
def test_due_once_for_every_multiple(batch, every, updates):
    steps = [batch * (index + 1) for index in range(updates)]
    events = sum(schedule.due(step, batch, every) for step in steps)
    if batch <= every:
        assert events == steps[-1] // every
    else:
        assert events <= steps[-1] // every


def test_linear_schedule():
    assert [schedule.linear(step, 10) for step in (0, 5, 10, 20)] == [0, 0.5, 1, 1]
    assert schedule.linear(0, 0) == 1


def test_noise_is_a_function_of_the_seed():
    def draw(seed):
        with noise.stream(seed):
            return noise.normal([5]), noise.uniform([5]), noise.normal([5])

    first, again, other = draw([1, 2]), draw([1, 2]), draw([1, 3])
    graph = tf.function(draw)(tf.constant([1, 2]))
    for a, b, c, d in zip(first, again, other, graph, strict=True):
        assert a.numpy().tolist() == b.numpy().tolist() == d.numpy().tolist()
        assert a.numpy().tolist() != c.numpy().tolist()
    assert first[0].numpy().tolist() != first[2].numpy().tolist()


def test_noise_without_a_stream_differs_between_draws():
    draw = tf.function(lambda: noise.normal([5]))
    assert draw().numpy().tolist() != draw().numpy().tolist()
    assert noise.seed().shape == (2,)


def test_seeds_go_on_after_a_checkpoint(tmp_path):
    seeds = noise.Seeds(3_000_000_000)
    first = [seeds.next().tolist() for _ in range(3)]
    assert len({tuple(seed) for seed in first}) == 3
    path = tf.train.Checkpoint(seeds=seeds).write(str(tmp_path / "ckpt"))
    expected = seeds.next().tolist()
    restored = noise.Seeds(1)
    tf.train.Checkpoint(seeds=restored).read(path).assert_consumed()
    assert restored.next().tolist() == expected
