import numpy as np
import pytest
import tensorflow as tf

from planet.control.wrappers import observations
from planet.scripts import configs
from planet.tools import tf1_checkpoint
from planet.training import define_model, latents
from tests.tf1 import write_tf1_checkpoint

SPEC = {
    "image": (64, 64, 3),
    "action": (2,),
    "reward": (),
    "orientations": (3,),
    "height": (),
}
SIZES = {
    "dumbnet": True,
    "batch_shape": [3, 6],
    "model_size": 8,
    "state_size": 4,
    "gradient_heads": ["image", "reward"],
}


def make_model(**params):
    config = configs.load(
        "default", {"tasks": ["walker_walk"], **SIZES, "free_nats": 0.1, **params}
    )
    return define_model.define_model(config, SPEC)


def make_batch(lengths=(6, 6, 6), seed=0):
    random = np.random.default_rng(seed)
    batch = {
        key: tf.constant(random.uniform(-0.5, 0.5, (3, 6, *shape)), tf.float32)
        for key, shape in SPEC.items()
    }
    return {**batch, "length": tf.constant(lengths)}


@pytest.fixture(scope="module")
def model():
    return make_model(mean_only=True)


def test_names_and_sum_of_the_losses(model):
    losses = {key: float(value) for key, value in model.losses(make_batch()).items()}
    heads = ["image", "reward", "orientations", "height"]
    extra = ["divergence", "global_divergence"]
    expected = [f"zero_step/{key}" for key in [*heads, *extra]]
    expected += [f"overshooting/{key}" for key in [*heads[1:], "divergence"]]
    assert sorted(losses) == sorted([*expected, "total"])
    scales = {
        "zero_step/reward": 10,
        "zero_step/global_divergence": 0.1,
        "overshooting/reward": 100,
    }
    total = sum(scales.get(key, 1) * losses[key] for key in expected)
    assert losses["total"] == pytest.approx(total)


@pytest.mark.parametrize("overshooting", [0, 1])
def test_short_distances_turn_overshooting_off(overshooting):
    losses = make_model(overshooting=overshooting).losses(make_batch())
    assert not any(key.startswith("overshooting") for key in losses)


@pytest.mark.parametrize("lengths", [(6, 3, 1), (1, 1, 1), (2, 0, 6)])
def test_short_sequences_give_finite_losses_and_gradients(model, lengths):
    with tf.GradientTape() as tape:
        losses = model.losses(make_batch(lengths))
    gradients = tape.gradient(losses["total"], model.trainable_variables)
    assert np.isfinite([float(value) for value in losses.values()]).all()
    assert np.isfinite(float(tf.linalg.global_norm(gradients)))


def test_padding_does_not_matter(model):
    batch = make_batch((6, 3, 1))
    other = make_batch((6, 3, 1), seed=1)
    keep = tf.sequence_mask(batch["length"], 6).numpy()
    mixed = {
        key: tf.constant(
            np.where(
                keep.reshape(keep.shape + (1,) * (value.ndim - 2)), value, other[key]
            )
        )
        for key, value in batch.items()
        if key != "length"
    }
    expected, actual = (
        {key: float(value) for key, value in model.losses(x).items()}
        for x in (batch, {**mixed, "length": batch["length"]})
    )
    assert actual == pytest.approx(expected, rel=1e-5)


def test_divergence_is_averaged_over_the_valid_steps():
    model = make_model(mean_only=True, free_nats=1000.0)
    losses = model.losses(make_batch((6, 3, 1)))
    assert float(losses["zero_step/divergence"]) == pytest.approx(1000.0)
    valid = [sum(max(0, n - d) > 0 for d in range(1, 6)) for n in (6, 3, 1)]
    expected = 1000.0 * np.mean(valid) / 5
    assert float(losses["overshooting/divergence"]) == pytest.approx(expected)


@pytest.mark.parametrize("trained", [False, True])
def test_only_gradient_heads_train_the_model_and_not_by_overshooting(trained):
    heads = ["image", "reward"] + ["height"] * trained
    model = make_model(gradient_heads=heads)
    with tf.GradientTape(persistent=True) as tape:
        losses = model.losses(make_batch())
    own = model.heads["height"].trainable_variables
    others = model.encoder.trainable_variables + model.cell.trainable_variables
    for term, reaches in (("zero_step", trained), ("overshooting", False)):
        loss = losses[f"{term}/height"]
        assert float(tf.linalg.global_norm(tape.gradient(loss, own))) > 0
        gradients = tape.gradient(loss, others)
        assert any(gradient is not None for gradient in gradients) == reaches


