import numpy as np
import pytest
import tensorflow as tf

from planet.tools import replicas, time_agnostic


def test_pairwise_errors_are_negative_log_likelihoods():
    random = np.random.default_rng(0)
    mean, target = random.normal(size=(2, 3, 4, 5, 2)).astype(np.float32)
    errors = time_agnostic.pairwise_errors(tf.constant(mean), tf.constant(target))
    assert errors.shape == (3, 4, 4)
    difference = mean[:, :, None] - target[:, None]
    expected = 0.5 * (difference**2 + np.log(2 * np.pi)).sum((-2, -1))
    np.testing.assert_allclose(errors, expected, rtol=1e-4)


def test_scalar_targets():
    errors = time_agnostic.pairwise_errors(tf.zeros([1, 2]), tf.constant([[0.0, 2.0]]))
    expected = [0.5 * np.log(2 * np.pi) + x for x in (0, 2)]
    np.testing.assert_allclose(errors[0], [expected] * 2, rtol=1e-6)


def mean_of_best(errors, mask):
    """The loss of a time-agnostic predictor."""
    best = time_agnostic.best_later_errors(errors, mask)
    return replicas.Valid(time_agnostic.has_later(mask)).mean(best)


def loss_and_chosen(targets, predictions, length):
    """The loss, and the targets that it depends on."""
    targets = tf.Variable([targets], dtype=tf.float32)
    mask = tf.sequence_mask([length], targets.shape[1])
    with tf.GradientTape() as tape:
        mean = tf.constant([predictions], tf.float32)
        errors = time_agnostic.pairwise_errors(mean, targets)
        loss = mean_of_best(errors, mask)
    gradient = tape.gradient(loss, targets).numpy()[0]
    return float(loss) - 0.5 * np.log(2 * np.pi), np.flatnonzero(gradient).tolist()


def test_predictable_step_is_chosen():
    noise = [9.0, -7.0, 8.0, 1.1, -9.0, 7.0]
    loss, chosen = loss_and_chosen(noise, [1.0, 1.0, 1.0, -8.9, 7.2, 0.0], 6)
    assert chosen == [3, 4, 5]
    assert loss == pytest.approx(0.5 * (3 * 0.1**2 + 0.1**2 + 0.2**2) / 5, rel=1e-3)


def test_own_and_earlier_steps_are_not_chosen():
    _, chosen = loss_and_chosen([1.0, 1.0, 5.0], [1.0, 1.0, 1.0], 3)
    assert chosen == [2]


def test_masked_steps_never_win():
    loss, chosen = loss_and_chosen([3.0, 2.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0], 2)
    assert chosen == [1]
    assert loss == pytest.approx(0.5)


@pytest.mark.parametrize("length", [0, 1])
def test_sequences_without_a_later_step_count_nothing(length):
    mask = tf.sequence_mask([length], 3)
    assert float(mean_of_best(tf.ones([1, 3, 3]), mask)) == 0
