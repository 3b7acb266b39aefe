import functools

import numpy as np
import pytest

from planet.control import batch_env, real_agent, real_planning, simulate
from tests.control.playing import load_one

SEARCH = {"amount": 12, "topk": 3, "iterations": 2}


def make_agent(envs, horizon=4, discrete=False, warm_start=False, **settings):
    search, explore = real_planning.cross_entropy_method, real_agent.add_noise
    if discrete:
        search = real_planning.discrete_cross_entropy_method
        explore = real_agent.epsilon_greedy
    return real_agent.RealAgent(
        envs.rewards,
        functools.partial(search, **SEARCH | settings),
        explore,
        horizon,
        len(envs),
        *envs.action_space.shape,
        warm_start,
    )


def make_envs(name, amount, isolate="none", action_repeat=25):
    task = load_one(name, observations="nothing", action_repeat=action_repeat)
    return batch_env.BatchEnv(
        [batch_env.make(task.env_ctor, isolate) for _ in range(amount)]
    )


def seeds():
    count = iter(range(10**6))
    return lambda: np.array([7, next(count)])


@pytest.mark.parametrize("isolate", ["none", "process"])
@pytest.mark.parametrize("name", ["cartpole_balance", "cartpole_balance_da"])
def test_does_better_than_chance_in_every_environment(name, isolate):
    with make_envs(name, 2, isolate) as envs:
        returns = {}
        for iterations in (0, 2):
            agent = make_agent(envs, 3, name.endswith("da"), iterations=iterations)
            exploration = 1.0 if iterations == 0 else 0.0
            episodes = simulate.simulate(agent, envs, seeds(), exploration)
            returns[iterations] = [x["reward"].sum() for x in episodes]
    assert min(returns[2]) > max(returns[0])


def test_plans_for_each_environment_from_its_own_state():
    with make_envs("cartpole_swingup", 2) as envs:
        envs.reset([1, 2])
        candidates = np.zeros([2, 3, 4, 1], np.float32)
        rewards = envs.rewards(candidates)
        assert rewards.shape == (2, 3, 4)
        assert (rewards[:, 0] == rewards[:, 1]).all()
        assert (rewards[0] != rewards[1]).all()
        _, received, _, _ = envs.step(candidates[:, 0, 0])
        np.testing.assert_array_equal(rewards[:, 0, 0].astype(np.float32), received)


def test_an_ended_episode_pays_nothing():
    with make_envs("cartpole_balance", 2) as envs:
        envs.reset([1, 2])
        envs._done[0] = True
        rewards = envs.rewards(np.zeros([2, 1, 3, 1], np.float32))
        assert not rewards[0].any()
        assert rewards[1].all()


@pytest.mark.parametrize("warm_start", [False, True])
def test_acts_like_the_other_agent(warm_start):
    with make_envs("cartpole_balance", 2) as envs:
        observation = envs.reset([1, 2])
        agent = make_agent(envs, warm_start=warm_start)
        first = agent.act(observation, 0.0, [1, 2])
        assert (first.shape, first.dtype) == ((2, 1), np.float32)
        assert agent.plan_returns.shape == (2, 2, 12)
        again = agent.act(observation, 0.0, [1, 2])
        assert (again == first).all() != warm_start
        noisy = agent.act(observation, 0.3, [1, 2])
        assert (noisy != first).all()
        agent.reset()
        assert (agent.act(observation, 0.0, [1, 2]) == first).all()


def test_epsilon_is_the_share_of_uniformly_random_actions():
    greedy = np.eye(5, dtype=np.float32)[np.full(6000, 2)]
    for epsilon in (0.0, 0.3, 1.0):
        random = np.random.default_rng(0)
        actions = real_agent.epsilon_greedy(greedy, epsilon, random)
        assert actions.dtype == np.float32
        expected = np.full(5, epsilon / 5)
        expected[2] += 1 - epsilon
        assert actions.mean(0) == pytest.approx(expected, abs=0.02)


def test_noise_has_its_deviation_and_is_clipped():
    random = np.random.default_rng(0)
    actions = real_agent.add_noise(np.zeros([5000, 1], np.float32), 0.3, random)
    assert actions.dtype == np.float32
    assert actions.std() == pytest.approx(0.3, abs=0.01)
    assert np.abs(real_agent.add_noise(actions, 9.0, random)).max() == 1
