import itertools
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from planet.control import batch_env, mpc_agent, planning, simulate
from planet.scripts import configs, tasks
from planet.tools import (
    episode_files,
    events,
    noise,
    numpy_episodes,
    replicas,
    tf1_checkpoint,
)
from planet.training import data as data_lib
from planet.training import define_model, marwil, trainer
from tests.tf1 import write_tf1_checkpoint

SPEC = {"state": (3,), "action": (2,), "reward": ()}
BOTH = {"use_policy": True, "use_value": True}
CLOCKWORK = {"model_size": [6, 4], "state_size": [3, 2], "cw_tau": [1, 2]}
DISCRETE = {"tasks": ["cartpole_balance_da"]}


def make_config(**params):
    small = {"tasks": ["dummy"], "observations": "state", "batch_shape": [3, 6]}
    return configs.load("debug", {**small, **params})


def make_model(**params):
    return define_model.define_model(make_config(**params), SPEC)


def make_batch(lengths=(6, 6, 6), discrete=False, seed=0):
    random = np.random.default_rng(seed)
    batch = {
        key: tf.constant(random.uniform(-1, 1, (3, 6, *shape)), tf.float32)
        for key, shape in {**SPEC, "return": ()}.items()
    }
    if discrete:
        batch["action"] = tf.one_hot(tf.argmax(batch["action"], -1), 2)
    return {**batch, "length": tf.constant(lengths)}


def gradients(model, loss, part):
    with tf.GradientTape() as tape:
        losses = model.losses(make_batch(), tf.constant([0, 0]))
    return tape.gradient(losses[loss], part.trainable_variables)


# An episode of four steps by hand. Its rewards, of entries 1 to 3, are 1, 0 and 2.
# With a discount of 0.5, the returns of entries 0 to 2 are 1 + 0 + 0.5, 0 + 1 and 2.
REWARDS = np.array([0, 1, 0, 2], np.float32)
RETURNS = [1.5, 1.0, 2.0]
# Expecting 1, 2 and 0, the advantages are 0.5, -1 and 2. The mean of their squares is
# (0.25 + 1 + 4) / 3 = 1.75, so that c = 1.3229.
VALUES = [1.0, 2.0, 0.0]
ADVANTAGES = [0.5, -1.0, 2.0]
SQUARE = 1.75
WEIGHTS = [np.exp(0.7 * x / 1.322876) for x in ADVANTAGES]  # Kappa is 0.7.


class Fixed:
    """A distribution whose mean is what a test says."""

    def __init__(self, mean):
        self._mean = tf.constant(mean, tf.float32)

    def __call__(self, features):
        return self

    def mean(self):
        return self._mean


def test_returns_of_an_episode_by_hand():
    returns = numpy_episodes.returns_to_go(REWARDS, 0.5)
    np.testing.assert_allclose(returns, [*RETURNS, 0])


@pytest.mark.parametrize("reduce", ["mean", "sum"])
@pytest.mark.parametrize("padding", [0, 2])
def test_losses_of_an_episode_by_hand(reduce, padding):
    config = make_config(**BOTH, marwil_kappa=0.7, policy_reduce=reduce)
    model = make_model(**BOTH)
    policy = model.parts["policy"]
    for variable in policy.trainable_variables:  # It does nothing.
        variable.assign(tf.zeros_like(variable))
    value = Fixed([VALUES + [7.0] * padding])
    losses, metrics = marwil.Marwil(policy, value, config).evaluate(
        tf.ones([1, 4 + padding, 15]),
        {
            "action": tf.constant(
                [[[9, 9], [1, 0], [0, 0.5], [1, 1]] + [[8, 8]] * padding], tf.float32
            ),
            "return": tf.constant([[*RETURNS, 0] + [6] * padding], tf.float32),
        },
        tf.constant([[True] * 4 + [False] * padding]),
    )
    errors = [1.0, 0.25, 2.0]  # Squares of the lengths of the actions that followed.
    total = np.dot(WEIGHTS, errors)
    expected = {
        "value": np.mean(np.square(ADVANTAGES)),
        "policy": total / 3 if reduce == "mean" else total,
    }
    assert losses.keys() == expected.keys()
    for key, loss in expected.items():
        assert float(losses[key]) == pytest.approx(loss, rel=1e-5)
    explained = 1 - np.var(ADVANTAGES) / np.var(RETURNS)
    expected = {
        "policy/weight": np.mean(WEIGHTS),
        "policy/clipped": 0,
        "policy/advantage_square": SQUARE,
        "policy/distance": np.mean(np.sqrt(errors)),
        "value/explained_variance": explained,
    }
    actual = {key: float(metric) for key, metric in metrics.items()}
    assert actual == pytest.approx(expected, rel=1e-5)