def test_time_agnostic_predictor_learns_from_later_steps():
    model = make_model(model="ssm", tap_cell="ssm", mean_only=True)
    with tf.GradientTape() as tape:
        losses = model.losses(make_batch((6, 3, 1)))
    gradients = tape.gradient(losses["total"], model.tap_cell.trainable_variables)
    assert all(float(tf.norm(gradient)) > 0 for gradient in gradients[6:])
    terms = {key for key in losses if key.startswith("time_agnostic/")}
    keys = ["image", "reward", "orientations", "height", "global_divergence"]
    assert terms == {f"time_agnostic/{key}" for key in keys}
    assert all(float(losses[term]) > 0 for term in terms)
    scales = {"reward": 10, "global_divergence": 0.1, "overshooting/reward": 100}
    total = sum(
        scales.get(key, scales.get(key.split("/")[1], 1)) * float(value)
        for key, value in losses.items()
        if key != "total"
    )
    assert float(losses["total"]) == pytest.approx(total, rel=1e-5)


def test_disagreement_of_the_cells_lowers_the_imagined_reward():
    model = make_model(tap_cell="rssm")
    random = np.random.default_rng(0)
    state = {
        key: tf.constant(random.uniform(0.5, 1.0, (4, 3, size)), tf.float32)
        for key, size in model.cell.state_sizes.items()
    }
    same = model.imagined_reward({"cell": state, "tap": state}).numpy()
    moved = {
        **state,
        "mean": tf.tensor_scatter_nd_add(
            state["mean"], [[1, 2]], tf.ones([1, 4]) * 2.0
        ),
    }
    lowered = model.imagined_reward({"cell": state, "tap": moved}).numpy()
    penalty = same - lowered
    assert 0 < penalty[1, 2] <= same[1].std() + 1e-6  # Of its own environment.
    penalty[1, 2] = 0
    assert penalty == pytest.approx(0, abs=1e-6)


def test_table_counts_the_parameters_of_all_parts():
    model = make_model(
        tap_cell="rssm", model_size=[8, 6], state_size=[4, 2], cw_tau=[1, 2]
    )
    lines = model.table().splitlines()
    names = ["part", "encoder", "cell", "tap_cell"]
    heads = [f"head_{key}" for key in ("reward", "orientations", "height", "image")]
    assert [line.split()[0] for line in lines] == [*names, *heads, "all"]
    assert "Clockwork of mean 6, stddev 6, sample 6, belief 14" in lines[2]
    counts = [int(line.split()[1].replace(",", "")) for line in lines[1:]]
    assert sum(counts[:-1]) == counts[-1]


def test_update_moves_every_variable_and_compiles_once():
    model = make_model()
    before = [variable.numpy() for variable in model.trainable_variables]
    update = tf.function(model.update)
    for step in range(3):
        batch = make_batch(seed=step)
        _, metrics = update(batch, tf.constant(1e-3), tf.constant([0, step]))
    assert update.experimental_get_tracing_count() == 1
    for old, variable in zip(before, model.trainable_variables, strict=True):
        assert not np.array_equal(old, variable.numpy()), variable.path
    norms = {key for key in metrics if key.startswith("gradient_norm/")}
    assert norms == {
        f"gradient_norm/{key}" for key in ("model", "orientations", "height")
    }


