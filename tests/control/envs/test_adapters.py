"""Environments of other libraries, made in a process that may render."""

import functools
import importlib

import numpy as np
import pytest

from planet.control import batch_env
from planet.control.envs import adapters
from planet.control.errors import UnusableEnvError

SIZE = (64, 64)


def test_control_suite_without_rendering_is_safe_beside_tensorflow(run_python):
    program = """
import tensorflow
from planet.control.envs import adapters, opengl
env = adapters.dm_control("ball_in_cup_catch", None)
env.reset(seed=0)
env.step(env.action_space.sample())
print(opengl.is_loaded())
"""
    result = run_python("-c", program)
    assert result.stdout == "False\n", result.stderr
    assert "unmaintained" not in result.stderr


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            functools.partial(adapters.dm_control, "walker_rn", None),
            "unknown task of the control suite 'walker_rn'; did you mean 'walker_run'",
        ),
        (
            functools.partial(adapters.gym, "Pendulm-v1", None),
            "unknown id of gymnasium 'Pendulm-v1'; did you mean 'Pendulum-v1'",
        ),
        (
            functools.partial(adapters.gym, "HalfCheetah-v2", None),
            "have been moved to the gymnasium-robotics project",
        ),
        (
            functools.partial(adapters.atari, "Breackout", 4),
            "unknown game 'Breackout'; did you mean 'Breakout'",
        ),
        (
            functools.partial(adapters.old_gym, "CardPole-v1", None),
            "unknown id of gym 'CardPole-v1'; did you mean 'CartPole-v1'",
        ),
        (
            functools.partial(adapters.constructed, "tests.control.user_envs:drown"),
            "unknown function of tests.control.user_envs 'drown'; did you mean 'drawn'",
        ),
        (
            functools.partial(adapters.constructed, "tests.control.nope:drawn"),
            "there is no module 'tests.control.nope'",
        ),
        (
            functools.partial(
                adapters.constructed, "tests.control.user_envs:something_else"
            ),
            "it is not a gymnasium.Env, but str",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:.*out of date")
def test_unknown_names(make, message):
    with pytest.raises(UnusableEnvError) as caught:
        make()
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_registered_environment_renders_in_its_own_size():
    env = adapters.gym("Pendulum-v1", SIZE)
    env.reset(seed=0)
    assert env.render().shape == (500, 500, 3)
    assert adapters.gym("Pendulum-v1", None).render_mode is None


def test_module_in_front_of_an_id_is_imported():
    env = adapters.gym("gymnasium.envs.classic_control:Pendulum-v1", None)
    assert env.spec.id == "Pendulum-v1"


def mujoco_frame():
    env = adapters.gym("HalfCheetah-v5", SIZE)
    env.reset(seed=0)
    return env


def test_mujoco_environment_renders_small_images_and_leaves_no_files(
    tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    env = batch_env.make(mujoco_frame, "process")
    env.reset()
    image = env._call("render")()
    env.close()
    assert image.shape == (64, 64, 3)
    assert image.std() > 5
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def frames_after(frameskip, sticky):
    env = adapters.atari("Breakout", frameskip, sticky)
    env.reset(seed=0)
    for _ in range(5):
        *_, info = env.step(0)
    return env, info["episode_frame_number"]


@pytest.mark.parametrize("frameskip", [3, 4])
def test_emulator_skips_frames(frameskip, capfd):
    env, frames = frames_after(frameskip, sticky=0.0)
    assert frames == 5 * frameskip
    assert env.observation_space.shape == (210, 160, 3)
    assert env.action_space.n == 4
    assert capfd.readouterr() == ("", "")


def paddles(sticky, seed):
    env = adapters.atari("Breakout", 4, sticky)
    env.reset(seed=seed)
    observations = [env.step(action)[0] for action in (2, 3, 2, 3, 3, 2)]
    return np.stack(observations)


def test_sticky_actions_depend_on_the_seed_and_others_do_not():
    np.testing.assert_array_equal(paddles(0.0, 0), paddles(0.0, 1))
    assert any((paddles(0.25, 0) != paddles(0.25, seed)).any() for seed in range(1, 6))


def test_predecessor_of_gymnasium_plays_and_draws(capfd):
    env = adapters.old_gym("CartPole-v1", SIZE)
    predecessor = importlib.import_module("gym")
    assert isinstance(env.unwrapped.gym_env.unwrapped, predecessor.Env)
    observation, _ = env.reset(seed=0)
    again, _ = env.reset(seed=0)
    np.testing.assert_array_equal(observation, again)
    steps = 0
    ends = (False, False)
    while not any(ends):
        observation, reward, *ends, _ = env.step(steps % 2)
        assert reward == 1
        steps += 1
    assert 10 < steps < 200
    assert env.render().shape == (400, 600, 3)
    assert env.get_wrapper_attr("_max_episode_steps") == 500
    assert "unmaintained" not in capfd.readouterr().err


USERS = "tests.control.user_envs"


@pytest.mark.parametrize(
    ("adapter", "name", "word", "reason"),
    [
        (
            "dm_control",
            "walker_run",
            "time_limt",
            " of walker_run 'time_limt'; did you ",
        ),
        ("gym", "Pendulum-v1", "gg", " of Pendulum-v1 'gg'; did you mean 'g'?"),
        ("gym", "HalfCheetah-v5", "frame_skp", " 'frame_skp'"),
        ("gym", "Pendulum-v1", "render_mode", " of Pendulum-v1 'render_mode'; known: "),
        ("atari", "Pong", "frameskip", " of Pong 'frameskip'; did you mean '"),
        ("old_gym", "CartPole-v1", "mass", " of CartPole-v1 'mass'; there is none"),
        ("constructed", f"{USERS}:drawn", "steps", " of drawn 'steps'; there is none"),
        ("constructed", f"{USERS}:camera", "sise", " 'sise'"),
    ],
)
def test_unknown_parameters(adapter, name, word, reason):
    sizes = {"atari": [4], "constructed": []}.get(adapter, [None])
    with pytest.raises(UnusableEnvError) as caught:
        getattr(adapters, adapter)(name, *sizes, params={word: 1})
    assert str(caught.value).startswith(f"unknown parameter{reason}")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "path", ["numpy:load", "tests.control.user_envs:limited", "numpy:ndarray"]
)
def test_parameters_are_only_for_what_makes_environments(path):
    with pytest.raises(UnusableEnvError) as caught:
        adapters.constructed(path, {"file": "x", "allow_pickle": True})
    name = path.partition(":")[2]
    assert str(caught.value) == (
        "env_params are only passed to a class of environments, or to a function that "
        f"is declared to return one, `def {name}(...) -> gymnasium.Env`"
    )


def test_parameters_reach_the_constructor():
    env = adapters.gym("Pendulum-v1", None, {"g": 3.0, "max_episode_steps": 7})
    assert env.unwrapped.g == 3
    assert env.get_wrapper_attr("_max_episode_steps") == 7
    env = adapters.dm_control("walker_run", None, {"time_limit": 2})
    assert env.unwrapped._env._step_limit == 80
    env = adapters.atari("Pong", 4, params={"repeat_action_probability": 0.5})
    assert env.unwrapped.ale.getFloat("repeat_action_probability") == 0.5
    for name in ("camera", "Camera"):
        assert adapters.constructed(f"{USERS}:{name}", {"size": 9})._size == 9


def test_environment_has_the_docstring_of_its_function():
    env = adapters.constructed(f"{USERS}:camera")
    assert env.unwrapped.__doc__ == "Walks before a camera, with parameters of its own."
