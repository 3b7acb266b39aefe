import gymnasium
import numpy as np
import pytest

from planet.control.errors import UnusableEnvError
from planet.control.wrappers.simulation import Simulator, is_restorable
from planet.scripts import tasks
from tests.control.counting_env import CountingEnv
from tests.control.playing import load_one

RESTORABLE = [name for name in tasks.names() if load_one(name).restorable]
SUITE = [name for name in RESTORABLE if load_one(name).uses_dm_control]
GAMES = ["gym_breakout", "gym_qbert", "gym_freeway"]
# Tasks whose rewards are computed from the states of rollouts.
ROLLOUTS = [name for name in SUITE if name.startswith("cartpole")]
ROLLOUTS += ["cheetah_run", "finger_spin", "reacher_easy", "dmc:cartpole_three_poles"]


def start(name, seed=1, steps=5, **settings):
    """An environment after some random actions."""
    env = load_one(name, observations="nothing", **settings).env_ctor()
    env.reset(seed=seed)
    env.action_space.seed(seed)
    play(env, draw(env, steps))
    return env


def draw(env, *shape):
    """Random actions."""
    amount = int(np.prod(shape))
    actions = np.array([env.action_space.sample() for _ in range(amount)])
    return actions.reshape(*shape, *env.action_space.shape)


def play(env, actions):
    """Rewards of actions, and whether the episode ended with each of them."""
    steps = [env.step(action) for action in actions]
    return [
        (reward, terminated or truncated)
        for _, reward, terminated, truncated, _ in steps
    ]


def exact(env, actions):
    """Rewards of actions, before they are rounded to 32 bits."""
    return [env._inner.step(env._translate(action))[1] for action in actions]


def test_all_of_dm_control_and_all_games_are_restorable():
    known = {name for name in tasks.names() if load_one(name).uses_dm_control}
    assert {*RESTORABLE} == {*known, *GAMES, "gym_cheetah"}


