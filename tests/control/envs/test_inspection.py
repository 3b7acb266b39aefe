import functools
import re

import gymnasium
import numpy as np
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
    assert found.max_steps == 108_000


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


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (user_envs.not_paid, "reward is None, not a finite number"),
        (user_envs.nowhere, "observation[0] is nan, not a finite number"),
        (user_envs.far_away, "observation[0] is 30.000, not between -10.0 and 10.0"),
        (
            user_envs.in_integers,
            "observation is int64 [1], not float64 [1] as its space says",
        ),
        (
            user_envs.in_two_dimensions,
            "observation is float64 [2], not float64 [1] as its space says",
        ),
        (
            user_envs.as_of_old,
            "step() returned a tuple of 4, not (observation, reward, terminated, "
            "truncated, info)",
        ),
        (user_envs.half_ended, "terminated is None, not True or False"),
        (user_envs.without_information, "info is None, not a dict"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_broken_promises_are_named_in_one_line(broken, message, capfd):
    with pytest.raises(UnusableEnvError) as caught:
        inspection.describe(functools.partial(user_envs.Faithless, broken))
    assert re.sub(r"is \d\d\.\d+", "is 30.000", str(caught.value)) == message
    assert capfd.readouterr().err == ""


def test_other_widths_and_rounding_are_no_broken_promises():
    make = functools.partial(user_envs.Faithless, user_envs.as_good_as_promised)
    assert inspection.describe(make).observation_space.dtype == np.float64


def test_exceptions_of_steps_are_found(capfd):
    with pytest.raises(UnusableEnvError, match="ValueError: broken step"):
        inspection.describe(
            functools.partial(user_envs.Faithless, user_envs.raise_error)
        )
    assert capfd.readouterr().err.startswith("Traceback")
