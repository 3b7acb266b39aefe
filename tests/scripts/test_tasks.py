import concurrent.futures
import multiprocessing
import pickle
import warnings

import ml_collections
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from planet.control import batch_env
from planet.control.random_episodes import random_episodes
from planet.scripts import tasks
from planet.tools import episode_files


def load(names, action_repeat=None, action_repeats=None):
    config = ml_collections.ConfigDict(
        {
            "tasks": names,
            "action_repeat": action_repeat,
            "action_repeats": action_repeats or {},
        }
    )
    return tasks.load(config)


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
        (task,) = load([name])
        assert task.name == name
        assert pickle.loads(pickle.dumps(task)).max_length == task.max_length


@pytest.mark.parametrize(
    ("name", "length"),
    [
        ("cartpole_balance", 125),
        ("cartpole_swingup", 125),
        ("finger_spin", 500),
        ("cheetah_run", 250),
        ("cup_catch", 166),
        ("walker_walk", 500),
        ("reacher_easy", 250),
        ("humanoid_walk", 500),
        ("dummy", 1000),
    ],
)
def test_usual_action_repeat(name, length):
    assert load([name])[0].max_length == length


def test_action_repeat_of_the_configuration_wins():
    repeats = {"cup_catch": 4}
    lengths = [task.max_length for task in load(["cup_catch", "dummy"], None, repeats)]
    assert lengths == [250, 1000]
    lengths = [task.max_length for task in load(["cup_catch", "dummy"], 50, repeats)]
    assert lengths == [20, 20]


def test_environments_are_as_declared(process):
    for name in tasks.names():
        (task,) = load([name])
        observations, actions = process.submit(spaces, task.env_ctor).result()
        assert set(observations) == {"image", *task.state_components}, name
        assert observations["image"].shape == (64, 64, 3)
        assert {box.dtype.name for box in observations.values()} <= {"float32", "uint8"}
        assert actions.shape == (task.action_size,), name
        assert actions.dtype == np.float32
        assert set(actions.low) == {-1}
        assert set(actions.high) == {1}


def test_several_tasks_look_alike(process):
    for task in load(["cheetah_run", "cartpole_balance", "dummy"]):
        observations, actions = process.submit(spaces, task.env_ctor).result()
        assert set(observations) == {"image"}
        assert task.state_components == ()
        assert actions.shape == (6,) == (task.action_size,)


@pytest.mark.parametrize("names", [["cartpole_balance"], ["dummy"]])
def test_environment_checker_is_content(process, names):
    process.submit(check, load(names)[0].env_ctor).result()


def play(task, folder, seed=0, amount=1):
    with batch_env.BatchEnv([batch_env.make(task.env_ctor, "process")]) as envs:
        random_episodes(envs, amount, folder, seed)
    return [episode_files.read(path) for path in episode_files.scan(folder)]


def assert_valid(task, episode):
    assert set(episode) == {"image", "action", "reward", *task.state_components}
    assert {len(array) for array in episode.values()} == {task.max_length + 1}
    assert episode["image"].shape[1:] == (64, 64, 3)
    assert episode["image"].std() > 5
    assert not episode["action"][0].any()
    assert episode["reward"][0] == 0
    assert np.isfinite(episode["reward"]).all()


def test_episode_of_a_real_task(tmp_path):
    (task,) = load(["cartpole_balance"], action_repeat=50)
    (episode,) = play(task, tmp_path)
    assert_valid(task, episode)
    assert (episode["image"][0] != episode["image"][-1]).any()
    assert (episode["reward"][1:] > 0).all()
    assert (episode["reward"] <= 50).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", tasks.names())
def test_every_task_renders_and_obeys_its_seed(tmp_path, process, name):
    (task,) = load([name], action_repeat=50)
    (episode,) = play(task, tmp_path / "one")
    (again,) = play(task, tmp_path / "two")
    assert_valid(task, episode)
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
