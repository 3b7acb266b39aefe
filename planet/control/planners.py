"""Planners by name; those of one name are for continuous and for discrete actions.

A planner is a function with the signature of `planning.cross_entropy_method`. It is
named here as `module:function`, so that settings can be checked without TensorFlow.
"""

from typing import NamedTuple


class Twins(NamedTuple):
    """A planner for each kind of action, `module:function`."""

    continuous: str
    discrete: str


PLANNERS = {
    "cem": Twins(
        continuous="planet.control.planning:cross_entropy_method",
        discrete="planet.control.planning:discrete_cross_entropy_method",
    ),
}
# What each decision hands to a planner.
GIVEN = ("cell", "objective_fn", "state", "action_shape", "horizon", "warm_start")
# Settings whose names differ from those of the arguments that they set.
SETTINGS = {
    "amount": "cem_amount",
    "topk": "cem_topk",
    "iterations": "cem_iterations",
    "select": "discrete_select",
}


def find(name: str, discrete: bool) -> str:
    """The function `module:name` of a planner of that name.

    Args:
      name: one of `PLANNERS`, or `package.module:function` of one's own.
      discrete: whether actions are one-hot.
    """
    if name not in PLANNERS:
        return name
    return PLANNERS[name].discrete if discrete else PLANNERS[name].continuous
