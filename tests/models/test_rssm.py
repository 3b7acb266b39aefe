import numpy as np
import pytest
import tensorflow as tf

from planet.models import rssm
from planet.tools import noise, tf1_checkpoint


@pytest.fixture
def cell():
    return rssm.RSSM(state_size=4, model_size=8)


def random_inputs(batch=3):
    random = np.random.default_rng(0)
    action = tf.constant(random.normal(size=(batch, 2)), tf.float32)
    embedded = tf.constant(random.normal(size=(batch, 16)), tf.float32)
    return action, embedded


def test_shapes_of_states_and_features(cell):
    action, embedded = random_inputs()
    state = cell.zero_state(3)
    sizes = {key: value.shape[-1] for key, value in state.items()}
    assert sizes == cell.state_sizes
    prior = cell.transition(state, action)
    posterior = cell.posterior(state, action, embedded)
    for key, value in state.items():
        assert prior[key].shape == posterior[key].shape == value.shape
    assert cell.features_from_state(posterior).shape == (3, 12)


def test_observe_is_transition_and_posterior(cell):
    inputs = cell.zero_state(3), *random_inputs()
    with noise.stream([1, 2]):
        prior, posterior = cell.observe(*inputs)
    with noise.stream([1, 2]):
        assert_same(prior, cell.transition(*inputs[:2]))
    with noise.stream([1, 2]):
        assert_same(posterior, cell.posterior(*inputs))
    assert_same(prior["belief"], posterior["belief"])


def test_samples_follow_the_distribution(cell):
    action, _ = random_inputs(1)
    many = tf.repeat(action, 20_000, 0)
    prior = cell.transition(cell.zero_state(20_000), many)
    sample = prior["sample"].numpy()
    assert sample.mean(0) == pytest.approx(prior["mean"][0].numpy(), abs=0.05)
    assert sample.std(0) == pytest.approx(prior["stddev"][0].numpy(), rel=0.05)


def test_mean_only_and_min_stddev():
    cell = rssm.RSSM(state_size=4, model_size=8, mean_only=True, min_stddev=2.5)
    prior = cell.transition(cell.zero_state(3), random_inputs()[0])
    assert_same(prior["sample"], prior["mean"])
    assert (prior["stddev"].numpy() >= 2.5).all()


@pytest.mark.parametrize("future_rnn", [False, True])
def test_only_future_rnn_lets_the_prior_see_the_belief(future_rnn):
    cell = rssm.RSSM(state_size=4, model_size=8, future_rnn=future_rnn)
    action, _ = random_inputs()
    state = cell.zero_state(3)
    moved = {**state, "rnn_state": state["rnn_state"] + 1.0}
    same = np.allclose(
        cell.transition(state, action)["mean"], cell.transition(moved, action)["mean"]
    )
    assert same != future_rnn


def test_divergence_and_its_mask(cell):
    lhs = {"mean": tf.constant([[1.0], [1.0]]), "stddev": tf.constant([[2.0], [2.0]])}
    rhs = {"mean": tf.zeros([2, 1]), "stddev": tf.ones([2, 1])}
    expected = np.log(1 / 2) + (4 + 1) / 2 - 0.5
    divergence = cell.divergence_from_states(lhs, rhs, tf.constant([True, False]))
    assert divergence.numpy() == pytest.approx([expected, 0.0])
    mask = tf.constant([True, True])
    assert cell.global_divergence(lhs, mask).numpy() == pytest.approx(expected)


def test_masked_states_do_not_spoil_the_gradient(cell):
    stddev = tf.Variable([[1.0], [0.0]])
    with tf.GradientTape() as tape:
        lhs = {"mean": tf.zeros([2, 1]), "stddev": stddev}
        rhs = {"mean": tf.ones([2, 1]), "stddev": tf.ones([2, 1])}
        mask = tf.constant([True, False])
        divergence = cell.divergence_from_states(lhs, rhs, mask)
        loss = tf.reduce_sum(divergence)
    assert np.isfinite(tape.gradient(loss, stddev)).all()


def test_initial_biases_of_the_gru(cell):
    cell.transition(cell.zero_state(3), random_inputs()[0])
    weights = tf1_checkpoint.names(cell)
    scope = "graph/rnn/rssm/transition/gru_cell"
    assert (weights[f"{scope}/b_ru"].numpy() == 1).all()
    assert (weights[f"{scope}/b_c"].numpy() == 0).all()


def assert_same(actual, expected):
    tf.nest.map_structure(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), actual, expected
    )
