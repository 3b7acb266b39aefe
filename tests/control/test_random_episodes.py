import functools

import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit

from planet.control import batch_env
from planet.control.envs.dummy_env import DummyEnv
from planet.control.random_episodes import random_episodes
from planet.control.wrappers.recording import Record
from planet.tools import episode_files
from tests.control.counting_env import CountingEnv


def recorded_dummy_env(length):
    return Record(TimeLimit(DummyEnv(), length))


def recorded_counting_env():
    return Record(CountingEnv())


def make_batch(env_ctors, isolate="none"):
    envs = [batch_env.make(env_ctor, isolate) for env_ctor in env_ctors]
    return batch_env.BatchEnv(envs)


def read_all(folder):
    episodes = map(episode_files.read, episode_files.scan(folder))
    return sorted(episodes, key=lambda episode: episode["reward"].sum())


@pytest.mark.parametrize("isolate", ["none", "process"])
def test_asked_number_is_recorded_and_returns_are_those_of_the_files(tmp_path, isolate):
    progress = []
    env_ctors = [functools.partial(recorded_dummy_env, length) for length in (4, 6)]
    with make_batch(env_ctors, isolate) as envs:
        returns = random_episodes(
            envs, 5, tmp_path, 0, lambda *counts: progress.append(counts)
        )
    episodes = read_all(tmp_path)
    sums = [episode["reward"].sum() for episode in episodes]
    assert len(returns) == 5
    np.testing.assert_allclose(sorted(returns), sums, rtol=1e-6)
    assert sorted(len(episode["reward"]) for episode in episodes) == [5, 5, 5, 7, 7]
    assert progress == [(2, 5), (4, 5), (5, 5)]


def test_actions_are_uniform(tmp_path):
    with make_batch([functools.partial(recorded_dummy_env, 2000)]) as envs:
        random_episodes(envs, 1, tmp_path, seed=0)
    (episode,) = read_all(tmp_path)
    counts = np.histogram(episode["action"][1:], np.linspace(-1, 1, 5))[0]
    np.testing.assert_allclose(counts, 1000, atol=120)


def test_seed_decides_actions_and_environments(tmp_path):
    for name, seed in [("one", 1), ("same", 1), ("two", 2)]:
        with make_batch([functools.partial(recorded_dummy_env, 3)]) as envs:
            random_episodes(envs, 1, tmp_path / name, seed)
    one, same, two = [read_all(tmp_path / name)[0] for name in ("one", "same", "two")]
    for key in one:
        np.testing.assert_array_equal(one[key], same[key])
        assert (one[key] != two[key]).any()


def test_none_are_recorded_when_none_are_asked_for(tmp_path):
    with make_batch([recorded_counting_env]) as envs:
        assert random_episodes(envs, 0, tmp_path) == []
    assert not list(tmp_path.iterdir())


def test_nothing_is_recorded_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with make_batch([recorded_counting_env]) as envs:
        (unrecorded,) = random_episodes(envs, 1, folder=None, seed=0)
        assert list(tmp_path.iterdir()) == []
        (recorded,) = random_episodes(envs, 1, tmp_path, seed=0)
    assert unrecorded == recorded


def test_what_was_recorded_before_an_interruption_is_not_recorded_again(tmp_path):
    env_ctors = [functools.partial(recorded_dummy_env, 3)] * 2
    with make_batch(env_ctors) as envs:
        random_episodes(envs, 5, tmp_path / "whole", seed=0)
        random_episodes(envs, 3, tmp_path / "interrupted", seed=0)
        random_episodes(envs, 2, tmp_path / "interrupted", seed=0)
    whole, interrupted = (read_all(tmp_path / x) for x in ("whole", "interrupted"))
    for left, right in zip(whole, interrupted, strict=True):
        np.testing.assert_array_equal(left["action"], right["action"])


def test_returns_do_not_depend_on_the_size_of_the_batch():
    returns = []
    for amount in (1, 3):
        with make_batch([functools.partial(recorded_dummy_env, 3)] * amount) as envs:
            returns.append(random_episodes(envs, 4, None, seed=0))
    assert returns[0] == returns[1]