def test_update_is_a_function_of_weights_data_and_seed():
    first, second = make_model(), make_model()
    for ours, theirs in zip(
        first.trainable_variables, second.trainable_variables, strict=True
    ):
        theirs.assign(ours)
    for model in (first, second):
        for step in range(2):
            model.update(make_batch(), tf.constant(1e-2), tf.constant([3, step]))
    for ours, theirs in zip(
        first.trainable_variables, second.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_gradients_are_clipped_by_their_global_norm():
    free, clipped = make_model(), make_model(gradient_clipping=1e-6)
    for ours, theirs in zip(
        free.trainable_variables, clipped.trainable_variables, strict=True
    ):
        theirs.assign(ours)
    seed = tf.constant([0, 0])
    _, metrics = clipped.update(make_batch(), tf.constant(1e-3), seed)
    assert float(metrics["gradient_norm/model"]) > 1
    moved = [
        np.abs(ours.numpy() - theirs.numpy()).max()
        for ours, theirs in zip(
            free.trainable_variables, clipped.trainable_variables, strict=True
        )
    ]
    assert max(moved) < 1e-4  # Adam's epsilon outweighs such gradients.


def test_observations_cannot_have_the_name_of_a_part_a_loss_or_another_entry():
    model = make_model(model="ssm", tap_cell="ssm", mean_only=True)
    parts = {name for name in model.parts if not name.startswith("head_")}
    taken = {*parts, *define_model.LOSS_TERMS, *latents.OTHERS}
    assert taken <= observations.RESERVED


def test_dumbnet_is_small():
    small, large = make_model(), make_model(dumbnet=False)
    counts = [
        sum(int(tf.size(x)) for x in part.trainable_variables)
        for part in (small.heads["image"], large.heads["image"])
    ]
    assert counts[0] < counts[1] / 10
    assert small.encoder(tf.zeros([2, 64, 64, 3])).shape == (2, 1024)


@pytest.mark.parametrize("channels", [1, 3])
def test_sees_and_draws_images_of_one_or_three_channels(channels):
    config = configs.load("default", {"tasks": ["walker_walk"], **SIZES})
    spec = {"image": (64, 64, channels), "action": (2,), "reward": ()}
    model = define_model.define_model(config, spec)
    image = np.random.default_rng(0).integers(0, 256, (2, *spec["image"]), np.uint8)
    assert model.embed({"image": image}).shape == (2, 1024)
    _, posterior = model.cell.observe(
        model.cell.zero_state(2), tf.zeros([2, 2]), model.embed({"image": image})
    )
    drawn = model.heads["image"](model.cell.features_from_state(posterior)).mean()
    assert drawn.shape == image.shape


def test_learns_from_state_observations():
    config = configs.load("debug", {"observations": "state", "batch_shape": [3, 6]})
    assert config.gradient_heads == ["state", "reward"]
    spec = {"state": (7,), "action": (2,), "reward": ()}
    model = define_model.define_model(config, spec)
    random = np.random.default_rng(0)
    batch = {
        key: tf.constant(random.uniform(-1, 1, (3, 6, *shape)), tf.float32)
        for key, shape in spec.items()
    }
    batch["length"] = tf.constant([6, 4, 1])
    update, seed = tf.function(model.update), tf.constant([0, 1])
    losses, _ = update(batch, tf.constant(1e-3), seed)
    assert {"zero_step/state", "zero_step/reward"} < set(losses)
    assert not {"overshooting/state", "zero_step/image"} & set(losses)
    assert all(np.isfinite(float(loss)) for loss in losses.values())
    assert model.embed({"state": batch["state"][:, 0]}).shape == (3, 10)
    for _ in range(200):
        later, _ = update(batch, tf.constant(1e-2), seed)
    assert float(later["zero_step/state"]) < float(losses["zero_step/state"])


def make_weights(model):
    variables = tf1_checkpoint.names(model)
    return {name: np.full(x.shape, 0.5, np.float32) for name, x in variables.items()}


def test_loads_a_tf1_checkpoint(tmp_path):
    model = make_model()
    path = write_tf1_checkpoint(tmp_path / "model.ckpt", make_weights(model))
    tf1_checkpoint.load(model, path)
    assert all((x.numpy() == 0.5).all() for x in model.trainable_variables)


def test_lists_what_does_not_fit_in_a_checkpoint(tmp_path):
    model = make_model()
    weights = make_weights(model)
    before = [variable.numpy() for variable in model.trainable_variables]
    del weights["graph/head_reward/dense/bias"]
    weights["graph/head_touch/dense/bias"] = np.zeros(2, np.float32)
    weights["graph/encoder/conv2d/bias"] = np.zeros(7, np.float32)
    path = write_tf1_checkpoint(tmp_path / "model.ckpt", weights)
    with pytest.raises(tf1_checkpoint.CheckpointError) as error:
        tf1_checkpoint.load(model, path)
    lines = str(error.value).splitlines()
    assert lines[1:] == [
        "  missing graph/head_reward/dense/bias",
        "  not in the model: graph/head_touch/dense/bias",
        "  graph/encoder/conv2d/bias has shape (7,), the model wants (256,)",
    ]
    for old, variable in zip(before, model.trainable_variables, strict=True):
        assert np.array_equal(old, variable.numpy())


def test_unreadable_checkpoint(tmp_path):
    with pytest.raises(tf1_checkpoint.CheckpointError, match="cannot read"):
        tf1_checkpoint.load(make_model(), tmp_path / "missing.ckpt")
