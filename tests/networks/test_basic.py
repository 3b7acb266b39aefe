import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from planet.networks import basic


@pytest.fixture
def gru():
    """A GRU of random weights, for 3 inputs and a state of 4."""
    layer = basic.GRU(4)
    layer.build((None, 3), (None, 4))
    random = np.random.default_rng(0)
    for variable in layer.trainable_variables:
        variable.assign(random.normal(size=variable.shape))
    return layer


def random_inputs(batch=5):
    random = np.random.default_rng(1)
    return (
        tf.constant(random.normal(size=(batch, size)), tf.float32) for size in (3, 4)
    )


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def test_gru_is_its_equations(gru):
    inputs, state = random_inputs()
    x, h = inputs.numpy(), state.numpy()
    w_ru, b_ru, w_c, b_c = (
        weights.numpy() for weights in (gru.w_ru, gru.b_ru, gru.w_c, gru.b_c)
    )
    r, u = np.split(sigmoid(np.concatenate([x, h], 1) @ w_ru + b_ru), 2, 1)
    c = np.tanh(np.concatenate([x, r * h], 1) @ w_c + b_c)
    expected = u * h + (1 - u) * c
    np.testing.assert_allclose(gru(inputs, state), expected, rtol=1e-5, atol=1e-6)


def test_gru_holds_its_state_at_first():
    gru = basic.GRU(4)
    state = tf.fill([2, 4], 0.5)
    held = gru(tf.zeros([2, 3]), state)
    assert (gru.w_ru.shape, gru.w_c.shape) == ((7, 8), (7, 4))
    np.testing.assert_array_equal(gru.b_ru, np.ones(8))
    np.testing.assert_array_equal(gru.b_c, np.zeros(4))
    # Glorot-uniform: within the square root of 6 / (rows + columns).
    for matrix, limit in ((gru.w_ru, np.sqrt(6 / 15)), (gru.w_c, np.sqrt(6 / 11))):
        assert 0.5 * limit < np.abs(matrix).max() <= limit
    assert (np.abs(held - state) < 0.5).all()


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_gradients_of_many_gru_steps_are_finite(gru, scale):
    inputs, state = random_inputs()
    with tf.GradientTape() as tape:
        tape.watch([inputs, state])
        last = state
        for _ in range(50):
            last = gru(scale * inputs, last)
        total = tf.reduce_sum(last)
    sources = [inputs, state, *gru.trainable_variables]
    for gradient in tape.gradient(total, sources):
        assert np.isfinite(gradient).all()
    assert np.abs(last).max() <= max(1, np.abs(state).max())


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
@pytest.mark.parametrize("lead", [(5,), (5, 6)])
def test_feed_forward_is_a_unit_gaussian_of_the_target(shape, lead):
    head = basic.FeedForward(shape, num_layers=1, num_units=7)
    dist = head(tf.ones([*lead, 4]))
    assert dist.mean().shape == (*lead, *shape)
    assert dist.log_prob(dist.mean()).shape == lead
    size = np.prod(shape, dtype=int)
    best = -0.5 * size * np.log(2 * np.pi)
    np.testing.assert_allclose(dist.log_prob(dist.mean()), np.full(lead, best), 1e-5)
    off = dist.log_prob(dist.mean() + 1.0)
    np.testing.assert_allclose(off, np.full(lead, best - 0.5 * size), 1e-5)


@pytest.mark.parametrize(
    ("shape", "rank"), [([3, 4], 0), ([3, 4], 1), ([2, 4, 4, 3], 3)]
)
def test_unit_gaussian_is_the_one_of_tensorflow_probability(shape, rank):
    mean, value = tf.random.normal(shape), tf.random.normal(shape)
    dist = basic.unit_gaussian(mean, rank)
    expected = tfp.distributions.Independent(tfp.distributions.Normal(mean, 1.0), rank)
    np.testing.assert_allclose(
        dist.log_prob(value), expected.log_prob(value), rtol=1e-5
    )
    np.testing.assert_allclose(dist.entropy(), expected.entropy())
    np.testing.assert_array_equal(dist.mean(), mean)
    assert dist.event_shape == expected.event_shape
