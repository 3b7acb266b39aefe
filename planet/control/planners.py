"""Planners by name, with functions for continuous and for discrete actions.

A planner is a function with the signature of `planning.cross_entropy_method`, or that
of `real_planning.cross_entropy_method` for the real one. It is named here as
`module:function`, so that checking settings imports no TensorFlow.
"""

from typing import NamedTuple


class Planner(NamedTuple):
    """A planner for each kind of action, `module:function`.

    Attributes:
      continuous: the function for actions that are vectors.
      discrete: the function for one-hot actions; None where there is none.
      guided: whether it needs a learned policy.
    """

    continuous: str
    discrete: str | None = None
    guided: bool = False


PLANNERS = {
    "cem": Planner(
        "planet.control.planning.cem:cross_entropy_method",
        "planet.control.planning.cem:discrete_cross_entropy_method",
    ),
    "icem": Planner(
        "planet.control.planning.icem:icem",
        "planet.control.planning.icem:discrete_icem",
    ),
    "mppi": Planner(
        "planet.control.planning.mppi:mppi",
        "planet.control.planning.mppi:discrete_mppi",
    ),
    "pop_a1": Planner(
        "planet.control.planning.pop_a1:pop_a1",
        "planet.control.planning.pop_a1:discrete_pop_a1",
        guided=True,
    ),
    "pop_a2": Planner(
        "planet.control.planning.pop_a2:pop_a2",
        "planet.control.planning.pop_a2:discrete_pop_a2",
        guided=True,
    ),
    "pop_p": Planner("planet.control.planning.pop_p:pop_p", guided=True),
    "pop_p_mppi": Planner("planet.control.planning.pop_p:pop_p_mppi", guided=True),
    "policy": Planner(
        "planet.control.planning.policy:policy_alone",
        "planet.control.planning.policy:policy_alone",
        guided=True,
    ),
    "real": Planner(
        "planet.control.real_planning:cross_entropy_method",
        "planet.control.real_planning:discrete_cross_entropy_method",
    ),
}
# Arguments that a planner receives with each decision.
GIVEN = ("cell", "objective_fn", "state", "action_shape", "horizon", "warm_start")
# The argument that makes a planner one that needs a policy, unless it has a default.
POLICY = "policy"
# Arguments of planners, and the settings of other names that they receive.
SETTINGS = {
    "amount": "cem_amount",
    "topk": "cem_topk",
    "iterations": "cem_iterations",
    "select": "discrete_select",
    "smoothing": "discrete_smoothing",
}


def find(name: str, discrete: bool) -> str | None:
    """The function of a planner, as `module:function`; None if there is none.

    Args:
      name: one of `PLANNERS`, or `package.module:function` of the user's own.
      discrete: whether actions are one-hot.
    """
    if name not in PLANNERS:
        return name
    return PLANNERS[name].discrete if discrete else PLANNERS[name].continuous
