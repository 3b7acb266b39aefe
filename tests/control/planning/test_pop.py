"""Planners guided by a policy."""

import numpy as np
import pytest
import tensorflow as tf

from planet.control import planning
from planet.control.planning import mppi, policy, pop_a1, pop_a2, pop_p
from planet.tools import noise
from tests.control.planning import toys

TARGETS = [[0.5, -0.9], [-0.4, 0.2], [1.4, 0.0]]
FEW = {"amount": 200, "topk": 20, "iterations": 4}
# So wide that nothing is clipped.
WIDE = {"action_bounds": (-1e6, 1e6)}


def assert_same(actual, expected):
    """Asserts the same numbers, which is more than the same distribution."""
    for ours, theirs in zip(actual[:3], expected[:3], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("planner", [pop_a1.pop_a1, pop_a2.pop_a2])
@pytest.mark.parametrize("bounds", [{}, WIDE])
def test_noise_on_actions_of_a_zero_policy_is_cem(planner, bounds):
    settings = {**FEW, **bounds}
    expected = toys.plan_for(planning.cross_entropy_method, TARGETS, **settings)
    actual = toys.plan_for(planner, TARGETS, **settings, policy=toys.ZeroPolicy(2))
    assert_same(actual, expected)


def test_noise_in_a_zero_policy_is_cem():
    expected = toys.plan_for(planning.cross_entropy_method, TARGETS, **FEW, **WIDE)
    actual = toys.plan_for(pop_p.pop_p, TARGETS, **FEW, policy=toys.ZeroPolicy(2))
    assert_same(actual, expected)


def test_noise_in_a_zero_policy_is_mppi():
    few = {"amount": 200, "iterations": 4}
    expected = toys.plan_for(mppi.mppi, TARGETS, **few, **WIDE)
    few["policy"] = toys.ZeroPolicy(2)
    actual = toys.plan_for(pop_p.pop_p_mppi, TARGETS, **few)
    assert_same(actual, expected)


def test_choices_around_an_undecided_policy_are_cem():
    wanted = np.random.default_rng(0).integers(0, 3, (40, 4))
    cem = planning.discrete_cross_entropy_method
    expected = toys.choose_for(cem, wanted, 3, **FEW)
    pop = pop_a1.discrete_pop_a1
    guided = {**FEW, "policy": toys.ZeroPolicy(3)}
    actual = toys.choose_for(pop, wanted, 3, seed=(0, 7), **guided)
    means = [plan.returns[0].numpy().mean() for plan in (actual, expected)]
    assert means[0] == pytest.approx(means[1], abs=0.05)
    chances = [
        tf.nn.softmax(plan.belief).numpy()[tf.one_hot(wanted, 3) == 1].mean()
        for plan in (actual, expected)
    ]
    assert chances[0] == pytest.approx(chances[1], abs=0.02)


@pytest.mark.parametrize("planner", [pop_a1.pop_a1, pop_a2.pop_a2])
@pytest.mark.parametrize("warm_start", [None, 0.1])
def test_without_iterations_the_plan_is_the_policys(planner, warm_start):
    start = None if warm_start is None else tf.fill([2, 3, 1], warm_start)
    plan = walk(planner, iterations=0, warm_start=start)
    assert plan.action.numpy() == pytest.approx(POLICYS + (warm_start or 0))
    assert plan.belief.numpy() == pytest.approx(warm_start or 0)
    assert plan.returns.shape == (0, 2, 1000)


# Of a chaser at 0 and these targets.
GOALS, POLICYS = np.array([[0.8], [-0.4]]), np.array([[0.4], [-0.2]])


def walk(planner, horizon=3, **kwargs):
    targets = tf.constant(GOALS, tf.float32)
    state = {"target": targets, "place": tf.zeros_like(targets)}
    with noise.stream((0, 1)):
        return planner(
            toys.WalkCell(),
            toys.arrival,
            state,
            (1,),
            horizon,
            **kwargs,
            policy=toys.Chaser(),
        )


@pytest.mark.parametrize("planner", [pop_a1.pop_a1, pop_a2.pop_a2])
def test_returns_of_no_noise_are_those_of_the_policy(planner):
    plan = walk(planner, amount=5, topk=5, iterations=1, initial_sigma=1e-6)
    left = GOALS * 0.5 ** np.arange(1, 4)
    expected = -(left**2) @ 0.99 ** np.arange(3)
    assert plan.returns[0].numpy() == pytest.approx(
        np.tile(expected[:, None], 5), rel=1e-3
    )
    assert plan.action.numpy() == pytest.approx(POLICYS, abs=1e-4)


def test_only_in_closed_loop_the_policy_sees_where_noise_leads():
    """Noise of the first step is made up for by the policy, and noise of all is not."""
    amount = 4000
    settings = {"amount": amount, "topk": amount, "iterations": 1, "initial_sigma": 0.2}
    closed, opened = (
        walk(planner, horizon=12, **settings).returns[0].numpy().mean(-1)
        for planner in (pop_a2.pop_a2, pop_a1.pop_a1)
    )
    steps = np.arange(1, 13)
    variances = {
        "closed": 0.04 * (1 - 0.25**steps) / (1 - 0.25),
        "open": 0.04 * steps,
    }
    left = GOALS * 0.5**steps
    expected = {
        key: -(left**2 + variance) @ 0.99 ** (steps - 1)
        for key, variance in variances.items()
    }
    assert closed == pytest.approx(expected["closed"], rel=0.05)
    assert opened == pytest.approx(expected["open"], rel=0.05)


@pytest.mark.parametrize(
    "planner", [pop_a1.pop_a1, pop_a2.pop_a2, pop_p.pop_p, pop_p.pop_p_mppi]
)
def test_improves_on_a_network(planner):
    network = toys.SmallPolicy(2)
    before = toys.plan_for(policy.policy_alone, TARGETS, policy=network).action
    plan = toys.plan_for(planner, TARGETS, amount=500, policy=network)
    best = np.clip(TARGETS, -1, 1)
    errors = [np.abs(x - best).mean() for x in (before.numpy(), plan.action.numpy())]
    assert errors[1] < 0.7 * errors[0]
    assert np.abs(plan.action).max() <= 1.0


@pytest.mark.parametrize("planner", [pop_p.pop_p, pop_p.pop_p_mppi])
def test_noise_has_the_size_of_the_hidden_layer(planner):
    network = toys.SmallPolicy(2, units=7)
    plan = toys.plan_for(planner, TARGETS, amount=100, policy=network)
    assert plan.belief.shape == (3, 5, 7)
    assert planner.blank(3, 5, 2, policy=network).shape == (3, 5, 7)
    settings = {"iterations": 0, "warm_start": plan.belief, "policy": network}
    again = toys.plan_for(planner, TARGETS, **settings)
    assert again.action.numpy() == pytest.approx(plan.action.numpy(), abs=1e-6)


@pytest.mark.parametrize("planner", [pop_a1.discrete_pop_a1, pop_a2.discrete_pop_a2])
def test_a_good_policy_makes_choices_easy(planner):
    """So many steps that chance finds few of the best choices by itself."""
    wanted = np.random.default_rng(0).integers(0, 5, (2, 13))
    few = {"amount": 20, "topk": 5, "iterations": 1}
    # The policy needs to know what is wanted after the last step too.
    plans = [
        toys.choose_for(planner, wanted, 5, **few, policy=guide)
        for guide in (toys.Oracle(), toys.ZeroPolicy(5))
    ]
    returns = [plan.returns.numpy().mean() for plan in plans]
    assert returns[0] > 1.5 * returns[1]


def test_a_policy_that_is_sure_of_bad_choices_is_overruled():
    wanted = np.random.default_rng(0).integers(1, 5, (10, 3))
    plan = toys.choose_for(pop_a2.discrete_pop_a2, wanted, 5, policy=toys.Stubborn())
    assert (plan.action.numpy().argmax(-1) == wanted[:, 0]).all()


def test_policy_alone():
    network = toys.SmallPolicy(2)
    plan = toys.plan_for(policy.policy_alone, TARGETS, 6, policy=network)
    action = network.act({"target": tf.constant(TARGETS)}).numpy()
    assert plan.action.numpy() == pytest.approx(action)
    assert plan.returns.numpy().size == 0
    assert plan.belief.shape == (3, 6, 2)


def test_discrete_policy_alone():
    wanted = np.random.default_rng(0).integers(0, 5, (2, 6))
    plan = toys.choose_for(policy.policy_alone, wanted, 5, policy=toys.Oracle())
    assert plan.action.numpy().tolist() == np.eye(5)[wanted[:, 0]].tolist()