def pg_weights(advantages, square, kappa):
    """Weights and the moving square as PG+ computes them."""
    square += 1e-8 * (np.mean(np.square(advantages)) - square)
    scaled = kappa * advantages / (1e-8 + np.sqrt(square))
    with np.errstate(over="ignore"):
        return np.minimum(np.exp(scaled), 20), square


def test_weights_tell_advantages_apart_where_those_of_pg_saturate():
    random = np.random.default_rng(0)
    ours = theirs = 0.0
    steps = replicas.Valid(tf.ones([8, 50], bool))
    for update in range(300):
        advantages = random.normal(0, 5, (8, 50)).astype(np.float32)
        weights, ours = marwil.advantage_weights(
            tf.constant(advantages), steps, tf.constant(ours), 0.7, 1e-2
        )
        pg, theirs = pg_weights(advantages, theirs, 0.7)
        if update == 0:
            assert float(ours) == pytest.approx(np.mean(advantages**2), rel=1e-5)
    assert float(ours) == pytest.approx(25, rel=0.05)
    expected = np.minimum(np.exp(0.7 * advantages / np.sqrt(ours)), 20)
    np.testing.assert_allclose(weights, expected, rtol=1e-5)
    assert np.mean(weights >= 20) < 0.01
    assert np.mean((pg >= 20) | (pg < 1e-3)) > 0.98


def test_weights_are_clipped_and_finite():
    advantages = tf.constant([[1e6, -1e6, 0.0]])
    steps = replicas.Valid(tf.ones([1, 3], bool))
    weights, _ = marwil.advantage_weights(advantages, steps, tf.constant(1.0), 1, 1e-9)
    np.testing.assert_array_equal(weights, [[20, 0, 1]])
    weights, square = marwil.advantage_weights(
        tf.zeros([1, 3]), steps, tf.constant(0.0), 1, 1e-2
    )
    np.testing.assert_array_equal(weights, [[1, 1, 1]])
    assert square == 0


@pytest.mark.parametrize("lengths", [(6, 3, 1), (1, 1, 1), (2, 0, 6)])
def test_short_sequences_give_finite_losses(lengths):
    model = make_model(**BOTH, stoch_policy=True)
    losses, metrics = model.update(make_batch(lengths), 1e-3, tf.constant([0, 0]))
    values = [float(x) for x in [*losses.values(), *metrics.values()]]
    assert np.isfinite(values).all()


@pytest.mark.parametrize("params", [{}, {"stoch_policy": True}, DISCRETE])
def test_padding_does_not_matter(params):
    model = make_model(**BOTH, **params, mean_only=True)
    discrete = bool(params.get("tasks"))
    batch, other = (make_batch((6, 3, 1), discrete, seed) for seed in (0, 1))
    keep = tf.sequence_mask(batch["length"], 6)
    mixed = {
        key: tf.where(tf.reshape(keep, [3, 6] + [1] * (x.ndim - 2)), x, other[key])
        for key, x in batch.items()
        if key != "length"
    }
    results = [
        {key: float(x) for part in model.evaluate(data) for key, x in part.items()}
        for data in (batch, {**mixed, "length": batch["length"]})
    ]
    assert results[0] == pytest.approx(results[1], rel=1e-5)
    assert ("policy/entropy" in results[0]) == bool(params)


