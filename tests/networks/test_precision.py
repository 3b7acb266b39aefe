"""Tests of precisions: what they may change, and what they may not."""

import gc
import pathlib
import re
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from planet.networks import conv_ha, layers, precision
from planet.scripts import configs
from planet.training import define_model
from tests.training.test_define_model import SPEC, make_batch

MODELS = [
    {"model": "rssm"},
    {"model": "rssm_ma"},
    {"model": "drnn"},
    {"model": "rssm", "tap_cell": "rssm"},
]

CPU = pathlib.Path("/proc/cpuinfo")
native = pytest.mark.skipif(
    CPU.is_file() and not re.search("(avx512|amx)_bf16", CPU.read_text()),
    reason="TensorFlow rounds sums twice without instructions for bfloat16",
)


def make_model(products, weights=None, **settings):
    params = {"cnn_depth": 8, "model_size": 32, "precision": products, **settings}
    model = define_model.define_model(configs.load("newhp", params), SPEC)
    for variable, value in zip(model.trainable_variables, weights or (), strict=False):
        variable.assign(value)
    return model


def losses_and_gradient(model, data):
    """Losses, and the gradient of their total as one vector."""
    with tf.GradientTape() as tape:
        losses = model.losses(data, tf.constant([0, 0]))
    gradients = tape.gradient(losses["total"], model.trainable_variables)
    return losses, np.concatenate(
        [gradient.numpy().ravel() for gradient in gradients if gradient is not None]
    )


@native
@pytest.mark.parametrize("settings", MODELS, ids=str)
def test_bfloat16_hardly_changes_losses_and_direction_of_the_gradient(settings):
    keras.utils.set_random_seed(0)
    data = make_batch()
    exact = make_model("float32", **settings)
    weights = [variable.numpy() for variable in exact.trainable_variables]
    rounded = make_model("bfloat16", weights, **settings)
    losses, gradient = losses_and_gradient(exact, data)
    others, other = losses_and_gradient(rounded, data)
    for key, value in losses.items():
        np.testing.assert_allclose(others[key], value, rtol=2e-3, err_msg=key)
    norms = np.linalg.norm(gradient) * np.linalg.norm(other)
    assert gradient @ other / norms > 0.995


@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (lambda: layers.Dense(3), [20_000, 8]),
        (lambda: layers.Conv2D(3, 4), [20, 40, 40, 2]),
        (lambda: layers.Conv2DTranspose(3, 4, 2), [20, 20, 20, 2]),
        (lambda: conv_ha.FromPoint(3, 20), [50, 8]),
        (lambda: conv_ha.ToPixels(3, 6, 2), [20, 20, 20, 2]),
    ],
    ids=["dense", "convolution", "transposed", "from_point", "to_pixels"],
)
def test_gradients_of_biases_are_summed_in_float32(make, inputs):
    values = tf.random.stateless_uniform(inputs, [0, 0])
    gradients = []
    for products in ("float32", "bfloat16"):
        with precision.scope(products):
            layer = make()
        layer.build(inputs)
        layer.kernel.assign(tf.ones_like(layer.kernel))
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.cast(layer(values), tf.float32))
        gradients.append(tape.gradient(loss, layer.bias.value))
    np.testing.assert_allclose(*gradients, rtol=0.01)


def test_only_products_are_rounded():
    model = make_model("bfloat16")
    data = make_batch()
    filtered = model.filter(model.prepare(data))
    for values in (
        model.trainable_variables,
        tf.nest.flatten((filtered.embedded, filtered.prior, filtered.posterior)),
        model.losses(data).values(),
    ):
        assert {tf.as_dtype(value.dtype) for value in values} == {tf.float32}
    assert "products in bfloat16" in model.table()


def test_scope_ends_with_its_block():
    with precision.scope("bfloat16"):
        assert keras.layers.Dense(1).compute_dtype == "bfloat16"
    assert keras.layers.Dense(1).compute_dtype == "float32"


def test_fastest_is_one_of_the_precisions():
    assert precision.fastest() in precision.POLICIES
    assert "products in" in make_model("auto").table()


@pytest.mark.parametrize("products", ["float32", "bfloat16"])
def test_graphs_of_updates_are_freed(products):
    def trace():
        update = tf.function(make_model(products).update)
        inputs = make_batch(), tf.constant(1e-3), tf.constant([0, 0])
        return weakref.ref(update.get_concrete_function(*inputs).graph)

    graph = trace()
    gc.collect()
    assert graph() is None
