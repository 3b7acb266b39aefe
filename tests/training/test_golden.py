"""The original's own numbers, through checkpoints in the original's own format."""

import pytest
import tensorflow as tf

from planet.scripts import configs
from planet.tools import overshooting, tf1_checkpoint, unroll
from planet.training import define_model
from tests.golden import golden
from tests.tf1 import write_tf1_checkpoint

CASES = [
    "rssm",
    "rssm_newhp",
    "rssm_overshooting_5",
    "rssm_lengths",
    "ssm",
    "rssm_ma",
    "clockwork",
    "clockwork_prior",
]


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    """Meta data, arrays, loaded model and batch of a golden case, not to be changed."""
    meta, arrays = golden.load(request.param)
    params = {
        **meta["params"],
        "tasks": ["cartpole_balance"],
        "batch_shape": [meta["batch"], meta["length"]],
        "mean_only": True,
    }
    config = configs.load(meta["config"], params)
    spec = {
        "image": (64, 64, 3),
        "action": (meta["action_size"],),
        "reward": (),
        "position": (3,),
        "velocity": (2,),
    }
    model = define_model.define_model(config, spec)
    path = tmp_path_factory.mktemp(request.param) / "model.ckpt-1000"
    write_tf1_checkpoint(path, golden.weights(meta))
    tf1_checkpoint.load(model, path)
    data = {key: tf.constant(value) for key, value in golden.inputs(meta).items()}
    return meta, arrays, model, data


def test_losses_and_gradients(case):
    meta, _, model, data = case
    with tf.GradientTape() as tape:
        losses = model.losses(data)
    gradients = tape.gradient(losses["total"], model.trainable_variables)
    actual = {key: float(value) for key, value in losses.items()}
    actual["grad_norm"] = float(tf.linalg.global_norm(gradients))
    actual = {key: actual[key] for key in meta["expected"]}
    assert actual == pytest.approx(meta["expected"], rel=1e-4)


def test_states(case):
    meta, arrays, model, data = case
    embedded = model.encoder(data["image"])
    prior, posterior = unroll.closed_loop(model.cell, embedded, data["action"])
    states = {"prior": prior, "posterior": posterior}
    names = [name.split("/") for name in arrays if name.startswith("zero_step")]
    assert names
    for group, name, key in names:
        expected = arrays[f"{group}/{name}/{key}"]
        assert_close(states[name][key], expected, meta["lengths"])


def test_overshooting_states(case):
    meta, arrays, model, data = case
    embedded = model.encoder(data["image"])
    _, posterior = unroll.closed_loop(model.cell, embedded, data["action"])
    if "overshooting/prior/mean" not in arrays:
        assert meta["config"] == "newhp" or "overshooting" in meta["params"]
        return
    amount = arrays["overshooting/prior/mean"].shape[2]
    priors = overshooting.overshooting(model.cell, posterior, data["action"], amount)
    for distance, prior in enumerate(priors[1:], 1):
        lengths = [max(0, length - distance) for length in meta["lengths"]]
        for key in ("mean", "stddev"):
            expected = arrays[f"overshooting/prior/{key}"][:, :, distance - 1]
            assert_close(prior[key], expected, lengths)


def assert_close(actual, expected, lengths):
    """Compares the valid steps of sequences."""
    for sequence, length in enumerate(lengths):
        assert actual[sequence, :length].numpy() == pytest.approx(
            expected[sequence, :length], rel=1e-4, abs=1e-6
        )
