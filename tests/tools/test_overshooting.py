import numpy as np
import pytest
import tensorflow as tf

from planet.tools import overshooting, unroll


class CountingCell:
    """A cell whose state is the sum of the actions since the observation it holds."""

    def zero_state(self, batch):
        return {"sum": tf.fill([batch, 1], -100.0)}

    def transition(self, prev_state, prev_action):
        return {"sum": prev_state["sum"] + prev_action}

    def observe(self, prev_state, prev_action, embedded):
        return self.transition(prev_state, prev_action), {"sum": embedded}


@pytest.fixture
def sequence():
    actions = tf.constant([[0.0, 1, 2, 3, 4], [0, 10, 20, 30, 40]])[..., None]
    embedded = tf.constant([[0.0, 100, 200, 300, 400]] * 2)[..., None]
    return embedded, actions


def test_closed_loop_sees_every_observation(sequence):
    prior, posterior = unroll.closed_loop(CountingCell(), *sequence)
    assert posterior["sum"].numpy() == pytest.approx(sequence[0].numpy())
    assert prior["sum"][0, :, 0].numpy().tolist() == [-100, 1, 102, 203, 304]


def test_open_loop_adds_up_actions(sequence):
    state = {"sum": tf.zeros([2, 1])}
    prior = unroll.open_loop(CountingCell(), state, sequence[1])
    assert prior["sum"][1, :, 0].numpy().tolist() == [0, 10, 30, 60, 100]


@pytest.mark.parametrize("amount", [0, 1, 3, 4])
def test_every_distance_is_an_open_loop_from_the_posterior(sequence, amount):
    embedded, actions = sequence
    cell = CountingCell()
    _, posterior = unroll.closed_loop(cell, embedded, actions)
    priors = overshooting.overshooting(cell, posterior, actions, amount)
    assert len(priors) == amount + 1
    for distance, prior in enumerate(priors):
        assert prior["sum"].shape == (2, 5 - distance, 1)
        for start in range(5 - distance):
            state = (
                tf.nest.map_structure(lambda x, t=start: x[:, t - 1], posterior)
                if start
                else cell.zero_state(2)
            )
            span = actions[:, start : start + distance + 1]
            expected = unroll.open_loop(cell, state, span)["sum"][:, -1]
            np.testing.assert_allclose(prior["sum"][:, start], expected)


def test_one_step_predictions_are_the_closed_loop_priors(sequence):
    prior, posterior = unroll.closed_loop(CountingCell(), *sequence)
    first = overshooting.overshooting(CountingCell(), posterior, sequence[1], 2)[0]
    np.testing.assert_allclose(first["sum"], prior["sum"])
