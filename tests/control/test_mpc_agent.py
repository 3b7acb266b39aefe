import functools

import numpy as np
import pytest
import tensorflow as tf

from planet.control import mpc_agent, planners, planning
from planet.tools import extensions, noise


class BrightnessCell:
    """A cell that remembers the brightness it saw and the action that followed."""

    def zero_state(self, batch):
        return {"seen": tf.zeros([batch, 1]), "action": tf.zeros([batch, 1])}

    def transition(self, prev_state, prev_action):
        return {"seen": prev_state["seen"], "action": prev_action}

    def posterior(self, prev_state, prev_action, embedded):
        return {"seen": embedded, "action": prev_action}


def embed(observation):
    """Brightness [B, 1] in [-0.5, 0.5] of images."""
    images = tf.cast(observation["image"], tf.float32) / 256 - 0.5
    return tf.reduce_mean(images, [1, 2, 3])[:, None]


def reward(state):
    """The best action is twice the brightness."""
    return -((state["action"] - 2 * state["seen"]) ** 2)[..., 0]


def still(action, amount):
    """No exploration."""
    return action


def make_agent(num_envs=1, **kwargs):
    planner = functools.partial(
        planning.cross_entropy_method, amount=200, topk=20, iterations=5
    )
    return mpc_agent.MPCAgent(
        BrightnessCell(),
        embed,
        reward,
        planner,
        mpc_agent.add_noise,
        3,
        num_envs,
        1,
        **kwargs,
    )


def observe(*levels):
    images = [np.full((64, 64, 3), level, np.uint8) for level in levels]
    return {"image": np.stack(images)}


def test_acts_on_what_each_environment_shows():
    agent = make_agent(3)
    actions = agent.act(observe(0, 128, 230), 0.0, [0, 1])
    assert actions.shape == (3, 1)
    assert actions.dtype == np.float32
    assert actions[:, 0] == pytest.approx([-1.0, 0.0, 0.8], abs=0.06)


def test_exploration_adds_noise_of_that_scale_within_the_bounds():
    agent = make_agent(500)
    still = agent.act(observe(*[128] * 500), 0.0, [0, 1])
    agent.reset()
    noisy = agent.act(observe(*[128] * 500), 0.3, [0, 1])
    assert (noisy - still).std() == pytest.approx(0.3, abs=0.03)
    agent.reset()
    wild = agent.act(observe(*[128] * 500), 5.0, [0, 1])
    assert np.abs(wild).max() == 1.0


def test_remembers_its_last_action_until_reset():
    agent = make_agent()
    action = agent.act(observe(230), 0.0, [0, 1])
    agent.act(observe(0), 0.0, [0, 2])
    assert agent.memory["state"]["action"].numpy() == pytest.approx(action)
    agent.reset()
    agent.act(observe(0), 0.0, [0, 3])
    assert agent.memory["state"]["action"].numpy() == 0.0


def test_same_seed_same_action():
    first, second = make_agent(), make_agent()
    for step in range(3):
        observation = observe(50 * step)
        actions = [x.act(observation, 0.3, [7, step]) for x in (first, second)]
        assert actions[0] == pytest.approx(actions[1])


def test_traces_once():
    agent = make_agent(2, warm_start=True)
    for step in range(4):
        agent.act(observe(step, 2 * step), 0.1 * step, [0, step])
        agent.reset() if step == 2 else None
    assert agent._decision.experimental_get_tracing_count() == 1


def test_warm_start_begins_with_the_shifted_plan():
    starts = []

    def planner(cell, objective_fn, state, action_shape, horizon, warm_start):
        starts.append(warm_start)
        mean = tf.reshape(tf.range(3.0), [1, 3, 1]) + warm_start
        return planning.Plan(mean[:, 0], mean, mean)

    agent = mpc_agent.MPCAgent(
        BrightnessCell(), embed, reward, planner, still, 3, 1, 1, warm_start=True
    )
    agent._decision = agent.decide
    for _ in range(2):
        agent.act(observe(128), 0.0, [0, 1])
    assert starts[0].numpy().ravel().tolist() == [0, 0, 0]
    assert starts[1].numpy().ravel().tolist() == [1, 2, 0]
    agent.reset()
    agent.act(observe(128), 0.0, [0, 1])
    assert starts[2].numpy().ravel().tolist() == [0, 0, 0]


def test_warm_start_keeps_the_plan_when_the_world_does():
    settings = {"amount": 40, "topk": 5, "iterations": 1}
    errors = {}
    for warm_start in (False, True):
        agent = mpc_agent.MPCAgent(
            BrightnessCell(),
            embed,
            reward,
            functools.partial(planning.cross_entropy_method, **settings),
            explore=still,
            horizon=3,
            num_envs=50,
            action_size=1,
            warm_start=warm_start,
        )
        for step in range(6):
            actions = agent.act(observe(*[230] * 50), 0.0, [0, step])
        errors[warm_start] = np.abs(actions - 0.8).mean()
    assert errors[True] < errors[False]


def test_noise_outside_of_the_seed_does_not_matter():
    agent = make_agent()
    first = agent.act(observe(90), 0.3, [1, 1])
    noise.normal([10])
    agent.reset()
    assert agent.act(observe(90), 0.3, [1, 1]) == pytest.approx(first)


