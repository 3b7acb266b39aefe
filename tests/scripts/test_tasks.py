import concurrent.futures
import multiprocessing
import pickle
import sys
import warnings

import numpy as np
import pytest
from gymnasium.spaces import Box
from gymnasium.utils.env_checker import check_env

from planet.control import batch_env
from planet.control.random_episodes import random_episodes
from planet.control.wrappers.actions import OneHot
from planet.scripts import tasks
from planet.tools import episode_files

CARTPOLES = [name for name in tasks.names() if name.startswith("cartpole")]
# Tasks that show numbers.
WITH_STATE = [
    name
    for name in tasks.names()
    if name == "dummy" or tasks.load(tasks.Selection([name]))[0].state_components
]
WALK = "tests.control.user_envs:drawn"
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


def load(names, **settings):
    return tasks.load(tasks.Selection(names, **settings))


def load_one(name, **settings):
    (task,) = load([name], **settings)
    return task


@pytest.fixture(scope="module")
def process():
    """A process that may render."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as executor:
        yield executor


def spaces(env_ctor):
    env = env_ctor()
    return env.observation_space, env.action_space


def check(env_ctor):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Positions have no bounds.
        check_env(env_ctor(), skip_render_check=True)


def play(task, folder, seed=0, amount=1):
    with batch_env.BatchEnv([batch_env.make(task.env_ctor, "process")]) as envs:
        random_episodes(envs, amount, folder, seed)
    return [episode_files.read(path) for path in episode_files.scan(folder)]


def assert_valid(task, episode, shortest=None):
    """Checks a recorded episode of random actions against what the task declares."""
    assert set(episode) == {"image", "action", "reward", *task.state_components}
    (length,) = {len(array) for array in episode.values()}
    assert (shortest or task.max_length) < length <= task.max_length + 1
    assert episode["image"].shape[1:] == (64, 64, task.channels)
    assert episode["image"].dtype == np.uint8
    assert episode["image"].std() > 5
    assert episode["action"].shape[1:] == (task.action_size,)
    assert episode["action"].dtype == np.float32
    assert not episode["action"][0].any()
    if task.discrete:
        assert set(episode["action"].ravel()) == {0, 1}
        assert (episode["action"][1:].sum(1) == 1).all()
    assert episode["reward"][0] == 0
    assert np.isfinite(episode["reward"]).all()


def test_all_are_the_six_of_the_paper():
    assert [task.name for task in load("all")] == [
        "cartpole_balance",
        "cartpole_swingup",
        "finger_spin",
        "cheetah_run",
        "cup_catch",
        "walker_walk",
    ]


def test_each_task_knows_its_name():
    for name in tasks.names():
        task = load_one(name)
        assert task.name == name
        assert pickle.loads(pickle.dumps(task)).max_length == task.max_length


@pytest.mark.parametrize(
    ("name", "length"),
    [
        ("cartpole_balance", 125),
        ("cartpole_swingup", 125),
        ("cartpole_balance_da", 250),
        ("cartpole_swingup_da", 250),
        ("cartpole_balance_daf", 250),
        ("cartpole_swingup_daf", 250),
        ("cartpole_swingupsparse_daf", 250),
        ("finger_spin", 500),
        ("cheetah_run", 250),
        ("cup_catch", 166),
        ("walker_walk", 500),
        ("reacher_easy", 250),
        ("humanoid_walk", 500),
        ("gym_cheetah", 500),
        ("gym_racecar", 500),
        ("gym_breakout", 250),
        ("gym_qbert", 333),
        ("gym_freeway", 333),
        ("dummy", 1000),
    ],
)
def test_usual_action_repeat(name, length):
    assert load_one(name).max_length == length


def test_action_repeat_of_the_configuration_wins():
    names, repeats = ["cup_catch", "dummy"], {"cup_catch": 4}
    given = load(names, action_repeats=repeats)
    assert [task.max_length for task in given] == [250, 1000]
    given = load(names, action_repeat=50, action_repeats=repeats)
    assert [task.max_length for task in given] == [20, 20]


def test_only_what_renders_needs_opengl():
    for name in tasks.names():
        free = ("dummy", "gym_racecar", "gym_breakout", "gym_qbert", "gym_freeway")
        assert load_one(name).renders == (name not in free)
    for name in WITH_STATE:
        assert not load_one(name, observations="state").renders


def test_environments_are_as_declared(process):
    for name in tasks.names():
        task = load_one(name)
        observations, actions = process.submit(spaces, task.env_ctor).result()
        assert set(observations) == {"image", *task.state_components}, name
        assert observations["image"].shape == (64, 64, task.channels)
        assert {box.dtype.name for box in observations.values()} <= {"float32", "uint8"}
        if task.discrete:
            assert actions == OneHot(task.action_size)
        else:
            assert actions == Box(-1, 1, [task.action_size], np.float32)


def test_states_are_as_declared(process):
    for name in WITH_STATE:
        task = load_one(name, observations="state")
        observations, _ = process.submit(spaces, task.env_ctor).result()
        assert list(observations) == ["state"]
        assert observations["state"].shape == (task.state_size,), name
        assert task.state_components == ()


@pytest.mark.parametrize("name", ["cartpole_balance_daf", "gym_breakout", "dummy"])
def test_environment_checker_is_content(process, name):
    process.submit(check, load_one(name).env_ctor).result()


def test_episode_of_a_real_task(tmp_path):
    task = load_one("cartpole_balance", action_repeat=50)
    (episode,) = play(task, tmp_path)
    assert_valid(task, episode)
    assert (episode["image"][0] != episode["image"][-1]).any()
    assert (episode["reward"][1:] > 0).all()
    assert (episode["reward"] <= 50).all()


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


def test_choices_of_cartpole_are_its_forces(process):
    for name, forces in [
        ("cartpole_swingup_da", [-1, -0.25, 0, 0.25, 1]),
        ("cartpole_balance_daf", [-1, -0.25, -0.05, -0.01, 0, 0.01, 0.05, 0.25, 1]),
    ]:
        task = load_one(name, observations="state")
        applied = process.submit(applied_forces, task.env_ctor).result()
        np.testing.assert_allclose(applied, forces, rtol=1e-5)


def applied_forces(env_ctor):
    env = env_ctor()
    env.reset(seed=0)
    forces = []
    for action in np.eye(*env.action_space.shape, dtype=np.float32):
        env.step(action)
        forces.extend(env.unwrapped._env.physics.data.ctrl)
    return forces


def test_emulator_repeats_the_actions_of_games(process):
    for name, frames in [("gym_breakout", 4), ("gym_qbert", 3), ("ale:Pong", 4)]:
        env_ctor = load_one(name).env_ctor
        assert process.submit(frames_of_two_steps, env_ctor).result() == 2 * frames
    env_ctor = load_one("gym_qbert", action_repeat=5).env_ctor
    assert process.submit(frames_of_two_steps, env_ctor).result() == 10


def frames_of_two_steps(env_ctor):
    env = env_ctor()
    _, before = env.reset(seed=0)
    for _ in range(2):
        *_, after = env.step(env.action_space.sample())
    return after["episode_frame_number"] - before["episode_frame_number"]


def test_stickiness_of_games(process):
    for name, expected in [
        ("gym_breakout", 0),
        ("gym_qbert", 0.25),
        ("ale:Pong", 0.25),
    ]:
        env_ctor = load_one(name).env_ctor
        assert process.submit(stickiness, env_ctor).result() == expected


def stickiness(env_ctor):
    return env_ctor().unwrapped.ale.getFloat("repeat_action_probability")


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
    steps = 2 * episode["action"][1:]  # Its actions reach from -2 to 2.
    np.testing.assert_allclose(
        episode["state"][2:10], episode["state"][1:9] + steps[1:9], atol=1e-5
    )
    process.submit(check, task.env_ctor).result()


@pytest.mark.parametrize(
    "name",
    [*BY_NAME, *(pytest.param(x, marks=pytest.mark.slow) for x in MORE_BY_NAME)],
)
def test_environment_checker_is_content_with_environments_by_name(process, name):
    task = load_one(name)
    process.submit(check, task.env_ctor).result()
    if task.state_components:
        env_ctor = load_one(name, observations="state").env_ctor
        process.submit(check, env_ctor).result()


USERS = "tests.control.user_envs"


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
        (f"{USERS}:without_pixels", "it has no pixels to show; set `observations: st"),
        (f"{USERS}:something_else", "it is not a gymnasium.Env, but str"),
        (f"{USERS}:dying", "its process ended by itself"),
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


def test_environment_without_pixels_shows_its_state():
    task = load_one(f"{USERS}:without_pixels", observations="state")
    assert (task.state_size, task.renders) == (1, False)


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


def test_table(run_python):
    result = run_python("-m", "planet.scripts.tasks")
    assert result.returncode == 0, result.stderr
    header, rule, *rows = result.stdout.splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in rows]
    assert [row[0] for row in cells] == tasks.names()
    assert set(rule) == {"|", "-", " "}
    assert len({len(line) for line in (header, rule, *rows)}) == 1
    assert cells[tasks.names().index("gym_breakout")] == [
        "gym_breakout",
        "one of 4",
        "250",
        "grey image",
        "atari",
    ]
    assert cells[0][1:4] == ["1 number", "125", "image, position, velocity"]


def test_table_of_given_tasks(run_python):
    result = run_python("-m", "planet.scripts.tasks", "dummy", "gym:Pendulum-v1")
    assert result.returncode == 0, result.stderr
    *_, row = result.stdout.splitlines()
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    expected = ["1 number", "200", "image, state", "classic-control"]
    assert cells == ["gym:Pendulum-v1", *expected]


def test_bad_command_line(run_python):
    result = run_python("-m", "planet.scripts.tasks", "cheetah")
    assert (result.returncode, result.stdout) == (2, "")
    expected = "unknown task 'cheetah'; did you mean 'gym_cheetah'?"
    assert result.stderr == f"planet.scripts.tasks: error: {expected}\n"


def test_help(run_python):
    result = run_python("-m", "planet.scripts.tasks", "--help")
    assert result.returncode == 0
    for form in ("dmc:walker_run", "package.module:function"):
        assert form in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", tasks.names())
def test_every_task_obeys_its_seed(tmp_path, process, name):
    repeat = None if name in ("gym_breakout", "gym_qbert", "gym_freeway") else 50
    task = load_one(name, action_repeat=repeat, batch_shape=(1, 10))
    (episode,) = play(task, tmp_path / "one")
    (again,) = play(task, tmp_path / "two")
    assert_valid(task, episode, shortest=10)
    for key, array in episode.items():
        np.testing.assert_array_equal(array, again[key])
    process.submit(check, task.env_ctor).result()


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_STATE)
def test_every_state_obeys_its_seed(tmp_path, process, name):
    task = load_one(name, action_repeat=50, observations="state")
    (episode,) = play(task, tmp_path / "one")
    (again,) = play(task, tmp_path / "two")
    assert set(episode) == {"state", "action", "reward"}
    for key, array in episode.items():
        np.testing.assert_array_equal(array, again[key])
    process.submit(check, task.env_ctor).result()


@pytest.mark.slow
def test_all_tasks_share_a_batch(tmp_path):
    together = load("all", action_repeat=100)
    envs = [batch_env.make(task.env_ctor, "process") for task in together]
    with batch_env.BatchEnv(envs) as batch:
        random_episodes(batch, len(envs), tmp_path, seed=0)
    for path in episode_files.scan(tmp_path):
        assert_valid(together[0], episode_files.read(path))