@pytest.mark.parametrize("detached", [True, False])
@pytest.mark.parametrize("loss", ["zero_step/policy", "zero_step/value"])
def test_the_model_learns_from_policy_and_value_only_if_they_are_not_detached(
    loss, detached
):
    model = make_model(**BOTH, detach_policy=detached)
    own = gradients(model, loss, model.parts[loss.removeprefix("zero_step/")])
    assert all(float(tf.norm(gradient)) > 0 for gradient in own)
    for part in (model.encoder, model.cell):
        others = [x for x in gradients(model, loss, part) if x is not None]
        assert bool(others) is not detached
        assert all(np.abs(gradient).max() > 0 for gradient in others[:1])
    losses = model.losses(make_batch(), tf.constant([0, 0]))
    extra = float(losses["zero_step/policy"] + losses["zero_step/value"])
    scales = {"zero_step/reward": 10, "zero_step/global_divergence": 0.1}
    scales |= {"overshooting/reward": 100}
    rest = sum(
        scales.get(key, 1) * float(value)
        for key, value in losses.items()
        if key not in ("total", "zero_step/policy", "zero_step/value")
    )
    total = rest if detached else rest + extra
    assert float(losses["total"]) == pytest.approx(total, rel=1e-5)


def test_the_value_does_not_learn_from_the_policy():
    model = make_model(**BOTH)
    found = gradients(model, "zero_step/policy", model.parts["value"])
    assert found == [None] * 6


@pytest.mark.slow
def test_a_model_learns_the_same_beside_a_detached_policy():
    models = [make_model(), make_model(**BOTH)]
    groups = [model.variables_by_optimizer["model"] for model in models]
    for ours, theirs in zip(*groups, strict=True):
        theirs.assign(ours)
    for model in models:
        update = tf.function(model.update)
        for step in range(3):
            update(make_batch(seed=step), tf.constant(1e-3), tf.constant([0, step]))
    for ours, theirs in zip(*groups, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-7)


@pytest.mark.parametrize(
    "params",
    [
        {"stoch_policy": True, "detach_policy": False},
        *(
            pytest.param(params, marks=pytest.mark.slow)
            for params in (
                CLOCKWORK,
                DISCRETE,
                {},
                {"use_value": False},
                {"use_policy": False},
                {"tap_cell": "rssm"},
                {**CLOCKWORK, "tap_cell": "rssm", "stoch_policy": True},
                {"model": "drnn"},
                {"precision": "bfloat16", "stoch_policy": True},
                {"jit": "always", "stoch_policy": True},
            )
        ),
    ],
    ids=str,
)
def test_update_moves_policy_and_value_and_compiles_once(params):
    tf.keras.utils.set_random_seed(0)  # A small layer can be dead.
    params = {**BOTH, **params}
    model = make_model(**params)
    discrete = "tasks" in params
    wanted = {key for key in ("policy", "value") if params[f"use_{key}"]}
    variables = [x for key in wanted for x in model.variables_by_optimizer[key]]
    before = [variable.numpy() for variable in variables]
    update = tf.function(model.update, jit_compile=True if params.get("jit") else None)
    for step in range(3):
        batch = make_batch((6, 6, 4), discrete, step)
        losses, metrics = update(batch, tf.constant(1e-3), tf.constant([0, step]))
    assert update.experimental_get_tracing_count() == 1
    for old, variable in zip(before, variables, strict=True):
        assert not np.array_equal(old, variable.numpy()), variable.path
    assert wanted == {"policy", "value"} & {key[10:] for key in losses}
    norms = {key[14:] for key in metrics if key.startswith("gradient_norm/")}
    assert norms == {"model"} | wanted
    assert (model.policy is None) == (not params["use_policy"])
    if model.policy is None:
        return
    state = model.acting_cell.zero_state(4)
    noises = tf.ones([4, model.policy.noise_size])
    act = tf.function(model.policy.act)
    for actions in (act(state), act(state, noises)):
        assert actions.shape == (4, 2)
        assert np.abs(actions).max() <= 1
    if discrete:
        np.testing.assert_array_equal(tf.reduce_sum(act(state), -1), np.ones(4))
        assert model.policy.logits(state).shape == (4, 2)


