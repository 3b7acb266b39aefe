import dataclasses
import functools
import pickle

import numpy as np
import pytest
from gymnasium.spaces import Box

from planet.control import batch_env
from planet.control.envs import adapters
from planet.control.random_episodes import random_episodes
from planet.control.wrappers.actions import OneHot
from planet.scripts import tasks
from planet.tools import episode_files
from tests.control.playing import assert_valid, check, load, load_one, play, spaces

# Tasks that show numbers.
WITH_STATE = [
    name for name in tasks.names() if name == "dummy" or load_one(name).state_components
]


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


def test_a_new_task_is_one_function(monkeypatch, tmp_path):
    monkeypatch.setattr(tasks, "TASKS", dict(tasks.TASKS))

    @tasks.task
    def hopper_hop():
        spec = tasks.TASKS["cheetah_run"]()
        make = functools.partial(adapters.dm_control, "hopper_hop")
        sizes = {"position": 6, "touch": 2, "velocity": 7}
        return dataclasses.replace(spec, make=make, action_size=4, state_sizes=sizes)

    assert tasks.names()[-1] == "hopper_hop"
    task = load_one("hopper_hop", action_repeat=50)
    (episode,) = play(task, tmp_path)
    assert_valid(task, episode)


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
