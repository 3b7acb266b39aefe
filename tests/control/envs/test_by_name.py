import pickle

import numpy as np
import pytest

from planet.control import batch_env
from planet.control.errors import BrokenPromiseError
from planet.scripts import tasks
from tests.control.playing import assert_valid, check, load, load_one, play

USERS = "tests.control.user_envs"
WALK = f"{USERS}:drawn"
BY_NAME = ["gym:Pendulum-v1", "ale:Pong", "oldgym:CartPole-v1", WALK]
MORE_BY_NAME = [
    "dmc:point_mass_easy",
    "dmc:manipulator_bring_ball",
    "gym:FrozenLake-v1",
    "gym:HalfCheetah-v5",
    "gym:CarRacing-v3",
    "gym:LunarLander-v3",
    "ale:MontezumaRevenge",
    "oldgym:MountainCar-v0",
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dmc:ball_in_cup_catch", (2, False, 1000, {"position", "velocity"})),
        ("gym:Pendulum-v1", (1, False, 200, {"state"})),
        ("gym:CarRacing-v3", (3, False, 1000, set())),
        ("ale:Pong", (6, True, 250, set())),
        ("oldgym:CartPole-v1", (2, True, 500, {"state"})),
        (WALK, (1, False, 1000, {"state"})),
        ("tests.control.user_envs:limited", (1, False, 20, {"state"})),
    ],
)
def test_environments_by_name(name, expected):
    task = load_one(name)
    assert task.name == name
    found = task.action_size, task.discrete, task.max_length, set(task.state_components)
    assert found == expected
    assert task.renders == name.startswith("dmc:")
    assert pickle.loads(pickle.dumps(task)) is not None


def test_action_repeat_of_environments_by_name():
    assert load_one("gym:Pendulum-v1", action_repeat=3).max_length == 67
    assert load_one("ale:Pong", action_repeats={"ale:Pong": 10}).max_length == 100


def test_short_episodes_are_held_to_the_length_of_a_chunk(tmp_path):
    chunk = {"batch_shape": (8, 50)}
    assert load_one("tests.control.user_envs:limited", **chunk).max_length == 50
    assert load_one("gym:Pendulum-v1", action_repeat=10, **chunk).max_length == 50
    task = load_one("oldgym:CartPole-v1", **chunk)
    episodes = play(task, tmp_path, amount=5)
    for episode in episodes:
        assert_valid(task, episode, shortest=50)
        paid = episode["reward"][1:] == 1
        end = paid.argmin() if not paid.all() else len(paid)
        assert not paid[end:].any()
        for name in ("image", "state"):
            held = episode[name][1 + end :]
            assert (held == episode[name][end]).all()
    assert min(episode["reward"].sum() for episode in episodes) < 50


def test_own_environment_plays_and_obeys_its_seed(tmp_path, process):
    task = load_one(WALK, batch_shape=(1, 10))
    (episode,) = play(task, tmp_path / "one")
    (again,) = play(task, tmp_path / "two")
    assert_valid(task, episode, shortest=10)
    for name, array in episode.items():
        np.testing.assert_array_equal(array, again[name])
    steps = 2 * episode["action"][1:]  # Its actions range from -2 to 2.
    np.testing.assert_allclose(
        episode["state"][2:10], episode["state"][1:9] + steps[1:9], atol=1e-5
    )
    process.submit(check, task.env_ctor).result()


