"""Tasks that tests load, and their environments, which tests play in processes."""

import warnings

import numpy as np
from gymnasium.utils.env_checker import check_env

from planet.control import batch_env
from planet.control.random_episodes import random_episodes
from planet.scripts import tasks
from planet.tools import episode_files


def load(names, **settings):
    return tasks.load(tasks.Selection(names, **settings))


def load_one(name, **settings):
    (task,) = load([name], **settings)
    return task


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
