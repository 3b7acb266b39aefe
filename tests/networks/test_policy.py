import numpy as np
import pytest
import tensorflow as tf
from scipy import integrate, stats

from planet.networks import policy, precision


def make_policy(**kwargs):
    network = policy.Policy(2, 3, "tanh", **kwargs)
    network(tf.zeros([1, 4]))
    random = np.random.default_rng(0)
    for variable in network.trainable_variables:
        variable.assign(random.normal(size=variable.shape))
    return network


def make_actor(**kwargs):
    """An actor on states whose entry `belief` is what it sees."""
    return policy.Actor(make_policy(**kwargs), lambda state: state["belief"])


def states(amount=5):
    random = np.random.default_rng(1)
    return {"belief": tf.constant(random.normal(size=(amount, 4)), tf.float32)}


@pytest.mark.parametrize("stochastic", [False, True])
def test_acts_by_its_equations(stochastic):
    network = make_policy(stochastic=stochastic)
    actor = policy.Actor(network, lambda state: state["belief"])
    weights = [variable.numpy() for variable in network.trainable_variables]
    assert len(weights) == (8 if stochastic else 6)
    assert actor.noise_size == 6
    noise = np.random.default_rng(2).normal(size=(5, 6)).astype(np.float32)
    for added in (np.zeros_like(noise), noise):
        hidden = states()["belief"].numpy()
        for layer in range(2):
            kernel, bias = weights[2 * layer : 2 * layer + 2]
            hidden = np.tanh(hidden @ kernel + bias) + added[:, 3 * layer :][:, :3]
        expected = np.tanh(hidden @ weights[4] + weights[5])
        actual = actor.act(states(), tf.constant(added))
        np.testing.assert_allclose(actual, expected, atol=1e-5)
    without = actor.act(states(), tf.zeros([5, 6]))
    np.testing.assert_array_equal(actor.act(states()), without)


@pytest.mark.parametrize("stochastic", [False, True])
def test_actions_are_within_their_bounds(stochastic):
    actor = make_actor(stochastic=stochastic)
    actions = actor.act(states(), 1e3 * tf.ones([5, 6])).numpy()
    assert actions.shape == (5, 2)
    assert actions.dtype == np.float32
    assert 0.9 < np.abs(actions).max() <= 1


@pytest.mark.parametrize("stochastic", [False, True])
def test_discrete_actions_are_the_likeliest_choices(stochastic):
    actor = make_actor(stochastic=stochastic, discrete=True)
    logits, actions = actor.logits(states()), actor.act(states())
    assert logits.shape == (5, 2)
    assert actions.dtype == tf.float32
    np.testing.assert_array_equal(actions, np.eye(2)[np.argmax(logits, -1)])
    assert 0 < actions.numpy()[:, 0].sum() < 5
    dist = make_policy(discrete=True)(states()["belief"])
    log_probs = tf.nn.log_softmax(logits).numpy()[actions.numpy() == 1]
    np.testing.assert_allclose(dist.log_prob(actions), log_probs, rtol=1e-5)


MEANS, STDDEVS = np.meshgrid([-0.99, 0.0, 0.4], [0.1, 0.5, 3.0])


def test_clipped_gaussian_is_a_density_between_two_probabilities():
    mean, stddev = (tf.constant(x.reshape(-1, 1), tf.float32) for x in (MEANS, STDDEVS))
    dist = policy.ClippedGaussian(mean, stddev)
    normal = stats.norm(MEANS.ravel(), STDDEVS.ravel())
    np.testing.assert_allclose(
        dist.log_prob(tf.fill([9, 1], 0.3)), normal.logpdf(0.3), rtol=1e-4
    )
    low, high = (dist.log_prob(tf.fill([9, 1], x)).numpy() for x in (-1.0, 1.0))
    np.testing.assert_allclose(low, normal.logcdf(-1), rtol=1e-4)
    np.testing.assert_allclose(high, normal.logsf(1), rtol=1e-4)
    inside = np.linspace(-1, 1, 20_001)
    density = normal.pdf(inside[:, None])
    total = integrate.trapezoid(density, inside, axis=0)
    np.testing.assert_allclose(total + np.exp(low) + np.exp(high), 1, rtol=1e-4)
    logs = integrate.trapezoid(density * normal.logpdf(inside[:, None]), inside, axis=0)
    entropy = -logs - np.exp(low) * low - np.exp(high) * high
    np.testing.assert_allclose(dist.entropy(), entropy, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(dist.mode(), mean)


def test_entries_of_an_action_are_independent():
    mean, stddev = tf.constant([[0.1, -0.6]]), tf.constant([[0.2, 0.7]])
    both = policy.ClippedGaussian(mean, stddev)
    entries = [
        policy.ClippedGaussian(mean[:, index : index + 1], stddev[:, index : index + 1])
        for index in range(2)
    ]
    action = tf.constant([[1.0, 0.5]])
    expected = entries[0].log_prob(action[:, :1]) + entries[1].log_prob(action[:, 1:])
    np.testing.assert_allclose(both.log_prob(action), expected)
    expected = entries[0].entropy() + entries[1].entropy()
    np.testing.assert_allclose(both.entropy(), expected)


@pytest.mark.parametrize("action", [-1.0, -0.999, 0.0, 0.999, 1.0])
@pytest.mark.parametrize("mean", [-1.0, 0.0, 1.0])
def test_unlikely_actions_give_finite_gradients(mean, action):
    parameters = [tf.constant([[mean]]), tf.constant([[policy.MIN_STDDEV]])]
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        log_prob = policy.ClippedGaussian(*parameters).log_prob(tf.constant([[action]]))
    assert np.isfinite(log_prob).all()
    assert np.isfinite(tape.gradient(log_prob, parameters)).all()


def test_likelihood_finds_the_mean_of_clipped_actions():
    random = np.random.default_rng(0)
    actions = np.clip(random.normal(0.8, 0.5, (1000, 1)), -1, 1)
    assert actions.mean() < 0.7
    features = tf.ones([1000, 1])
    network = policy.Policy(1, 4, stochastic=True)
    network(features)
    optimizer = tf.keras.optimizers.Adam(0.03)
    for _ in range(150):
        with tf.GradientTape() as tape:
            dist = network(features)
            loss = -tf.reduce_mean(dist.log_prob(tf.constant(actions, tf.float32)))
        variables = network.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
    assert float(network(features).mode()[0, 0]) == pytest.approx(0.8, abs=0.05)


def test_half_precision():
    with precision.scope("bfloat16"):
        network = policy.Policy(2, 3, stochastic=True)
    dist = network(tf.ones([5, 4]), tf.ones([5, 6]))
    assert network.trainable_variables[0].dtype == "float32"
    assert dist.mode().dtype == dist.entropy().dtype == tf.float32
