"""Planners: searches for the actions with the highest imagined return."""

from planet.control.planning.beliefs import SMOOTHING, Categorical, Gaussian
from planet.control.planning.cem import (
    cross_entropy_method,
    discrete_cross_entropy_method,
)
from planet.control.planning.icem import discrete_icem, icem
from planet.control.planning.loop import (
    Plan,
    discounted_return,
    elites,
    imagine,
    remembers,
    search,
    shift,
)
from planet.control.planning.mppi import discrete_mppi, mppi
from planet.control.planning.policy import policy_alone
from planet.control.planning.pop_a1 import discrete_pop_a1, pop_a1
from planet.control.planning.pop_a2 import discrete_pop_a2, pop_a2
from planet.control.planning.pop_p import pop_p, pop_p_mppi

__all__ = [
    "SMOOTHING",
    "Categorical",
    "Gaussian",
    "Plan",
    "cross_entropy_method",
    "discounted_return",
    "discrete_cross_entropy_method",
    "discrete_icem",
    "discrete_mppi",
    "discrete_pop_a1",
    "discrete_pop_a2",
    "elites",
    "icem",
    "imagine",
    "mppi",
    "policy_alone",
    "pop_a1",
    "pop_a2",
    "pop_p",
    "pop_p_mppi",
    "remembers",
    "search",
    "shift",
]
