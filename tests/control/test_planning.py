import functools

import numpy as np
import pytest
import tensorflow as tf

from planet.control import planning
from tests.control.planning import toys

plan_for = functools.partial(toys.plan_for, planning.cross_entropy_method)
choose_for = functools.partial(toys.choose_for, planning.discrete_cross_entropy_method)


@pytest.mark.parametrize("size", [1, 6])
@pytest.mark.parametrize("horizon", [1, 5, 12])
def test_finds_the_optimum_of_a_quadratic(horizon, size):
    target = np.linspace(-0.8, 0.7, size)
    plan = plan_for([target], horizon, iterations=20)  # Up to 72 numbers to find.
    assert plan.belief.shape == (1, horizon, size)
    assert plan.action[0].numpy() == pytest.approx(target, abs=0.05)
    assert plan.belief[0, 0].numpy() == pytest.approx(target, abs=0.05)


def test_finds_an_optimum_at_every_step():
    plan = plan_for([[0.4, -0.6]], 12, iterations=20)
    assert plan.belief[0].numpy() == pytest.approx(
        np.tile([0.4, -0.6], (12, 1)), abs=0.05
    )


def test_plans_for_each_environment_from_its_own_state():
    targets = [[-0.7, 0.3], [0.0, 0.9], [0.6, -0.4]]
    together = plan_for(targets)
    assert together.action.numpy() == pytest.approx(np.array(targets), abs=0.05)
    for index, target in enumerate(targets):
        alone = plan_for([target])
        assert together.belief[index].numpy() == pytest.approx(
            alone.belief[0].numpy(), abs=0.05
        )


def test_optimum_beyond_the_bounds_is_clipped():
    plan = plan_for([[2.0]])
    assert plan.action.numpy() == pytest.approx(1.0, abs=0.01)
    assert np.abs(plan.belief).max() <= 1.0


def test_returns_of_all_candidates_rise():
    plan = plan_for([[0.5], [-0.5]], amount=50, topk=5, iterations=4)
    assert plan.returns.shape == (4, 2, 50)
    means = plan.returns.numpy().mean(-1)
    assert (means[-1] > means[0]).all()


@pytest.mark.parametrize("warm_start", [None, 0.25])
def test_without_iterations_the_plan_is_the_initial_mean(warm_start):
    initial = None if warm_start is None else tf.fill([1, 5, 2], warm_start)
    plan = plan_for([[0.5, 0.5]], iterations=0, warm_start=initial)
    assert plan.belief.numpy() == pytest.approx(warm_start or 0.0)
    assert plan.returns.shape == (0, 1, 1000)


def test_warm_start_needs_fewer_iterations():
    target, few = [[0.85, -0.85]], {"amount": 100, "topk": 10, "iterations": 1}
    cold = plan_for(target, **few)
    warm = plan_for(target, warm_start=tf.fill([1, 5, 1], 0.0) + target, **few)
    cold_error = np.abs(cold.belief - target).mean()
    assert np.abs(warm.belief - target).mean() < 0.5 * cold_error


def test_same_seed_same_plan_in_graph_and_eager():
    settings = {"amount": 100, "topk": 10, "iterations": 3}
    eager = plan_for([[0.5]], **settings)
    graph = tf.function(lambda: plan_for([[0.5]], **settings))()
    other = plan_for([[0.5]], seed=(0, 1), **settings)
    assert graph.belief.numpy() == pytest.approx(eager.belief.numpy(), abs=1e-6)
    assert np.abs(other.belief - eager.belief).max() > 1e-4


def test_iterations_draw_different_noise():
    plan = plan_for([[0.0]], amount=10, topk=10, iterations=2)
    assert np.abs(plan.returns[0] - plan.returns[1]).max() > 1e-3


def test_discounted_return():
    rewards = tf.constant([[1.0, 2.0, 3.0], [0.0, 0.0, 1.0]])
    actual = planning.discounted_return(rewards, 0.5).numpy()
    assert actual == pytest.approx([1 + 1 + 0.75, 0.25])


def test_shift_drops_the_first_step_and_ends_neutrally():
    plan = tf.reshape(tf.range(6.0), [1, 3, 2])
    assert planning.shift(plan).numpy().tolist() == [[[2, 3], [4, 5], [0, 0]]]


def draw(size, batch=3, seed=0):
    return np.random.default_rng(seed).integers(0, size, (batch, 12))


