"""Planners by name, one for continuous and one for discrete actions each.

A planner is a function with the signature of `planning.cross_entropy_method`, or that
of `real_planning.cross_entropy_method` for the real one. It is named here as
`module:function`, so that checking settings imports no TensorFlow.
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
    "real": Twins(
        continuous="planet.control.real_planning:cross_entropy_method",
        discrete="planet.control.real_planning:discrete_cross_entropy_method",
    ),
}
# Arguments that a planner receives with each decision.
GIVEN = ("cell", "objective_fn", "state", "action_shape", "horizon", "warm_start")
# Arguments of planners, and the settings of other names that they receive.
SETTINGS = {
    "amount": "cem_amount",
    "topk": "cem_topk",
    "iterations": "cem_iterations",
    "select": "discrete_select",
}


def find(name: str, discrete: bool) -> str:
    """The function of a planner, as `module:function`.

    Args:
      name: one of `PLANNERS`, or `package.module:function` of the user's own.
      discrete: whether actions are one-hot.
    """
    if name not in PLANNERS:
        return name
    return PLANNERS[name].discrete if discrete else PLANNERS[name].continuous