def test_layers_beside_a_clockwork_are_as_large_as_all_its_beliefs():
    assert make_model(**BOTH, **CLOCKWORK).policy.noise_size == 2 * (6 + 4)
    assert make_model(**BOTH, model_size=9).policy.noise_size == 2 * 9


def test_learning_rates_and_epsilons_are_their_own():
    rates = {"policy_lr": 0.01, "value_lr": 0.003}
    epsilons = {"policy_adam": 1e-5, "value_adam": 1e-7}
    model = make_model(**BOTH, **rates, **epsilons)
    found = {key: x.epsilon for key, x in model.optimizers.items()}
    assert found == {"model": 1e-4, "policy": 1e-5, "value": 1e-7}
    before = {
        key: [x.numpy() for x in variables]
        for key, variables in model.variables_by_optimizer.items()
    }
    model.update(make_batch(), tf.constant(1e-3), tf.constant([0, 0]))
    largest = {
        key: max(
            np.abs(old - new.numpy()).max()
            for old, new in zip(before[key], variables, strict=True)
        )
        for key, variables in model.variables_by_optimizer.items()
    }  # Adam's first step is as long as its rate.
    expected = {"model": 1e-3, "policy": 0.01, "value": 0.003}
    assert largest == pytest.approx(expected, rel=0.05)


def test_gradients_are_clipped_by_their_global_norm():
    model = make_model(**BOTH, gradient_clipping=1e-12, policy_adam=1.0)
    before = [x.numpy() for x in model.parts["policy"].trainable_variables]
    _, metrics = model.update(make_batch(), tf.constant(1e-3), tf.constant([0, 0]))
    assert float(metrics["gradient_norm/policy"]) > 1e-3
    for old, new in zip(before, model.parts["policy"].trainable_variables, strict=True):
        np.testing.assert_allclose(old, new, atol=1e-9)


def test_table_has_rows_for_both():
    lines = make_model(**BOTH).table().splitlines()
    rows = {line.split()[0]: line.split()[2] for line in lines}
    assert rows["policy"] == "Policy"
    assert rows["value"] == "FeedForward"
    assert not {"policy", "value"} & {
        line.split()[0] for line in make_model().table().splitlines()
    }


def countdown(start):
    """An episode whose state is a number that falls to 0, and is its reward."""
    numbers = np.arange(start, -1, -1, dtype=np.float32)
    rewards = np.concatenate([[0], numbers[1:]]) / 10
    return {
        "state": np.repeat(numbers[:, None] / 10, 3, 1),
        "action": np.zeros((start + 1, 2), np.float32),
        "reward": rewards.astype(np.float32),
    }


@pytest.mark.slow
def test_value_explains_the_returns_of_a_deterministic_toy(tmp_path):
    tf.keras.utils.set_random_seed(0)
    for start in range(3, 11):
        episode_files.write(tmp_path, countdown(start))
    config = make_config(
        use_value=True,
        batch_shape=[8, 11],
        mean_only=True,
        discount=0.9,
        model_size=32,
        value_lr=3e-3,
        overshooting=0,
    )
    model = define_model.define_model(config, SPEC)
    batches = iter(data_lib.make_dataset(config, SPEC, tmp_path, 0))
    update = tf.function(model.update)
    for step in range(600):
        update(next(batches), tf.constant(1e-3), tf.constant([0, step]))
    data = next(batches)
    _, metrics = model.evaluate(data)
    assert float(metrics["value/explained_variance"]) > 0.99
    features = model.cell.features_from_state(model.filter(data).posterior)
    valid = tf.sequence_mask(data["length"] - 1, 11)
    error = (model.parts["value"](features).mean() - data["return"])[valid]
    assert np.sqrt(np.mean(error**2)) < 0.01 * np.max(data["return"])


