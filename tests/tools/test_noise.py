import numpy as np
import pytest
import tensorflow as tf

from planet.tools import noise


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


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("length", [1, 2, 5, 12, 64])
def test_coloured_noise_has_the_spectrum_that_it_claims(exponent, length):
    amount = 20_000
    with noise.stream((0, 1)):
        drawn = noise.coloured([amount, length, 2], exponent).numpy()
    assert drawn.shape == (amount, length, 2)
    assert drawn.mean((0, 2)) == pytest.approx(np.zeros(length), abs=0.03)
    assert drawn.var((0, 2)) == pytest.approx(np.ones(length), abs=0.04)
    assert (drawn[..., 0] * drawn[..., 1]).mean() == pytest.approx(0, abs=0.03)
    power = (np.abs(np.fft.rfft(drawn, axis=1)) ** 2).mean((0, 2))
    frequencies = np.fft.rfftfreq(length)
    frequencies[0] = 1 / length
    expected = frequencies**-exponent
    # Parseval: all powers, those of negative frequencies too, add up to length ** 2.
    counts = np.full(len(expected), 2)
    counts[[0, -1] if length % 2 == 0 else [0]] = 1
    expected *= length**2 / np.sum(counts * expected)
    assert power == pytest.approx(expected, rel=0.05)


def test_coloured_noise_is_gaussian_and_stationary():
    with noise.stream((0, 1)):
        drawn = noise.coloured([40_000, 8, 1], 1.0).numpy()[..., 0]
    assert (drawn**4).mean() == pytest.approx(3, abs=0.1)
    covariance = np.cov(drawn.T)
    for lag in range(1, 8):
        along = np.diagonal(covariance, lag)
        assert along == pytest.approx(np.full(len(along), along.mean()), abs=0.04)


def test_white_noise_is_what_it_always_was():
    with noise.stream((0, 1)):
        coloured = noise.coloured([3, 4, 5], 0.0)
    with noise.stream((0, 1)):
        assert np.array_equal(coloured, noise.normal([3, 4, 5]))