@pytest.mark.parametrize(
    "name",
    [*BY_NAME, *(pytest.param(x, marks=pytest.mark.slow) for x in MORE_BY_NAME)],
)
def test_environment_checker_is_content_with_environments_by_name(fresh_process, name):
    task = load_one(name)
    fresh_process.submit(check, task.env_ctor).result()
    if task.state_components:
        env_ctor = load_one(name, observations="state").env_ctor
        fresh_process.submit(check, env_ctor).result()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("walker", "unknown task 'walker'; did you mean 'walker_walk'?"),
        ("gmy:Pong", "unknown task 'gmy:Pong': there is no module 'gmy', and "),
        (":", "unknown task ':': there is no module '', and "),
        ("dmc:walker_rn", "unknown task of the control suite 'walker_rn'; did you "),
        ("gym:Pendulm-v1", "unknown id of gymnasium 'Pendulm-v1'; did you mean 'Pend"),
        ("ale:Pongg", "unknown game 'Pongg'; did you mean 'Pong'"),
        ("oldgym:Cart-v1", "unknown id of gym 'Cart-v1'; did you mean 'CartPole-v1'"),
        (
            f"{USERS}:drown",
            f"unknown function of {USERS} 'drown'; did you mean 'drawn'",
        ),
        (f"{USERS}:textual", "its observation 'mission' is not numeric, but Text"),
        (f"{USERS}:many_choices", "its actions are MultiDiscrete([2 3]), but must be"),
        (f"{USERS}:many_flags", "its actions are MultiBinary(3), but must be"),
        (
            f"{USERS}:without_pixels",
            "it renders no images, and its observation is Box(",
        ),
        (f"{USERS}:something_else", "it is not a gymnasium.Env, but str"),
        (f"{USERS}:dying", "its process ended by itself"),
        ("os:abort", "task 'os:abort' cannot be used: 'os' is a module of Python its"),
        ("gym:os:Pong-v1", "cannot be used: 'os' is a module of Python itself"),
        ("gym:gmy:Pong-v1", "cannot be used: there is no module 'gmy'"),
        ("planet.scripts.train:main", "the modules of planet.scripts are commands"),
        (
            f"{USERS}:images_in_fractions",
            "observation is float64 [8, 8, 3], not uint8 [8, 8, 3] as its space says",
        ),
        (f"{USERS}:unpaid", "reward is None, not a finite number"),
        (
            f"{USERS}:unseeded",
            "its reset() must accept seed and options, as gymnasium's reset(*, seed=No",
        ),
        (f"{USERS}:old", "step() returned a tuple of 4, not (observation, reward, ter"),
        (f"{USERS}:with_a_length", "its observation 'length' needs another name, as "),
    ],
)
def test_bad_tasks(name, message, capfd):
    with pytest.raises(tasks.TaskError) as caught:
        load([name])
    assert message in str(caught.value)
    assert repr(name) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("raising", "cannot be used: ZeroDivisionError: broken constructor"),
        ("raising_on_reset", "cannot be used: ZeroDivisionError: broken constructor"),
        ("leaving", "cannot be used: SystemExit: at once"),
        ("needs_an_argument", "TypeError: needs_an_argument() missing 1 required pos"),
    ],
)
def test_failing_constructors_show_their_traceback(name, message, capfd):
    with pytest.raises(tasks.TaskError) as caught:
        load([f"{USERS}:{name}"])
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    errors = capfd.readouterr().err
    assert errors.startswith("Traceback")
    assert "planet/control/envs/inspection.py" in errors


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("unpaid_in_the_end", "reward is None, not a finite number"),
        ("lost_in_the_end", "observation[0] is nan, not a finite number"),
    ],
)
def test_promises_that_are_broken_later_are_named_with_the_task(name, broken):
    name = f"{USERS}:{name}"
    envs = batch_env.make(load_one(name, action_repeat=2).env_ctor, "process")
    with batch_env.BatchEnv([envs]) as envs:
        envs.reset([0])
        for _ in range(3):
            envs.step(np.zeros([1, 1], np.float32))
        with pytest.raises(batch_env.EnvError) as caught:
            envs.step(np.zeros([1, 1], np.float32))
    line = str(caught.value).splitlines()[0]
    assert line.endswith(f"BrokenPromiseError: task '{name}', decision 4: {broken}")


def test_actions_that_are_out_of_range_are_named_with_the_task(process):
    name = f"{USERS}:drawn"
    assert process.submit(overdo, load_one(name).env_ctor).result() == (
        f"task '{name}', decision 2: action[0] is 1.5, not between -1.0 and 1.0"
    )


def overdo(env_ctor):
    env = env_ctor()
    env.reset(seed=0)
    env.step(np.float32([0.5]))
    try:
        env.step(np.float32([1.5]))
    except BrokenPromiseError as error:
        return str(error)


def test_environment_without_pixels_shows_its_state():
    task = load_one(f"{USERS}:without_pixels", observations="state")
    assert (task.state_size, task.renders) == (1, False)


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("ale:Pong", "ale_py", "atari"),
        ("gym:Pendulum-v1", "pygame", "classic-control"),
        ("gym:LunarLander-v3", "Box2D", "box2d"),
        ("oldgym:CartPole-v1", "gym", "gym"),
    ],
)
def test_missing_extra_of_an_environment_by_name(
    run_python, tmp_path, name, module, extra
):
    # Hides the module from all processes, as if it were not installed.
    program = f"import sys; sys.modules[{module!r}] = None"
    (tmp_path / "sitecustomize.py").write_text(program)
    result = run_python("-m", "planet.scripts.tasks", name, PYTHONPATH=str(tmp_path))
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == (
        f"planet.scripts.tasks: error: task '{name}' cannot be used: it needs the "
        f"extra '{extra}': pip install 'planet[{extra}]'\n"
    )


CAMERA = f"{USERS}:camera"
STATE = {"observations": "state"}


def test_image_of_any_kind_under_any_name(tmp_path, process):
    task = load_one(CAMERA, image_key="eye", env_params={"size": 30}, episode_steps=20)
    assert (task.channels, task.renders, task.note) == (3, False, "")
    (episode,) = play(task, tmp_path)
    assert_valid(task, episode)
    assert set(episode) == {"image", "position", "action", "reward"}
    assert not episode["image"][..., 1:].any()
    process.submit(check, task.env_ctor).result()


