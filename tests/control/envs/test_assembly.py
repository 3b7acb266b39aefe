import dataclasses
import sys

import numpy as np
import pytest

from planet.control import batch_env
from planet.control.wrappers.actions import OneHot
from planet.scripts import tasks
from tests.control.playing import load, load_one, play, spaces


def test_action_repeat_of_the_configuration_wins():
    names, repeats = ["cup_catch", "dummy"], {"cup_catch": 4}
    given = load(names, action_repeats=repeats)
    assert [task.max_length for task in given] == [250, 1000]
    given = load(names, action_repeat=50, action_repeats=repeats)
    assert [task.max_length for task in given] == [20, 20]


def test_horizon_is_the_shortest_that_is_nearly_as_good_as_any():
    task = dataclasses.replace(load_one("dummy"), seconds=0.04)
    assert (task.foresight, task.horizon) == (None, None)
    ceilings = {0.24: 200.0, 0.48: 899.0, 0.96: 901.0, 1.92: 1000.0}
    task = dataclasses.replace(task, ceilings=ceilings)
    assert (task.foresight, task.horizon) == (0.96, 24)
    assert dataclasses.replace(task, seconds=0.08).horizon == 12
    assert dataclasses.replace(task, seconds=0.05).horizon == 20
    assert dataclasses.replace(task, seconds=None).horizon is None


def test_time_of_a_decision_is_that_of_the_environment():
    measured = [name for name in tasks.names() if load_one(name).ceilings]
    assert measured
    for name in measured:
        task = load_one(name, observations="nothing")
        timestep = task.env_ctor().unwrapped.dt
        assert task.seconds == pytest.approx(timestep * task_repeat(task))
        twice = load_one(name, action_repeat=2 * task_repeat(task))
        assert twice.seconds == pytest.approx(2 * task.seconds)


def task_repeat(task):
    return tasks.TASKS[task.name]().action_repeat


def test_state_is_what_the_components_are(tmp_path, process):
    task = load_one("cartpole_balance_da", action_repeat=50)
    (shown,) = play(task, tmp_path / "image")
    state = load_one("cartpole_balance_da", action_repeat=50, observations="state")
    (episode,) = play(state, tmp_path / "state")
    assert set(episode) == {"state", "action", "reward"}
    assert episode["state"].dtype == np.float32
    expected = np.concatenate([shown["position"], shown["velocity"]], 1)
    np.testing.assert_array_equal(episode["state"], expected)
    np.testing.assert_array_equal(episode["action"], shown["action"])
    np.testing.assert_array_equal(episode["reward"], shown["reward"])


def test_several_tasks_look_alike(process):
    for task in load(["cheetah_run", "cartpole_balance", "dummy"]):
        observations, actions = process.submit(spaces, task.env_ctor).result()
        assert set(observations) == {"image"}
        assert task.state_components == ()
        assert actions.shape == (6,) == (task.action_size,)


def test_several_discrete_tasks_have_the_most_choices_of_any(process):
    for task in load(["gym_qbert", "gym_freeway", "cartpole_balance_daf"]):
        _, actions = process.submit(spaces, task.env_ctor).result()
        assert actions == OneHot(9)
        assert task.action_size == 9
        assert task.discrete


def test_several_states_are_as_wide_as_the_widest(process):
    names = ["cartpole_balance", "gym_cheetah", "dmc:point_mass_easy"]
    for task in load(names, observations="state"):
        observations, actions = process.submit(spaces, task.env_ctor).result()
        assert observations["state"].shape == (17,) == (task.state_size,)
        assert actions.shape == (6,)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["gym_qbert", "cheetah_run"],
            "the actions of gym_qbert are discrete and those of cheetah_run continuous",
        ),
        (
            ["cheetah_run", "dummy", "cartpole_swingup_da"],
            "the actions of cheetah_run are continuous and those of "
            "cartpole_swingup_da discrete",
        ),
        (
            ["gym_breakout", "gym_qbert"],
            "the images of gym_breakout are grey and those of gym_qbert in colour",
        ),
    ],
)
def test_tasks_that_do_not_fit_together_are_refused(names, message):
    with pytest.raises(tasks.TaskError, match=message):
        load(names)


@pytest.mark.parametrize("name", ["gym_racecar", "gym_breakout", "gym:CarRacing-v3"])
def test_state_of_what_shows_only_images_is_refused(name):
    with pytest.raises(tasks.TaskError, match="observations: image"):
        load([name], observations="state")


def test_episodes_shorter_than_a_chunk_are_refused():
    for name in ("cheetah_run", "gym_racecar", "gym:Pendulum-v1"):
        message = f"'{name}' have 21 steps .* fewer than the 22 of batch_shape"
        with pytest.raises(tasks.TaskError, match=message):
            load([name], action_repeat=50, batch_shape=(8, 22))
        task = load_one(name, action_repeat=50, batch_shape=(8, 21))
        assert task.max_length == 20


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [("gym_freeway", "ale_py", "atari"), ("gym_racecar", "Box2D", "box2d")],
)
def test_missing_extra_of_a_task(monkeypatch, name, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(tasks.TaskError) as caught:
        load([name])
    message = f"task '{name}' cannot be used: it needs the extra '{extra}': "
    assert str(caught.value) == f"{message}pip install 'planet[{extra}]'"


def start(task):
    """Starts an environment in a process and returns the first line of its error."""
    with batch_env.BatchEnv([batch_env.make(task.env_ctor, "process")]) as envs:
        try:
            envs.reset()
        except batch_env.EnvError as error:
            return str(error).splitlines()[0]
    return None


WALKER = {"height": 1, "orientations": 14, "velocity": 9}
WRONG_NAME = {"height": 1, "orientation": 14, "velocity": 9}
WRONG_SIZE = {"height": 2, "orientations": 14, "velocity": 9}


@pytest.mark.parametrize("names", [["walker_walk"], ["walker_walk", "cheetah_run"]])
@pytest.mark.parametrize(
    ("observations", "declared", "shown"),
    [
        ("image", WRONG_NAME, f"{WALKER}, 24 in all"),
        ("image", WRONG_SIZE, f"{WALKER}, 24 in all"),
        ("image", {}, f"{WALKER}, 24 in all"),
        ("state", WRONG_SIZE, "{'state': 24}, 24 in all"),
        ("state", WRONG_NAME, None),
        ("nothing", WRONG_SIZE, None),
    ],
)
def test_wrongly_declared_state_sizes(
    monkeypatch, names, observations, declared, shown
):
    spec = dataclasses.replace(tasks.TASKS["walker_walk"](), state_sizes=declared)
    monkeypatch.setitem(tasks.TASKS, "walker_walk", lambda: spec)
    message = start(load(names, observations=observations)[0])
    if shown is None:
        assert message is None
    else:
        total = sum(declared.values())
        assert message.endswith(
            f"TaskError: task 'walker_walk' declares the state sizes {declared}, "
            f"{total} in all, but its environment has {shown}"
        )
