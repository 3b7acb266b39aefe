import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from planet.control import mpc_agent, planning
from planet.models.clockwork import Clockwork
from planet.models.rssm import RSSM
from planet.models.rssm_ma import MovingAverageRSSM
from planet.models.ssm import SSM
from planet.networks import basic, conv_ha
from planet.scripts import configs
from planet.tools import noise, overshooting, preprocess, unroll
from planet.training import define_model

STEPS = 6
SEED = (3, 4)
KINDS = (RSSM, SSM, MovingAverageRSSM)


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(0)


class CountingRSSM(RSSM):
    """Counts the rows it computes, in compiled functions too."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.count = tf.Variable(0)

    def transition(self, prev_state, prev_action):
        self.count.assign_add(tf.shape(prev_action)[0])
        return super().transition(prev_state, prev_action)


def make_sequence(batch=2, steps=STEPS):
    return tf.random.normal([batch, steps, 8]), tf.random.normal([batch, steps, 2])


def make_model(cell):
    params = {"tasks": ["cartpole_balance"], "batch_shape": [3, STEPS], "free_nats": 0}
    config = configs.load("default", params)
    heads = {"reward": basic.FeedForward(()), "image": conv_ha.Decoder((64, 64, 1), 2)}
    model = define_model.Model(cell, conv_ha.Encoder(dumbnet=True), heads, config)
    model.build({"image": (64, 64, 1), "action": (2,), "reward": ()})
    return model


def make_data():
    return {
        "image": tf.random.normal([3, STEPS, 64, 64, 1]),
        "action": tf.random.normal([3, STEPS, 2]),
        "reward": tf.random.normal([3, STEPS]),
        "length": tf.constant([STEPS, STEPS - 2, 1]),
    }


def part(state, index, sizes, key="sample"):
    """An entry of a sub-cell."""
    return tf.split(state[key], sizes, -1)[index]


def assert_ticks(states, start, first_step, periods, sizes):
    """States [N, T, ...] differ from the one before exactly where they tick."""
    for index, period in enumerate(periods):
        before = part(start, index, sizes)
        for step in range(states["tick"].shape[1]):
            after = part(states, index, sizes)[:, step]
            changed = tf.reduce_any(before != after, -1).numpy()
            assert set(changed) == {(first_step + step) % period == 0}, (period, step)
            before = after


def assert_equal(actual, expected):
    tf.nest.map_structure(np.testing.assert_array_equal, actual, expected)


def test_single_cell_of_period_1_is_the_rssm():
    rssm = RSSM(3, 8)
    plain, clockwork = make_model(rssm), make_model(Clockwork([rssm], [1]))
    for ours, theirs in zip(
        clockwork.trainable_variables, plain.trainable_variables, strict=True
    ):
        ours.assign(theirs)
    data = make_data()
    for call in (define_model.Model.evaluate, tf.function(define_model.Model.evaluate)):
        assert_equal(call(clockwork, data, SEED), call(plain, data, SEED))
    embedded, actions = make_sequence()
    rssm = RSSM(3, 8)
    for unrolled in (
        lambda cell: unroll.closed_loop(cell, embedded, actions),
        lambda cell: [unroll.open_loop(cell, cell.zero_state(2), actions)],
    ):
        unrolled(rssm)
        with noise.stream(SEED):
            expected = unrolled(rssm)
        with noise.stream(SEED):
            actual = unrolled(Clockwork([rssm], [1]))
        for ours, theirs in zip(actual, expected, strict=True):
            assert_equal({key: ours[key] for key in theirs}, theirs)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.lists(st.integers(1, STEPS), min_size=1, max_size=2),
    st.integers(1, STEPS),
)
def test_states_change_exactly_at_ticks(kind, slower, context):
    periods, sizes = [1, *slower], [4, 5, 6][: len(slower) + 1]
    cell = Clockwork([kind(size, 8) for size in sizes], periods)
    embedded, actions = make_sequence()
    prior, posterior = unroll.closed_loop(cell, embedded, actions)
    for states in (prior, posterior):
        assert_ticks(states, cell.zero_state(2), 0, periods, sizes)
    start = {key: entry[:, context - 1] for key, entry in posterior.items()}
    imagined = unroll.open_loop(cell, start, actions)
    assert_ticks(imagined, start, context, periods, sizes)
    planned = []

    def objective(states):
        planned.append(states)
        return tf.zeros(tf.shape(states["tick"]))

    planning.cross_entropy_method(
        cell, objective, start, (2,), horizon=STEPS, amount=3, topk=2, iterations=1
    )
    start = {key: tf.repeat(entry, 3, 0) for key, entry in start.items()}
    merged = {
        key: tf.reshape(entry, [-1, *entry.shape[2:]])
        for key, entry in planned[0].items()
    }
    assert_ticks(merged, start, context, periods, sizes)


def test_agent_acts_on_ticks_of_its_own_steps():
    cell = Clockwork([RSSM(4, 8), RSSM(2, 8)], [1, 3])
    encoder = conv_ha.Encoder(dumbnet=True)

    def show_slow_cell(cell, objective_fn, state, horizon, **kwargs):
        action = tf.tanh(part(state, 1, [4, 2]))
        plan = tf.repeat(action[:, None], horizon, 1)
        return planning.Plan(action, plan, tf.zeros([1, 2, 1]))

    agent = mpc_agent.MPCAgent(
        cell,
        embed=lambda observation: encoder(
            preprocess.preprocess(observation["image"], 5)
        ),
        objective_fn=None,
        planner=show_slow_cell,
        explore=lambda action, amount: action,
        horizon=4,
        num_envs=2,
        action_size=2,
    )
    for _ in range(2):
        agent.reset()
        images = np.random.randint(0, 256, [8, 2, 64, 64, 3], np.uint8)
        shown = [agent.act({"image": image}, 0.0, (1, 2)) for image in images]
        changed = [(now != last).all() for last, now in itertools.pairwise(shown)]
        assert changed == [step % 3 == 0 for step in range(1, 8)]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_differing_phase_are_handled_per_row(kind):
    cell = Clockwork([kind(4, 8, mean_only=True) for _ in range(2)], [1, 3])
    embedded, actions = make_sequence()
    _, posterior = unroll.closed_loop(cell, embedded, actions)
    predictions = overshooting.overshooting(cell, posterior, actions, STEPS - 1)
    for first in range(1, STEPS):
        start = {key: entry[:, first - 1] for key, entry in posterior.items()}
        imagined = unroll.open_loop(cell, start, actions[:, first:])
        for distance in range(STEPS - first):
            for key, entry in imagined.items():
                np.testing.assert_allclose(
                    predictions[distance][key][:, first], entry[:, distance], 1e-4, 1e-6
                )


@pytest.mark.parametrize("compiled", [False, True])
def test_no_arithmetic_between_ticks(compiled):
    cells = [CountingRSSM(3, 8), CountingRSSM(3, 8), CountingRSSM(3, 8)]
    cell = Clockwork(cells, [1, 2, 4])
    embedded, actions = make_sequence()

    def run():
        _, posterior = unroll.closed_loop(cell, embedded, actions)
        state = {key: entry[:, -1] for key, entry in posterior.items()}
        for _ in tf.range(4):
            state = cell.transition(state, actions[:, 0])
        return state

    run()
    for counting in cells:
        counting.count.assign(0)
    tf.function(run)() if compiled else run()
    # Two rows at steps 0 to 9: every one, the even ones, and 0, 4, 8.
    assert [int(counting.count) for counting in cells] == [20, 10, 6]


def test_compiled_equals_eager():
    cell = Clockwork([RSSM(3, 8), RSSM(4, 6)], [1, 3])
    embedded, actions = make_sequence()

    def run():
        with noise.stream(SEED), tf.GradientTape() as tape:
            _, posterior = unroll.closed_loop(cell, embedded, actions)
            state = {key: entry[:, -1] for key, entry in posterior.items()}
            for step in tf.range(4):
                with noise.stream(tf.random.fold_in(SEED, step)):
                    state = cell.transition(state, actions[:, 0])
            features = cell.features_from_state(state)
            loss = tf.reduce_sum(features**2)
        return posterior, features, tape.gradient(loss, cell.trainable_variables)

    run()
    tf.nest.map_structure(
        lambda ours, theirs: np.testing.assert_allclose(ours, theirs, 1e-4, 1e-5),
        tf.function(run)(),
        run(),
    )


@pytest.mark.parametrize("period", range(1, STEPS + 1))
def test_losses_with_overshooting_are_finite_and_train_every_sub_cell(period):
    kind = KINDS[period % len(KINDS)]
    model = make_model(Clockwork([kind(4, 8), kind(5, 8)], [1, period]))
    with tf.GradientTape() as tape:
        losses = model.losses(make_data(), SEED)
    gradients = tape.gradient(losses["total"], model.cell.trainable_variables)
    assert np.isfinite([float(loss) for loss in losses.values()]).all()
    assert "overshooting/divergence" in losses
    for variable, gradient in zip(
        model.cell.trainable_variables, gradients, strict=True
    ):
        assert 0 < float(tf.norm(gradient)) < np.inf, variable.path


def test_internal_divergence_ignores_padding():
    cell = Clockwork([SSM(2, 8), SSM(2, 8)], [1, 2])
    state = {
        "mean": tf.constant([[0.0, 0.0, 1.0, 0.0]] * 2),
        "stddev": tf.constant([[1.0, 1.0, 1.0, 2.0]] * 2),
        "sample": tf.zeros([2, 4]),
    }
    divergence = cell.internal_divergence(state, tf.constant([True, False]))
    expected = 0.5 + np.log(2.0) + 1 / 8 - 0.5
    np.testing.assert_allclose(divergence, [expected, 0.0], 1e-6)
