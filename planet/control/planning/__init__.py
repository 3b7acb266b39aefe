"""Planners: searches for the actions with the highest imagined return.

The loop that they share is in `loop`; then there is a page for each of them.
"""

from planet.control.planning.beliefs import Categorical, Gaussian
from planet.control.planning.cem import (
    cross_entropy_method,
    discrete_cross_entropy_method,
)
from planet.control.planning.loop import (
    Plan,
    discounted_return,
    elites,
    imagine,
    remembers,
    search,
    shift,
)

__all__ = [
    "Categorical",
    "Gaussian",
    "Plan",
    "cross_entropy_method",
    "discounted_return",
    "discrete_cross_entropy_method",
    "elites",
    "imagine",
    "remembers",
    "search",
    "shift",
]
