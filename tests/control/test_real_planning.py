import inspect

import numpy as np
import pytest
import tensorflow as tf

from planet.control import planning, real_planning
from planet.tools import noise


def closeness(targets):
    """Rewards [B, N, H]: 0 for the target of an environment, less for others."""
    return lambda actions: -((actions - targets[:, None, None]) ** 2).sum(-1)


def plan_for(targets, horizon=5, **settings):
    targets = np.array(targets)
    start = np.zeros([len(targets), horizon, targets.shape[1]], np.float32)
    random = np.random.default_rng(0)
    return real_planning.cross_entropy_method(
        closeness(targets), start, random, **settings
    )


def test_begins_with_the_initial_deviation():
    plan = plan_for([[0.0]], 1, amount=5000, iterations=1, initial_sigma=0.1)
    assert -plan.returns.mean() == pytest.approx(0.01, rel=0.1)


@pytest.mark.parametrize("size", [1, 6])
@pytest.mark.parametrize("horizon", [1, 5, 12])
def test_finds_the_optimum_of_each_environment(horizon, size):
    targets = np.linspace([-0.8, -0.1, 0.7], [0.7, 0.9, -0.6], size, axis=-1)
    plan = plan_for(targets, horizon, iterations=20)
    assert plan.belief.shape == (3, horizon, size)
    assert plan.action == pytest.approx(targets, abs=0.05)
    assert plan.belief[:, -1] == pytest.approx(targets, abs=0.05)
    assert plan.returns.shape == (20, 3, 1000)
    assert (plan.returns[-1].mean(-1) > plan.returns[0].mean(-1)).all()


class Drawn:
    """Stands for a random generator, with the numbers that TensorFlow draws."""

    def __init__(self, seed):
        with noise.stream(seed):
            self._seed = noise.seed()
        self._iteration = 0

    def _stream(self):
        self._iteration += 1
        return noise.stream(tf.random.fold_in(self._seed, self._iteration - 1))

    def standard_normal(self, shape, dtype):
        with self._stream():
            return noise.normal(shape, dtype).numpy()


class Still:
    """A cell whose state is the last action."""

    def transition(self, prev_state, prev_action):
        return {"target": prev_state["target"], "action": prev_action}


@pytest.mark.parametrize("warm", [False, True])
def test_is_the_agents_own_method(warm):
    """With the same random numbers, both planners find the same plan."""
    targets = np.array([[0.3, -0.9], [1.4, 0.2]], np.float32)
    start = np.full([2, 4, 2], 0.4 * warm, np.float32)
    settings = {"amount": 60, "topk": 7, "iterations": 4, "discount": 0.9}
    ours = real_planning.cross_entropy_method(
        closeness(targets), start, Drawn((3, 4)), **settings
    )
    with noise.stream((3, 4)):
        theirs = planning.cross_entropy_method(
            Still(),
            lambda state: -tf.reduce_sum((state["action"] - state["target"]) ** 2, -1),
            {"target": tf.constant(targets), "action": tf.zeros([2, 2])},
            (2,),
            4,
            warm_start=tf.constant(start) if warm else None,
            **settings,
        )
    for part in ours._fields:
        mine, other = getattr(ours, part), getattr(theirs, part)
        np.testing.assert_allclose(mine, other, atol=1e-5)


def taste(likings):
    """Rewards [B, N, H]: how much an environment likes each action, [B, A]."""
    return lambda actions: np.einsum("bnha,ba->bnh", actions, likings)


def choose(likings, start=None, horizon=3, **settings):
    likings = np.array(likings)
    if start is None:
        start = np.zeros([len(likings), horizon, likings.shape[1]], np.float32)
    random = np.random.default_rng(0)
    return real_planning.discrete_cross_entropy_method(
        taste(likings), start, random, **settings
    )


@pytest.mark.parametrize("select", ["mode", "best", "sample"])
def test_finds_the_best_choice_of_each_environment(select):
    likings = [[0.0, 2.0, 1.0, 0.0], [0.5, 0.0, 0.0, 0.6]]
    plan = choose(likings, amount=100, topk=10, iterations=5, select=select)
    assert plan.action.tolist() == [[0, 1, 0, 0], [0, 0, 0, 1]]
    assert plan.action.dtype == np.float32
    assert plan.belief.argmax(-1).tolist() == [[1, 1, 1], [3, 3, 3]]
    assert plan.belief.sum(-1) == pytest.approx(1)


def test_choices_start_out_even_and_are_refit_to_the_elites():
    seen = []

    def rewards(actions):
        seen.append(actions)
        return actions[..., 0]

    start = np.zeros([1, 1, 4], np.float32)
    random = np.random.default_rng(0)
    plan = real_planning.discrete_cross_entropy_method(
        rewards, start, random, amount=4000, topk=2000, iterations=1
    )
    shares = seen[0][0, :, 0].mean(0)
    assert shares == pytest.approx(0.25, abs=0.03)
    best = np.argsort(-seen[0][0, :, 0, 0], stable=True)[:2000]
    expected = (1 - 1e-6) * seen[0][0, best, 0].mean(0) + 1e-6 / 4
    assert plan.belief[0, 0] == pytest.approx(expected, abs=1e-6)


def test_a_warm_start_keeps_every_choice_in_reach():
    start = np.array([[[1.0, 0.0]] * 3], np.float32)
    plan = choose([[0.0, 1.0]], start, amount=200, topk=10, iterations=4)
    assert plan.action.tolist() == [[0, 1]]
    plan = choose([[0.0, 1.0]], start, iterations=0)
    assert plan.action.tolist() == [[1, 0]]
    assert plan.belief[0] == pytest.approx(np.array([[0.9, 0.1]] * 3))


def test_a_step_later():
    belief = np.arange(6.0).reshape(1, 3, 2)
    assert real_planning.shift(belief).tolist() == [[[2, 3], [4, 5], [0, 0]]]


def test_smoothing_is_that_of_imagined_planning():
    defaults = [
        inspect.signature(x.discrete_cross_entropy_method).parameters["smoothing"]
        for x in (planning, real_planning)
    ]
    assert defaults[0].default == defaults[1].default == 0.2


@pytest.mark.parametrize(("smoothing", "chances"), [(0.0, [1, 0]), (0.4, [0.8, 0.2])])
def test_a_share_of_the_start_is_spread_evenly(smoothing, chances):
    start = np.array([[[1.0, 0.0]] * 3], np.float32)
    plan = choose([[0.0, 1.0]], start, iterations=0, smoothing=smoothing)
    assert plan.belief[0] == pytest.approx(np.array([chances] * 3))


def test_samples_have_the_chances_of_the_belief():
    settings = {"amount": 10, "topk": 10, "iterations": 1, "select": "sample"}
    plan = choose([[0.0, 1.0, 2.0]] * 2000, **settings)
    chances = plan.belief[:, 0]
    expected = (chances**2).sum(-1).mean()
    assert (plan.action * chances).sum(-1).mean() == pytest.approx(expected, abs=0.01)
    assert (plan.action.argmax(-1) != chances.argmax(-1)).mean() > 0.3