class Expert:
    """Balances the pole by linear feedback; offers what `simulate` wants of an agent.

    Its gains belong to position, sine of the angle, and their velocities.
    """

    GAINS = np.array([0.3, 3.0, 0.5, 0.8])

    def reset(self):
        pass

    def act(self, observation, exploration, seed):
        actions = observation["state"][:, [0, 2, 3, 4]] @ self.GAINS
        noises = np.random.default_rng(seed).normal(size=actions.shape)
        actions = np.clip(actions + exploration * noises, -1, 1)
        return actions[:, None].astype(np.float32)


def make_agent(model, num_envs):
    """An agent that does what the policy says."""

    def follow(cell, objective_fn, state, action_shape, horizon, warm_start):
        action = model.policy.act(state)
        return planning.Plan(action, action[:, None], tf.zeros([0, num_envs, 0]))

    return mpc_agent.MPCAgent(
        model.acting_cell,
        model.embed,
        model.imagined_reward,
        follow,
        mpc_agent.add_noise,
        horizon=1,
        num_envs=num_envs,
        action_size=1,
    )


@pytest.mark.slow
def test_cloning_an_expert_reaches_its_return(tmp_path):
    tf.keras.utils.set_random_seed(0)
    config = configs.load(
        "newhp",
        {
            "tasks": ["cartpole_balance"],
            "observations": "state",
            "action_repeat": 4,
            "use_policy": True,
            "policy_lr": 3e-3,
            "mean_only": True,
            "model_size": 32,
            "state_size": 8,
            "num_units": 32,
            "batch_shape": [32, 8],
            "image_loss_scale": 30,
        },
    )
    (task,) = tasks.load(config)
    seeds = noise.Seeds(0)
    with batch_env.BatchEnv(
        [batch_env.make(task.env_ctor, "none") for _ in range(2)]
    ) as envs:

        def play(agent, *arguments):
            episodes = simulate.simulate(agent, envs, seeds.next, *arguments)
            return np.mean([episode["reward"].sum() for episode in episodes])

        for _ in range(4):
            play(Expert(), 0.3, tmp_path)
        data_spec = data_lib.make_data_spec(envs)
        model = define_model.define_model(config, data_spec)
        agent = make_agent(model, len(envs))
        untrained, expert = play(agent), play(Expert())
        assert untrained < 0.7 * expert
        batches = iter(data_lib.make_dataset(config, data_spec, tmp_path, 0))
        update = tf.function(model.update)
        for _ in range(1000):
            update(next(batches), tf.constant(3e-3), seeds.next())
        assert play(agent) > 0.95 * expert


def make_trainer(logdir, **params):
    config = make_config(**BOTH, data_loader="dummy", train_steps=6, **params)
    model = define_model.define_model(config, SPEC)
    return trainer.Trainer(logdir, config, model, noise.Seeds(0))


def run(trained, steps):
    """Trains on random data."""
    config = trained._config
    datasets = {
        phase: data_lib.make_dataset(config, SPEC, pathlib.Path(), index)
        for index, phase in enumerate(("train", "test"))
    }
    nothing = (lambda _: [], list, lambda _: 0, lambda: 0)
    phases = trained.run(datasets, *nothing)
    tests = (phase for phase in phases if phase.name == "test")
    list(itertools.islice(tests, steps))