@pytest.mark.parametrize("select", ["best", "mode", "sample"])
@pytest.mark.parametrize("size", [5, 18])
def test_finds_the_best_action_of_every_step(size, select):
    wanted = draw(size)
    plan = choose_for(wanted, size, select=select)
    assert plan.belief.shape == (3, 12, size)
    assert (plan.belief.numpy().argmax(-1) == wanted).all()
    assert plan.action.numpy().tolist() == np.eye(size)[wanted[:, 0]].tolist()
    assert plan.returns.shape == (10, 3, 1000)


@pytest.mark.parametrize("size", [5, 18])
def test_warm_start_recovers_within_a_decision_after_the_reward_changed(size):
    before, after = draw(size), (draw(size) + draw(size - 1, seed=1) + 1) % size
    assert (before != after).all()
    settled = choose_for(before, size)
    sure = tf.nn.softmax(settled.belief[:, :-1]).numpy().max(-1)
    assert sure.min() > 0.9
    plan = choose_for(after, size, warm_start=planning.shift(settled.belief))
    assert plan.action.numpy().tolist() == np.eye(size)[after[:, 0]].tolist()
    assert (plan.belief.numpy().argmax(-1) == after).mean() > 0.95


def test_discrete_warm_start_needs_fewer_iterations():
    wanted, few = draw(18), {"amount": 50, "topk": 5, "iterations": 1}
    start = 5.0 * tf.one_hot(wanted, 18)
    cold = choose_for(wanted, 18, **few).belief.numpy().argmax(-1) == wanted
    warm = choose_for(wanted, 18, **few, warm_start=start)
    assert (warm.belief.numpy().argmax(-1) == wanted).mean() > cold.mean() + 0.3


def test_without_iterations_the_discrete_plan_is_the_likeliest_action():
    start = tf.one_hot([[2] * 12], 5)
    plan = choose_for(draw(5, 1), 5, iterations=0, warm_start=start)
    assert plan.action.numpy().tolist() == [[0, 0, 1, 0, 0]]


def test_best_and_mode_differ_where_the_best_sequence_is_a_rare_one():
    """The last iteration draws from what the one before left, so one is enough."""
    settings = {"amount": 30, "topk": 30, "iterations": 1}
    best = choose_for(draw(5), 5, **settings, select="best")
    mode = choose_for(draw(5), 5, **settings, select="mode")
    assert best.belief.numpy() == pytest.approx(mode.belief.numpy())
    likeliest = mode.belief[:, 0].numpy().argmax(-1)
    assert mode.action.numpy().argmax(-1).tolist() == likeliest.tolist()
    assert best.action.numpy().argmax(-1).tolist() != likeliest.tolist()


def test_samples_have_the_chances_of_the_final_belief():
    settings = {"amount": 10, "topk": 10, "iterations": 1, "select": "sample"}
    plan = choose_for(draw(3, batch=2000), 3, **settings)
    chances = tf.nn.softmax(plan.belief[:, 0]).numpy()
    taken = (plan.action.numpy() * chances).sum(-1)
    assert taken.mean() == pytest.approx((chances**2).sum(-1).mean(), abs=0.01)
    likeliest = chances.argmax(-1)
    assert (plan.action.numpy().argmax(-1) != likeliest).mean() > 0.3


@pytest.mark.parametrize("smoothing", [0.0, 0.2, 1.0])
def test_a_share_of_a_warm_start_is_spread_evenly(smoothing):
    start = tf.one_hot(draw(5), 5) * 3.0
    plan = choose_for(draw(5), 5, iterations=0, warm_start=start, smoothing=smoothing)
    expected = (1 - smoothing) * tf.nn.softmax(start).numpy() + smoothing / 5
    assert tf.nn.softmax(plan.belief).numpy() == pytest.approx(expected, abs=1e-6)


def test_discrete_plans_are_the_same_in_graph_and_eager():
    wanted, few = draw(5), {"amount": 50, "topk": 5, "iterations": 2}
    eager = choose_for(wanted, 5, **few)
    graph = tf.function(lambda: choose_for(wanted, 5, **few))()
    assert graph.belief.numpy() == pytest.approx(eager.belief.numpy(), abs=1e-5)
    assert graph.action.numpy().tolist() == eager.action.numpy().tolist()
