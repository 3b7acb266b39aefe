import numpy as np
import pytest

from planet.control.errors import UnusableEnvError
from planet.control.wrappers.simulation import Simulator, is_restorable
from planet.scripts import tasks
from tests.control.playing import load_one

SUITE = [name for name in tasks.names() if load_one(name).uses_dm_control]
RESTORABLE = [*SUITE, "gym_cheetah", "gym_breakout", "gym_qbert", "gym_freeway"]


def start(name, seed=1, steps=5, **settings):
    """An environment after some random actions."""
    env = load_one(name, observations="nothing", **settings).env_ctor()
    env.reset(seed=seed)
    env.action_space.seed(seed)
    for _ in range(steps):
        env.step(env.action_space.sample())
    return env


def rewards_of(env, actions):
    """The rewards of actions, before wrappers round them to 32 bits."""
    return [env._inner.step(env._translate(action))[1] for action in actions]


@pytest.mark.parametrize("name", RESTORABLE)
def test_restored_state_and_repeated_actions_give_the_same_rewards(name):
    env = start(name)
    for _ in range(3):
        state = env.save()
        plan = [env.action_space.sample() for _ in range(20)]
        first = rewards_of(env, plan)
        rewards_of(env, [env.action_space.sample() for _ in range(5)])
        env.restore(state)
        np.testing.assert_allclose(rewards_of(env, plan), first, rtol=0, atol=1e-9)
