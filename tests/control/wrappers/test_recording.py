import numpy as np
import pytest

from planet.control.wrappers.recording import Record
from planet.tools import episode_files
from tests.control.counting_env import CountingEnv


def play(env, actions, **options):
    _, info = env.reset(options=options)
    for action in actions:
        *_, info = env.step(np.array([action]))
    return info


def test_action_leads_to_observation_and_reward_of_its_entry(tmp_path):
    actions = [0.1, 0.2, 0.3, 0.4, 0.5]
    info = play(Record(CountingEnv(5)), actions, record_to=tmp_path / "new")
    assert episode_files.scan(tmp_path / "new") == [info["episode_file"]]
    episode = episode_files.read(info["episode_file"])
    assert sorted(episode) == ["action", "image", "position", "reward"]
    np.testing.assert_allclose(episode["action"][:, 0], [0, *actions])
    np.testing.assert_allclose(episode["position"][:, 0], range(6))
    np.testing.assert_allclose(episode["image"][:, 0, 0, 0], range(6))
    rewards = [t + action / 10 for t, action in enumerate(actions, 1)]
    np.testing.assert_allclose(episode["reward"], [0, *rewards], rtol=1e-6)
    assert episode["reward"].dtype == np.float32
    assert episode["image"].dtype == np.uint8


def test_nothing_is_written_unasked_or_before_the_end(tmp_path):
    env = Record(CountingEnv(5))
    play(env, [0] * 4, record_to=tmp_path)
    assert "episode_file" not in play(env, [0] * 5)
    assert not list(tmp_path.iterdir())


def test_each_episode_is_asked_for_anew(tmp_path):
    env = Record(CountingEnv(2))
    for _ in range(2):
        play(env, [0, 0], record_to=tmp_path)
        play(env, [0, 0])
    lengths = [len(episode_files.read(f)["reward"]) for f in tmp_path.iterdir()]
    assert lengths == [3, 3]


def test_the_environment_gets_the_other_options_only():
    _, info = Record(CountingEnv()).reset(options={"record_to": "x", "level": 3})
    assert info["options"] == {"level": 3}


def test_a_changed_action_array_does_not_change_the_record(tmp_path):
    env = Record(CountingEnv(2))
    env.reset(options={"record_to": tmp_path})
    action = np.array([0.5])
    env.step(action)
    action[:] = 0.25
    *_, info = env.step(action)
    actions = episode_files.read(info["episode_file"])["action"]
    assert actions[:, 0] == pytest.approx([0, 0.5, 0.25])
