import numpy as np
import pytest
import tensorflow as tf

from planet.control.planning import mppi
from tests.control.planning import toys

TARGETS = [[0.5, -0.3], [-0.5, 0.1], [0.2, 0.2]]
ONCE = {"iterations": 1, "mppi_beta": 0.0}


def test_weights():
    returns = tf.constant([[1.0, 2.0, 0.0], [5.0, 5.0, 4.0]])
    e = np.exp(-2.0)
    expected = np.array([[e, 1, e**2], [1, 1, e]])
    expected /= expected.sum(1, keepdims=True)
    assert mppi.weigh(returns, 2.0).numpy() == pytest.approx(expected)
    assert mppi.weigh(returns + 1e4, 2.0).numpy() == pytest.approx(expected, rel=1e-2)
    assert mppi.weigh(returns, 0.0).numpy() == pytest.approx(1 / 3)
    best = mppi.weigh(returns, float("inf")).numpy()
    assert best == pytest.approx(np.array([[0, 1, 0], [0.5, 0.5, 0]]))


def test_infinite_gamma_picks_the_best_candidate():
    """The return of the plan, worked out here, is the highest of all."""
    plan = toys.plan_for(mppi.mppi, TARGETS, mppi_gamma=float("inf"), **ONCE)
    errors = plan.belief - np.array(TARGETS)[:, None]
    returns = -np.sum(errors**2, -1) @ 0.99 ** np.arange(5)
    assert returns == pytest.approx(plan.returns[0].numpy().max(-1), abs=1e-5)
    assert np.array_equal(plan.action, plan.belief[:, 0])


def test_infinite_gamma_picks_the_best_choices():
    wanted = np.random.default_rng(0).integers(0, 3, (2, 4))
    settings = {"mppi_gamma": float("inf"), **ONCE}
    plan = toys.choose_for(mppi.discrete_mppi, wanted, 3, **settings)
    assert plan.returns[0].numpy().max(-1) == pytest.approx(
        np.sum(0.99 ** np.arange(4))
    )
    assert plan.belief.numpy().argmax(-1).tolist() == wanted.tolist()


def test_gamma_of_zero_is_the_mean_of_what_was_drawn():
    plan = toys.plan_for(mppi.mppi, TARGETS, mppi_gamma=0.0, **ONCE)
    assert plan.belief.numpy() == pytest.approx(0, abs=0.1)


def test_momentum_leaves_a_share_of_the_last_mean():
    free = toys.plan_for(mppi.mppi, TARGETS, iterations=1, mppi_beta=0.0)
    slow = toys.plan_for(mppi.mppi, TARGETS, iterations=1, mppi_beta=0.6)
    assert slow.belief.numpy() == pytest.approx(0.4 * free.belief.numpy(), abs=1e-6)


def test_discrete_momentum_leaves_a_share_of_the_last_chances():
    wanted = [[1, 1]]
    plans = [
        toys.choose_for(mppi.discrete_mppi, wanted, 2, iterations=1, mppi_beta=momentum)
        for momentum in (0.0, 0.6)
    ]
    free, slow = (tf.nn.softmax(plan.belief).numpy() for plan in plans)
    assert slow == pytest.approx(0.6 * 0.5 + 0.4 * free, abs=1e-5)


def test_deviation_stays():
    """So does the spread of returns: in the end, it is that of sums of squares."""
    plan = toys.plan_for(mppi.mppi, TARGETS, iterations=100, initial_sigma=0.2)
    expected = 0.2**2 * np.sqrt(2 * 2 * np.sum(0.99 ** (2 * np.arange(5))))
    assert plan.returns[-1].numpy().std(-1) == pytest.approx(expected, rel=0.2)


def test_warm_start():
    start = tf.tile(tf.constant(TARGETS)[:, None], [1, 5, 1])
    plan = toys.plan_for(mppi.mppi, TARGETS, iterations=0, warm_start=start)
    assert plan.belief.numpy() == pytest.approx(start.numpy())
    logits = tf.one_hot([[2] * 3], 5)
    wanted = [[0] * 3]
    plan = toys.choose_for(
        mppi.discrete_mppi, wanted, 5, iterations=0, warm_start=logits
    )
    assert plan.action.numpy().tolist() == [[0, 0, 1, 0, 0]]
