import numpy as np
import pytest
import tensorflow as tf

from planet.control import planning
from planet.control.planning import icem
from planet.tools import noise
from tests.control.planning import toys

TARGETS = [[0.5, -0.3], [-0.5, 0.1]]


def test_candidates_become_fewer_but_not_fewer_than_twice_the_elites():
    assert icem.sizes(1000, 100, 5, 1.25) == [1000, 800, 640, 512, 409]
    assert icem.sizes(100, 20, 6, 2.0) == [100, 50, 40, 40, 40, 40]
    assert icem.sizes(30, 20, 3, 2.0) == [30, 30, 30]
    assert icem.sizes(50, 10, 3, 1.0) == [50, 50, 50]


def test_returns_are_those_of_the_candidates_there_were():
    settings = {"amount": 100, "topk": 20, "iterations": 4, "icem_decay": 2.0}
    plan = toys.plan_for(icem.icem, TARGETS, **settings)
    there = np.isfinite(plan.returns.numpy())
    assert there.sum(-1).tolist() == [[100] * 2, [50] * 2, [40] * 2, [40] * 2]
    assert np.all(plan.returns.numpy()[~there] == -np.inf)


def test_executes_the_best_candidate():
    """Its return is that of the whole sequence that is kept first."""
    plan = toys.plan_for(icem.icem, TARGETS, amount=60, topk=10, iterations=3)
    best = plan.memory["elites"][:, 0]
    assert np.array_equal(plan.action, best[:, 0])
    rewards = -np.sum((best - np.array(TARGETS)[:, None]) ** 2, -1)
    returns = rewards @ 0.99 ** np.arange(5)
    assert returns == pytest.approx(plan.returns[-1].numpy().max(-1), abs=1e-5)


def test_elites_are_kept_from_one_iteration_to_the_next():
    """The best return can't fall, as the reward has no noise."""
    settings = {"amount": 20, "topk": 10, "iterations": 10, "icem_momentum": 0.9}
    plan = toys.plan_for(icem.icem, TARGETS, **settings)
    best = plan.returns.numpy().max(-1)
    assert np.all(np.diff(best, axis=0) >= -1e-6)


@pytest.mark.parametrize(("keep", "amount"), [(0.3, 3), (1.0, 10), (0.01, 1)])
def test_share_of_the_elites_that_is_kept(keep, amount):
    settings = {"amount": 30, "topk": 10, "iterations": 1, "icem_keep": keep}
    plan = toys.plan_for(icem.icem, TARGETS, **settings)
    assert plan.memory["elites"].shape == (2, amount, 5, 2)
    blank = icem.icem.blank(2, 5, 2, topk=10, icem_keep=keep)
    assert blank["elites"].shape == plan.memory["elites"].shape
    assert blank["center"].shape == plan.memory["center"].shape


def test_elites_of_the_last_decision_are_tried_again_a_step_later():
    """A good last plan is found again by a search that could not find it by itself."""
    elites = np.tile(np.array(TARGETS, np.float32)[:, None, None], (1, 3, 4, 1))
    memory = {"center": tf.zeros([2, 5, 2]), "elites": np.pad(elites, PAD)}
    few = {"amount": 10, "topk": 10, "iterations": 1, "initial_sigma": 0.01}
    plan = toys.plan_for(icem.icem, TARGETS, warm_start=memory, **few)
    assert plan.action.numpy() == pytest.approx(np.array(TARGETS))
    again = plan.memory["elites"].numpy()
    assert again[:, :3, :4] == pytest.approx(elites)
    last = again[:, :3, 4]
    assert np.abs(last).max() < 0.1  # Drawn anew,
    assert np.abs(last).min() > 0  # rather than the neutral step of the shift.


PAD = ((0, 0), (0, 0), (0, 1), (0, 0))


@pytest.mark.parametrize("planner", [icem.icem, icem.discrete_icem])
def test_a_blank_memory_is_none(planner):
    memory = planner.blank(2, 5, 3, topk=10)
    settings = {"amount": 30, "topk": 10, "iterations": 2}
    plan = toys.plan_for if planner is icem.icem else toys.choose_for
    rest = {"horizon": 5} if planner is icem.icem else {"size": 3}
    wanted = [[0.1] * 3] * 2 if planner is icem.icem else [[0, 1, 2, 0, 1]] * 2
    cold = plan(planner, wanted, **rest, **settings)
    blank = plan(planner, wanted, **rest, **settings, warm_start=memory)
    assert np.array_equal(cold.action, blank.action)
    assert cold.returns.numpy() == pytest.approx(blank.returns.numpy())


def test_the_mean_is_a_candidate_of_the_last_iteration_only():
    """Where it is the optimum, and all else is far from it, it wins at the end."""
    plan = toys.plan_for(
        icem.icem,
        TARGETS,
        warm_start={
            "center": tf.tile(tf.constant(TARGETS)[:, None], [1, 5, 1]),
            "elites": tf.fill([2, 1, 5, 2], np.nan),
        },
        amount=30,
        topk=30,
        iterations=2,
        icem_momentum=1.0,
        icem_keep=0.01,
    )
    best = plan.returns.numpy().max(-1)
    assert np.all(best[0] < -0.05)
    assert best[1] == pytest.approx(0)
    assert plan.action.numpy() == pytest.approx(np.array(TARGETS))


def test_momentum_leaves_a_share_of_the_last_belief():
    settings = {"amount": 50, "topk": 5, "iterations": 1}
    free = toys.plan_for(icem.icem, TARGETS, icem_momentum=0.0, **settings)
    slow = toys.plan_for(icem.icem, TARGETS, icem_momentum=0.75, **settings)
    assert slow.belief.numpy() == pytest.approx(0.25 * free.belief.numpy(), abs=1e-6)


def test_without_iterations_the_plan_is_the_initial_mean():
    plan = toys.plan_for(icem.icem, TARGETS, iterations=0)
    assert np.all(plan.action == 0)
    assert plan.returns.shape == (0, 2, 1000)


def test_first_candidates_are_smooth():
    """Of red noise, steps in a row are alike."""
    with noise.stream((0, 1)):
        belief = planning.Gaussian.start((1, 12, 2), 1.0)
        steps = belief.draw(2000, 2.0)[0].numpy()
    products = (steps[:, 1:] * steps[:, :-1]).mean()
    assert products / (steps**2).mean() > 0.5


def test_discrete_candidates_repeat_themselves_but_each_step_has_its_chances():
    chances = np.array([0.5, 0.3, 0.2])
    logits = np.tile(np.log(chances), (1, 6, 1)).astype(np.float32)
    belief = planning.Categorical(tf.constant(logits))
    with noise.stream((0, 1)):
        white = belief.draw_coloured(20_000, 0.0).numpy()
        red = belief.draw_coloured(20_000, 2.0).numpy()
    for drawn in (white, red):
        assert drawn[0].mean(0) == pytest.approx(np.tile(chances, (6, 1)), abs=0.015)
    repeats = [np.mean(np.sum(x[0, :, 1:] * x[0, :, :-1], -1)) for x in (white, red)]
    assert repeats[0] == pytest.approx(np.sum(chances**2), abs=0.01)
    assert repeats[1] > repeats[0] + 0.1


@pytest.mark.parametrize("select", ["best", "mode", "sample"])
def test_discrete_search_in_a_graph(select):
    wanted = np.random.default_rng(0).integers(0, 4, (2, 6))
    search = tf.function(
        lambda: toys.choose_for(icem.discrete_icem, wanted, 4, select=select)
    )
    plan = search()
    assert plan.action.numpy().tolist() == np.eye(4)[wanted[:, 0]].tolist()