@pytest.mark.parametrize("name", RESTORABLE)
def test_restored_state_and_repeated_actions_give_the_same_rewards(name):
    env = start(name)
    for _ in range(3):
        state, plan = env.save(), draw(env, 20)
        first = exact(env, plan)
        exact(env, draw(env, 5))
        env.restore(state)
        np.testing.assert_allclose(exact(env, plan), first, rtol=0, atol=1e-9)
        env.restore(state)
        np.testing.assert_allclose(env.rewards(plan[None])[0], first, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", RESTORABLE)
def test_trying_leaves_no_trace(name):
    env, untouched = start(name), start(name)
    for _ in range(4):
        predicted = env.rewards(plans := draw(env, 2, 6))
        np.testing.assert_array_equal(env.rewards(plans), predicted)
        expected = play(untouched, plans[1])
        assert play(env, plans[1]) == expected
        received = [reward for reward, _ in expected]
        np.testing.assert_array_equal(predicted[1].astype(np.float32), received)


@pytest.mark.parametrize("name", ["cartpole_balance", "cup_catch", "gym_cheetah"])
def test_time_of_an_episode_is_restored(name):
    env = start(name, steps=0, action_repeat=100)
    plan = draw(env, 15)
    play(env, plan[:7])
    state = env.save()
    end = play(env, plan[7:10])
    assert [done for _, done in end] == [False, False, True]
    env.restore(state)
    assert play(env, plan[7:10]) == end
    env.restore(state)
    rewards = env.rewards(plan[None, 7:13])[0]
    np.testing.assert_array_equal(rewards[:3].astype(np.float32), [x for x, _ in end])
    assert rewards[3:].tolist() == [0, 0, 0]
    assert play(env, plan[7:10]) == end


def test_the_action_that_a_sticky_one_repeats_is_restored():
    env = start("gym_freeway", steps=30, action_repeat=1)
    emulator, different = env.unwrapped.ale, 0
    for _ in range(40):
        state, (plan, other) = env.save(), draw(env, 2, 4)
        play(env, plan)
        memory = emulator.getRAM().copy()
        env.restore(state)
        play(env, other)
        different += (emulator.getRAM() != memory).any()
        env.restore(state)
        play(env, plan)
        np.testing.assert_array_equal(emulator.getRAM(), memory)
    assert different > 20  # Otherwise this would show nothing.


@pytest.mark.parametrize("name", ROLLOUTS)
def test_rollouts_are_paid_like_the_environment(name):
    env = start(name)
    length = load_one(name).max_length
    for steps in (0, length // 2, length - length // 2 - 8):
        play(env, draw(env, steps))
        plans = draw(env, 10, 6)
        fast = env.rewards(plans)
        env._rollouts, rollouts = None, env._rollouts
        np.testing.assert_allclose(fast, env.rewards(plans), rtol=0, atol=1e-9)
        env._rollouts = rollouts
        assert rollouts


def test_sparse_rollouts_are_paid_where_the_pole_is_upright():
    env = start("dmc:cartpole_balance_sparse", steps=0, action_repeat=4)
    plans = draw(env, 30, 12)
    fast = env.rewards(plans)
    assert 0 < fast.mean() < 4
    env._rollouts = None
    np.testing.assert_array_equal(fast, env.rewards(plans))


def test_rollouts_see_a_target_being_reached_and_a_body_being_spun():
    for name, position, velocity in (
        ("reacher_easy", "target", 0.0),
        ("finger_spin", None, -30.0),
    ):
        env = start(name, steps=0)
        physics = env.unwrapped._env.physics
        if position:
            tip = physics.named.data.geom_xpos["finger", :2]
            physics.named.model.geom_pos[position, :2] = tip
        else:
            physics.named.data.qvel["hinge"] = velocity
        plans = draw(env, 10, 6)
        fast = env.rewards(plans)
        assert fast.any()
        env._rollouts = None
        np.testing.assert_array_equal(fast, env.rewards(plans))


def test_what_is_rendered_and_recorded_is_not_affected(process, tmp_path):
    recorded = [
        process.submit(record, tries, tmp_path / str(tries)).result()
        for tries in (False, True)
    ]
    for name, entry in recorded[0].items():
        np.testing.assert_array_equal(recorded[1][name], entry)
    assert len(recorded[0]["image"]) == 11


def record(tries, folder):
    from planet.tools import episode_files

    env = load_one("cup_catch", action_repeat=100).env_ctor()
    env.action_space.seed(0)
    env.reset(seed=0, options={"record_to": folder})
    for action in draw(env, 10):
        if tries:
            env.rewards(action[None, None].repeat(3, 0))
        env.step(action)
    return episode_files.read(*episode_files.scan(folder))


def test_other_environments_are_played_but_not_restored():
    env = Simulator(CountingEnv(2))
    assert not is_restorable(env)
    env.reset()
    env.step(env.action_space.sample())
    for method, arguments in (
        (env.save, ()),
        (env.restore, (None,)),
        (env.rewards, (np.zeros([1, 1, 1]),)),
    ):
        with pytest.raises(UnusableEnvError, match="cannot be saved and restored"):
            method(*arguments)


class Drifting(gymnasium.Wrapper):
    """Keeps state of its own, in place and by replacement."""

    def __init__(self, env):
        super().__init__(env)
        self.random = np.random.default_rng(0)
        self.sums = np.zeros(1)
        self.count = 0

    def step(self, action):
        observation, reward, *others = self.env.step(action)
        self.count += 1
        self.sums += self.random.random()
        return observation, reward + self.count + self.sums[0], *others


def test_attributes_of_wrappers_are_restored():
    env = Simulator(
        Drifting(gymnasium.make("HalfCheetah-v5", disable_env_checker=True))
    )
    env.reset(seed=0)
    state, plan, sums = env.save(), draw(env, 3), env.env.sums
    first = play(env, plan)
    env.restore(state)
    assert (env.env.count, env.env.sums.tolist()) == (0, [0])
    assert env.env.sums is sums
    assert play(env, plan) == first