def test_epsilon_is_the_share_of_uniformly_random_actions():
    greedy = tf.one_hot(tf.fill([6000], 2), 5)
    for epsilon in (0.0, 0.3, 1.0):
        with noise.stream((0, 1)):
            actions = mpc_agent.epsilon_greedy(greedy, tf.constant(epsilon)).numpy()
        assert set(actions.ravel()) == {0.0, 1.0}
        assert (actions.sum(-1) == 1).all()
        counts = actions.sum(0)
        expected = np.full(5, 6000 * epsilon / 5)
        expected[2] += 6000 * (1 - epsilon)
        if epsilon == 0:
            assert counts.tolist() == expected.tolist()
        else:
            chi_square = ((counts - expected) ** 2 / expected).sum()
            assert chi_square < 18.5  # 4 degrees of freedom, one in a thousand.


def test_discrete_agent_takes_one_hot_actions_and_traces_once():
    """The best action is the third where it is dark, the first where it is bright."""

    def liking(state):
        dark = state["seen"] < 0
        return tf.where(dark, state["action"][..., 2:], state["action"][..., :1])[
            ..., 0
        ]

    class Cell(BrightnessCell):
        def zero_state(self, batch):
            return {"seen": tf.zeros([batch, 1]), "action": tf.zeros([batch, 4])}

    planner = functools.partial(
        planning.discrete_cross_entropy_method, amount=100, topk=10, iterations=3
    )
    agent = mpc_agent.MPCAgent(
        Cell(), embed, liking, planner, mpc_agent.epsilon_greedy, 3, 2, 4, True
    )
    for step in range(3):
        actions = agent.act(observe(0, 255), 0.0, [0, step])
        assert actions.tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]
        assert agent.plan_returns.shape == (3, 2, 100)
    assert agent._decision.experimental_get_tracing_count() == 1


class Imitator:
    """Takes the best action in the world of `reward`, but for its noise."""

    noise_size = 1

    def act(self, state, noise=None):
        action = tf.clip_by_value(2 * state["seen"], -1.0, 1.0)
        return action if noise is None else tf.clip_by_value(action + noise, -1.0, 1.0)


class Gambler:
    """Finds all choices equal."""

    def act(self, state, noise=None):
        return tf.one_hot(tf.argmax(self.logits(state), -1), 4)

    def logits(self, state):
        return tf.tile(0.0 * state["seen"], [1, 4])


class ChoosyCell(BrightnessCell):
    def zero_state(self, batch):
        return {"seen": tf.zeros([batch, 1]), "action": tf.zeros([batch, 4])}


def choosy(state):
    """The best of four actions is the third where it is dark, or else the first."""
    dark, bright = state["action"][..., 2], state["action"][..., 0]
    return tf.where(state["seen"][..., 0] < 0, dark, bright)


WARM_STARTS = pytest.mark.parametrize(
    "warm_start", [pytest.param(False, marks=pytest.mark.slow), True]
)


def agent_of(name, discrete, warm_start):
    """An agent of one of the project's planners, for two environments."""
    search = extensions.load(planners.find(name, discrete))
    policy = Gambler() if discrete else Imitator()
    settings = {"amount": 200, "topk": 20, "iterations": 4, "policy": policy}
    settings |= {"mppi_gamma": 10.0, "initial_sigma": 0.5}
    blank = None
    if hasattr(search, "blank"):
        blank = search.blank(
            2, 3, 4 if discrete else 1, **extensions.arguments(search.blank, settings)
        )
    return mpc_agent.MPCAgent(
        ChoosyCell() if discrete else BrightnessCell(),
        embed,
        choosy if discrete else reward,
        functools.partial(search, **extensions.arguments(search, settings)),
        still,
        3,
        2,
        4 if discrete else 1,
        warm_start,
        blank=blank,
    )


@WARM_STARTS
@pytest.mark.parametrize("name", sorted(planners.PLANNERS.keys() - {"real"}))
def test_every_planner_acts_on_what_it_sees_and_is_traced_once(name, warm_start):
    agent = agent_of(name, False, warm_start)
    for episode in range(2):
        for step in range(3):
            actions = agent.act(observe(64, 192), 0.0, [episode, step])
        agent.reset()
    assert actions[:, 0] == pytest.approx([-0.5, 0.5], abs=0.25)
    assert agent._decision.experimental_get_tracing_count() == 1


@WARM_STARTS
@pytest.mark.parametrize(
    "name",
    [
        name
        for name, found in planners.PLANNERS.items()
        if found.discrete and name != "real"
    ],
)
def test_every_discrete_planner_chooses_and_is_traced_once(name, warm_start):
    agent = agent_of(name, True, warm_start)
    for episode in range(2):
        for step in range(3):
            actions = agent.act(observe(0, 255), 0.0, [episode, step])
        agent.reset()
    best = [[0, 0, 1, 0], [1, 0, 0, 0]]
    if name == "policy":  # As it finds all choices equal.
        best = [[1, 0, 0, 0]] * 2
    assert actions.tolist() == best
    assert agent._decision.experimental_get_tracing_count() == 1


def test_an_episode_begins_without_what_the_last_one_left():
    agent = agent_of("icem", False, True)
    first = [agent.act(observe(64, 192), 0.0, [0, step]) for step in range(2)]
    agent.reset()
    again = [agent.act(observe(64, 192), 0.0, [0, step]) for step in range(2)]
    assert np.array_equal(first, again)
    agent.act(observe(64, 192), 0.0, [0, 0])
    other = agent.act(observe(64, 192), 0.0, [0, 0])
    assert not np.array_equal(first[0], other)