def state(trained):
    """All numbers of policy and value, and their optimizers."""
    model = trained._model
    groups = [model.variables_by_optimizer[key] for key in define_model.BEHAVIOR]
    groups += [model.optimizers[key].variables for key in define_model.BEHAVIOR]
    return [x.numpy() for x in [model._marwil._square, *itertools.chain(*groups)]]


@pytest.mark.slow
def test_a_run_continues_with_all_of_policy_and_value(tmp_path):
    whole = make_trainer(tmp_path, max_steps=16, test_steps=2)
    run(whole, 2)
    again = make_trainer(tmp_path, max_steps=16)
    assert again.restore()
    before = state(make_trainer(tmp_path, max_steps=16))
    for ours, theirs in zip(state(whole), state(again), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert float(before[0]) == 0 < float(state(again)[0])


def test_a_run_does_not_continue_without_its_policy(tmp_path):
    plain = trainer.Trainer(tmp_path, make_config(), make_model(), noise.Seeds(0))
    plain._save()
    with pytest.raises(tf1_checkpoint.CheckpointError, match="missing graph/policy/"):
        make_trainer(tmp_path).restore()


def weights_of(model):
    return {name: x.numpy() for name, x in tf1_checkpoint.names(model).items()}


def test_a_checkpoint_of_the_original_has_no_policy(tmp_path):
    original = make_model()
    path = write_tf1_checkpoint(tmp_path / "model.ckpt", weights_of(original))
    model = make_model(**BOTH)
    before = weights_of(model)
    with pytest.raises(tf1_checkpoint.CheckpointError, match="missing graph/policy/"):
        tf1_checkpoint.load(model, path)
    lacking = tf1_checkpoint.load(model, path, define_model.BEHAVIOR)
    assert lacking == ["policy", "value"]
    for name, weight in weights_of(model).items():
        own = name.startswith(("graph/policy/", "graph/value/"))
        expected = before[name] if own else weights_of(original)[name]
        np.testing.assert_array_equal(weight, expected)


def test_checkpoints_with_a_policy_load_with_and_without_it(tmp_path):
    path = write_tf1_checkpoint(tmp_path / "model.ckpt", weights_of(make_model(**BOTH)))
    for params in ({}, {"use_policy": True}, BOTH):
        assert (
            tf1_checkpoint.load(make_model(**params), path, define_model.BEHAVIOR) == []
        )
    weights = weights_of(make_model(**BOTH))
    del weights["graph/policy/output/bias"]
    path = write_tf1_checkpoint(tmp_path / "damaged.ckpt", weights)
    message = "missing graph/policy/output/bias"
    with pytest.raises(tf1_checkpoint.CheckpointError, match=message):
        tf1_checkpoint.load(make_model(**BOTH), path, define_model.BEHAVIOR)


@pytest.mark.slow
def test_a_run_learns_from_its_episodes_and_tells_how(tmp_path, capsys):
    """From the seed episodes of a real environment to TensorBoard."""
    params = {
        "tasks": ["cartpole_balance"],
        "isolate_envs": "none",
        "batch_shape": [5, 10],
        "max_steps": 20,
    }
    spec = {**SPEC, "state": (5,), "action": (1,)}
    original = define_model.define_model(make_config(**params), spec)
    path = write_tf1_checkpoint(tmp_path / "model.ckpt", weights_of(original))
    more = {**BOTH, "stoch_policy": True, "checkpoint_to_load": path}
    config = make_config(**params, **more)
    list(trainer.train(config, tasks.load(config), tmp_path))
    for phase in ("train", "test"):
        assert {
            "loss/zero_step/policy",
            "loss/zero_step/value",
            "policy/weight",
            "policy/clipped",
            "policy/advantage_square",
            "policy/distance",
            "policy/entropy",
            "value/explained_variance",
        } <= events.read(tmp_path / phase, "scalars").keys()
    printed = capsys.readouterr().out
    assert "\npolicy " in printed
    assert f"Start from {path}, which has no policy and no value.\n" in printed
