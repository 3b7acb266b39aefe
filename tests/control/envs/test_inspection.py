import functools

import gymnasium
import pytest
from gymnasium.wrappers import TimeLimit

from planet.control.envs import adapters, inspection
from planet.control.errors import UnusableEnvError
from tests.control import user_envs


def test_spaces_and_the_tightest_limit_are_found():
    found = inspection.describe(user_envs.limited)
    env = user_envs.limited()
    assert found.observation_space == env.observation_space
    assert found.action_space == env.action_space
    assert found.max_steps == 20
    assert not found.uses_opengl
    assert found.extra is None


def twice_limited():
    return TimeLimit(user_envs.limited(), 30)


def pendulum():
    return gymnasium.make("Pendulum-v1", render_mode="rgb_array")


def test_limits_of_several_wrappers():
    assert inspection.describe(twice_limited).max_steps == 20


def test_extra_in_use_is_found():
    found = inspection.describe(functools.partial(adapters.atari, "Pong", 4))
    assert found.extra == "atari"
    assert found.max_steps is None


@pytest.mark.parametrize(
    ("size", "expected"), [((64, 64), True), (None, False)], ids=["image", "state"]
)
def test_use_of_opengl_is_found(size, expected):
    make = functools.partial(adapters.dm_control, "point_mass_easy", size)
    found = inspection.describe(functools.partial(rendering, make))
    assert found.uses_opengl == expected


def rendering(make):
    env = make()
    env.reset()
    if env.render_mode:
        env.render()
    return env


@pytest.mark.parametrize("env_ctor", [user_envs.raising, user_envs.raising_on_reset])
def test_exceptions_come_with_a_traceback_from_the_process(env_ctor, capfd):
    with pytest.raises(UnusableEnvError) as caught:
        inspection.describe(env_ctor)
    assert str(caught.value) == "ZeroDivisionError: broken constructor"
    errors = capfd.readouterr().err
    assert errors.startswith("Traceback")
    assert "in raising\n" in errors


def test_death_of_the_process_is_an_error():
    with pytest.raises(UnusableEnvError, match="its process ended by itself"):
        inspection.describe(user_envs.dying)


def test_expected_errors_come_without_a_traceback(capfd):
    with pytest.raises(UnusableEnvError, match="unknown game 'Pongg'; did you mean"):
        inspection.describe(functools.partial(adapters.atari, "Pongg", 4))
    assert capfd.readouterr().err == ""