def test_picture_that_is_too_bright_is_named():
    params = {"brightness": 1.5}
    with pytest.raises(tasks.TaskError) as caught:
        load([CAMERA], image_key="eye", env_params=params)
    assert str(caught.value) == (
        f"task '{CAMERA}' cannot be used: observation 'eye'[0, 0, 12] is 1.5, not "
        "between 0.0 and 1.0"
    )


def test_image_that_cannot_be_used_is_named():
    with pytest.raises(tasks.TaskError) as caught:
        load([f"{USERS}:many_channels"])
    assert "Box(0.0, 1.0, (48, 48, 7), float32); images are" in str(caught.value)
    assert "state" not in str(caught.value)
    with pytest.raises(tasks.TaskError, match="; set image_key: eye"):
        load([CAMERA])


def test_alpha_and_large_states_are_noted():
    note = load_one(f"{USERS}:with_alpha").note
    assert note.startswith(f"The fourth channel of the image of task '{USERS}:with_a")
    numbers = {"observations": "state", "env_params": {"lidar": 1000}}
    note = load_one(CAMERA, image_key="eye", **numbers).note
    assert note.startswith(f"The state of task '{CAMERA}' has 1001 numbers, which ")
    numbers["env_params"] = {"lidar": 999}
    assert load_one(CAMERA, image_key="eye", **numbers).note == ""


@pytest.mark.slow
def test_required_parameter_and_grey_game():
    task = load_one(f"{USERS}:needs_an_argument", env_params={"length": 60}, **STATE)
    assert task.max_length == 60
    assert load_one("ale:Pong", env_params={"obs_type": "grayscale"}).channels == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "params", "check_made"),
    [
        ("dmc:point_mass_easy", {"time_limit": 3}, lambda task: task.step_limit == 150),
        ("gym:Pendulum-v1", {"max_episode_steps": 70}, lambda x: x.max_length == 70),
        ("gym:FrozenLake-v1", {"map_name": "8x8"}, lambda task: task.state_size == 64),
        ("ale:Pong", {"full_action_space": True}, lambda task: task.action_size == 18),
        ("oldgym:FrozenLake-v1", {"map_name": "8x8"}, lambda x: x.state_size == 64),
    ],
)
def test_parameters_of_constructors(name, params, check_made):
    seen = "image" if name.startswith("ale") else "state"
    task = load_one(name, env_params=params, observations=seen)
    assert check_made(task)
    assert pickle.loads(pickle.dumps(task)) is not None


def test_unknown_parameter_of_a_constructor(capfd):
    with pytest.raises(tasks.TaskError) as caught:
        load([f"{USERS}:long_walk"], env_params={"step": 1})
    assert str(caught.value) == (
        f"task '{USERS}:long_walk' cannot be used: unknown parameter of long_walk "
        "'step'; did you mean 'steps'?"
    )
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("setting", [{"image_key": "eye"}, {"env_params": {"x": 1}}])
def test_settings_of_environments_by_name_are_not_for_others(setting):
    (name,) = setting
    with pytest.raises(tasks.TaskError, match=f"^{name} is for environments by name"):
        load(["cheetah_run"], **setting)


def test_own_limits_are_found():
    assert load_one("ale:Pong").step_limit == 108_000
    assert load_one("dmc:ball_in_cup_catch").step_limit == 1000
    assert load_one(WALK).step_limit is None


@pytest.mark.parametrize(
    ("name", "steps", "repeat", "length"),
    [
        (f"{USERS}:long_walk", 1000, 1, 1000),
        (f"{USERS}:long_walk", 6000, 1, 5000),
        (f"{USERS}:long_walk", 3000, 4, 750),
        ("ale:Pong", 10**6, 4, 27_000),
        ("cheetah_run", 2000, 4, 250),
        ("cheetah_run", 100, 4, 25),
        ("dummy", 3000, 2, 1500),
    ],
)
def test_longest_episode(name, steps, repeat, length):
    task = load_one(name, action_repeat=repeat, episode_steps=steps)
    assert task.max_length == length


def test_episodes_are_cut_where_the_setting_says():
    env = load_one("dummy", episode_steps=1100, **STATE).env_ctor()
    env.reset(seed=0)
    steps, ends = 0, (False, False)
    while not any(ends):
        _, _, *ends, _ = env.step(env.action_space.sample())
        steps += 1
    assert (steps, ends) == (1100, [False, True])


def test_episode_without_a_decision_is_refused():
    with pytest.raises(tasks.TaskError) as caught:
        load(["cheetah_run"], episode_steps=3)
    assert str(caught.value) == (
        "episode_steps must be at least 4, the action repeat of task 'cheetah_run', "
        "not 3"
    )
