"""Every planner that searches finds the best actions where they are known."""

import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from planet.control import planners
from planet.tools import extensions
from tests.control.planning import toys

# What each search takes to be exact for up to 72 numbers, and within seconds.
MPPI = {"iterations": 80, "mppi_gamma": 8.0, "initial_sigma": 0.1}
SEARCHES = {
    "cem": {"iterations": 20},
    "icem": {"iterations": 40, "topk": 50, "icem_beta": 0.5, "icem_decay": 1.1},
    "mppi": MPPI,
    "pop_a1": {"iterations": 20},
    "pop_a2": {"iterations": 20},
    "pop_p": {"iterations": 20, "initial_sigma": 0.5},
    "pop_p_mppi": MPPI,
}
DISCRETE = {
    "cem": {},
    "icem": {},
    "mppi": {"iterations": 20},
    "pop_a1": {},
    "pop_a2": {},
}


def test_no_search_is_left_out():
    others = {"policy", "real"}  # No search, and one that no model takes part in.
    assert {*SEARCHES, *others} == planners.PLANNERS.keys()
    able = {name for name, planner in planners.PLANNERS.items() if planner.discrete}
    assert {*DISCRETE, *others} == able


SEEDS = st.integers(0, 2**31 - 1)
PROPERTY = settings(max_examples=2, deadline=None, phases=[Phase.generate])


def mostly_slow(sizes):
    """Horizons and sizes of actions, of which only the largest of both is quick."""
    cases = list(itertools.product((1, 5, 12), sizes))
    slow = [pytest.param(*case, marks=pytest.mark.slow) for case in cases[:-1]]
    return [*slow, cases[-1]]


@functools.cache
def compiled(name, discrete, size, horizon, **arguments):
    """The search of some toys, as a function of what is wanted and of a seed."""
    if planners.PLANNERS[name].guided:
        arguments["policy"] = toys.ZeroPolicy(size)
    search = extensions.load(planners.find(name, discrete))
    if discrete:
        return tf.function(
            lambda wanted, seed: toys.choose_for(
                search, wanted, size, seed, **arguments
            )
        )
    return tf.function(
        lambda targets, seed: toys.plan_for(search, targets, horizon, seed, **arguments)
    )


@pytest.mark.parametrize(("horizon", "size"), mostly_slow((1, 6)))
@pytest.mark.parametrize("name", SEARCHES)
@PROPERTY
@given(seed=SEEDS)
def test_optimum_of_a_quadratic(name, horizon, size, seed):
    targets = np.random.default_rng(seed).uniform(-0.6, 0.6, (3, size))
    search = compiled(name, False, size, horizon, **SEARCHES[name])
    plan = search(tf.constant(targets, tf.float32), tf.constant([seed, 1]))
    assert plan.action.numpy() == pytest.approx(targets, abs=0.05)
    assert plan.belief.shape == (3, horizon, size)
    assert plan.returns.shape == (SEARCHES[name]["iterations"], 3, 1000)


@pytest.mark.parametrize(("horizon", "size"), mostly_slow((2, 5)))
@pytest.mark.parametrize("name", DISCRETE)
@PROPERTY
@given(seed=SEEDS)
def test_best_choice(name, horizon, size, seed):
    wanted = np.random.default_rng(seed).integers(0, size, (3, horizon))
    search = compiled(name, True, size, horizon, **DISCRETE[name])
    plan = search(tf.constant(wanted), tf.constant([seed, 1]))
    assert plan.action.numpy().tolist() == np.eye(size)[wanted[:, 0]].tolist()
    assert plan.belief.shape == (3, horizon, size)


@pytest.mark.parametrize("name", SEARCHES)
def test_many_environments_are_planned_for_at_once(name):
    targets = np.random.default_rng(0).uniform(-0.6, 0.6, (20, 1))
    search = compiled(name, False, 1, 3, **SEARCHES[name])
    plan = search(tf.constant(targets, tf.float32), tf.constant([0, 1]))
    assert plan.action.numpy() == pytest.approx(targets, abs=0.05)
