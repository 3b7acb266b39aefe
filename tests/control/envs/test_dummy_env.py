import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import TimeLimit

from planet.control.envs.dummy_env import DummyEnv


@pytest.mark.parametrize("state_size", [0, 4])
def test_environment_checker_is_content(state_size):
    check_env(DummyEnv(state_size=state_size), skip_render_check=True)


def test_state_instead_of_images():
    env = DummyEnv(state_size=4)
    observation, _ = env.reset(seed=0)
    assert set(observation) == {"state"}
    assert observation["state"].shape == (4,)
    assert observation["state"].dtype == np.float32


def test_seed_decides_everything():
    def play():
        env = TimeLimit(DummyEnv(), 4)
        observation, _ = env.reset(seed=3)
        steps = [env.step(np.zeros(2)) for _ in range(4)]
        images = [observation["image"], *(step[0]["image"] for step in steps)]
        return np.stack(images), [step[1] for step in steps]

    (images, rewards), (same_images, same_rewards) = play(), play()
    np.testing.assert_array_equal(images, same_images)
    assert rewards == same_rewards
    assert len(set(rewards)) == 4
    assert np.ptp(images) == 255


@pytest.mark.parametrize("action", [[0], [0, 0, 0], [0, 1.5], [np.nan, 0]])
def test_impossible_actions_are_refused(action):
    env = DummyEnv(action_size=2)
    env.reset()
    with pytest.raises(ValueError, match="is not in Box"):
        env.step(np.array(action))
