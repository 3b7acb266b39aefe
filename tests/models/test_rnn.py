import tensorflow as tf

from planet.models.rnn import RNN
from planet.tools import unroll


def test_posterior_refines_the_prior_and_nothing_diverges():
    cell = RNN(8)
    embedded, action = tf.random.normal([2, 5, 16]), tf.random.normal([2, 5, 3])
    with tf.GradientTape() as tape:
        prior, posterior = unroll.closed_loop(cell, embedded, action)
        loss = tf.reduce_sum(cell.features_from_state(posterior))
    assert all(gradient is not None for gradient in tape.gradient(loss, cell.weights))
    assert posterior["belief"].shape == (2, 5, 8)
    assert float(tf.norm(prior["belief"] - posterior["belief"])) > 0
    mask = tf.ones([2, 5], bool)
    zeros = (
        cell.divergence_from_states(posterior, prior, mask),
        cell.global_divergence(posterior, mask),
        cell.dist_from_state(posterior, mask).entropy(),
    )
    assert all(tf.reduce_all(value == tf.zeros([2, 5])) for value in zeros)


def test_prior_continues_the_posterior():
    cell = RNN(8)
    embedded, action = tf.random.normal([2, 4, 16]), tf.random.normal([2, 5, 3])
    _, posterior = unroll.closed_loop(cell, embedded, action[:, :4])
    last = {"belief": posterior["belief"][:, -1]}
    imagined = unroll.open_loop(cell, last, action[:, 4:])
    expected = cell.transition(last, action[:, 4])
    tf.debugging.assert_equal(imagined["belief"][:, 0], expected["belief"])
