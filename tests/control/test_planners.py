import inspect

import pytest

from planet.control import planners
from planet.scripts import configs
from planet.tools import extensions


@pytest.mark.parametrize("name", sorted(planners.PLANNERS.keys() - {"real"}))
@pytest.mark.parametrize("discrete", [False, True])
def test_planners_take_what_a_decision_gives_them(name, discrete):
    found = planners.find(name, discrete)
    if found is None:
        assert (name, discrete) in {("pop_p", True), ("pop_p_mppi", True)}
        return
    function = extensions.load(found)
    assert extensions.missing_arguments(function, planners.GIVEN) == []
    known = {*planners.GIVEN, *planners.SETTINGS, *configs.PARAMETERS}
    known |= {"policy"} if planners.PLANNERS[name].guided else set()
    extensions.check_arguments(function, known)
    # Otherwise they would not be settings, but something that nobody can change.
    own = inspect.signature(function).parameters.keys() - {"action_bounds", "policy"}
    assert own <= known


def test_discrete_actions_have_a_planner_of_their_own():
    continuous, discrete = planners.find("cem", False), planners.find("cem", True)
    assert continuous.endswith(":cross_entropy_method")
    assert discrete.endswith(":discrete_cross_entropy_method")
    taken = inspect.signature(extensions.load(discrete)).parameters
    assert planners.SETTINGS.keys() <= taken.keys()


def test_a_planner_of_the_users_own_goes_by_its_own_name():
    for discrete in (False, True):
        assert planners.find("my_ideas.shooting:random", discrete) == (
            "my_ideas.shooting:random"
        )


def test_settings_of_planners_are_settings():
    assert set(planners.SETTINGS.values()) <= configs.PARAMETERS.keys()
