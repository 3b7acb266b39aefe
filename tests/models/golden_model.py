"""Compares models with the original's numbers."""

import pytest
import tensorflow as tf

from planet.networks import basic, conv_ha
from planet.scripts import configs
from planet.tools import overshooting, tf1_checkpoint, unroll
from planet.training import define_model
from tests.golden import golden

# Settings of the cell, which the tests build themselves.
CELL = ("model", "model_size", "state_size", "ma_ppn", "ma_alpha", "cw_tau")
TARGETS = {"reward": (), "position": (3,), "velocity": (2,)}


def check(case, cell):
    """Losses, gradient norm and closed-loop states of a case agree with the cell's."""
    meta, arrays = golden.load(case)
    model = build(meta, cell)
    data = {key: tf.constant(value) for key, value in golden.inputs(meta).items()}
    with tf.GradientTape() as tape:
        losses = model.losses(data)
    gradients = tape.gradient(losses["total"], model.trainable_variables)
    actual = {key: float(value) for key, value in losses.items()}
    actual["grad_norm"] = float(tf.linalg.global_norm(gradients))
    assert actual == pytest.approx(meta["expected"], rel=1e-4)
    embedded = model.encoder(data["image"])
    check_states(arrays, *unroll.closed_loop(cell, embedded, data["action"]))
    return model, data, arrays


def check_states(arrays, prior, posterior):
    """The entries of a case's closed loop agree with those of the given states."""
    states = {"prior": prior, "posterior": posterior}
    for name in arrays:
        group, *path = name.split("/")
        if group == "zero_step":
            kind, key = path
            expected = pytest.approx(arrays[name], rel=1e-4, abs=1e-6)
            assert states[kind][key].numpy() == expected, name


def build(meta, cell):
    """The model of a case around a cell, with the original's weights."""
    known = {key: value for key, value in meta["params"].items() if key not in CELL}
    strength = known.pop("cell_as_prior", 0.0)
    shape = [meta["batch"], meta["length"]]
    params = {"tasks": ["cartpole_balance"], "batch_shape": shape, **known}
    config = configs.load(meta["config"], params)
    with config.unlocked():
        config.cell_as_prior = strength
    heads = {key: basic.FeedForward(shape) for key, shape in TARGETS.items()}
    heads["image"] = conv_ha.Decoder((64, 64, 3))
    model = define_model.Model(cell, conv_ha.Encoder(), heads, config)
    model.build({"image": (64, 64, 3), "action": (meta["action_size"],), **TARGETS})
    load(model, meta)
    return model


def load(model, meta):
    """Sets all weights of a model, or whatever else has `scopes`, to the case's."""
    wanted = tf1_checkpoint.names(model)
    weights = golden.weights(meta)
    weights = {name.removesuffix(":0"): value for name, value in weights.items()}
    assert wanted.keys() == weights.keys()
    for name, variable in wanted.items():
        variable.assign(weights[name])


def check_overshooting(model, data, arrays):
    """The open-loop priors of a case agree with those of the model, by distance."""
    embedded = model.encoder(data["image"])
    _, posterior = unroll.closed_loop(model.cell, embedded, data["action"])
    amount = data["action"].shape[1] - 1
    priors = overshooting.overshooting(model.cell, posterior, data["action"], amount)
    for distance, prior in enumerate(priors[1:], 1):
        for key in ("mean", "stddev"):
            expected = arrays[f"overshooting/prior/{key}"][:, :-distance, distance - 1]
            expected = pytest.approx(expected, rel=1e-4, abs=1e-6)
            assert prior[key].numpy() == expected, (distance, key)
