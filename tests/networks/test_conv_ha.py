import keras
import numpy as np
import pytest
import tensorflow as tf

from planet.networks import conv_ha
from planet.scripts import configs
from planet.training import define_model


def make_model(channels=3, **params):
    config = configs.load("debug", {"tasks": ["dummy"], **params})
    spec = {"image": (64, 64, channels), "action": (2,), "reward": ()}
    return define_model.define_model(config, spec)


def shapes(layers, inputs):
    """What each layer makes of a single input, without the batch axis."""
    found = []
    for layer in layers:
        inputs = layer(inputs)
        found.append(tuple(inputs.shape[1:]))
    return found


def kernels(part):
    return [
        tuple(x.shape) for x in part.trainable_variables if x.path.endswith("kernel")
    ]


@pytest.mark.parametrize("channels", [1, 3])
def test_layers_of_the_encoder(channels):
    encoder = conv_ha.Encoder()
    assert encoder(tf.zeros([2, 3, 64, 64, channels])).shape == (2, 3, 1024)
    assert shapes(encoder.convolutions, tf.zeros([1, 64, 64, channels])) == [
        (31, 31, 32),
        (14, 14, 64),
        (6, 6, 128),
        (2, 2, 256),
    ]
    assert kernels(encoder) == [
        (4, 4, channels, 32),
        (4, 4, 32, 64),
        (4, 4, 64, 128),
        (4, 4, 128, 256),
    ]


@pytest.mark.parametrize("channels", [1, 3])
def test_layers_of_the_decoder(channels):
    decoder = conv_ha.Decoder((64, 64, channels))
    dist = decoder(tf.zeros([2, 3, 7]))
    assert dist.mean().shape == (2, 3, 64, 64, channels)
    assert dist.log_prob(tf.zeros([2, 3, 64, 64, channels])).shape == (2, 3)
    assert shapes([decoder.dense, *decoder.transposed], tf.zeros([1, 7])) == [
        (1024,),
        (5, 5, 128),
        (13, 13, 64),
        (30, 30, 32),
        (64, 64, channels),
    ]
    assert kernels(decoder) == [
        (7, 1024),
        (5, 5, 128, 1024),
        (5, 5, 64, 128),
        (6, 6, 32, 64),
        (6, 6, channels, 32),
    ]


def test_activations():
    """All are relu but those of the vector that is drawn and of what is drawn."""
    random = np.random.default_rng(0)
    images = tf.constant(random.normal(size=(4, 64, 64, 3)), tf.float32)
    features = tf.constant(random.normal(size=(4, 7)), tf.float32)
    encoder, decoder = conv_ha.Encoder(), conv_ha.Decoder((64, 64, 3))
    encoder(images)
    decoder(features)
    drawing = [decoder.dense, *decoder.transposed]
    for layers, hidden, linear in (
        (encoder.convolutions, images, []),
        (drawing, features, [drawing[0], drawing[-1]]),
    ):
        for layer in layers:
            hidden = layer(hidden)
            assert (np.min(hidden) < 0) == (layer in linear), layer.name
            assert np.max(hidden) > 0


def test_encoder_and_decoder_keep_every_image_apart():
    random = np.random.default_rng(0)
    images = tf.constant(random.uniform(-0.5, 0.5, (2, 3, 64, 64, 3)), tf.float32)
    encoder, decoder = conv_ha.Encoder(), conv_ha.Decoder((64, 64, 3))
    embedded = encoder(images)
    drawn = decoder(embedded).mean()
    for index in np.ndindex(2, 3):
        alone = encoder(images[index][None])
        np.testing.assert_allclose(embedded[index], alone[0], atol=1e-5)
        np.testing.assert_allclose(drawn[index], decoder(alone).mean()[0], atol=1e-5)


def test_from_point_is_a_transposed_convolution():
    random = np.random.default_rng(0)
    inputs = tf.constant(random.normal(size=(4, 6)), tf.float32)
    ours = conv_ha.FromPoint(3, 5)
    theirs = keras.layers.Conv2DTranspose(3, 5, 2, activation="relu")
    ours.build((None, 6))
    theirs.build((None, 1, 1, 6))
    weights = [random.normal(size=shape) for shape in ((5, 5, 3, 6), (3,))]
    ours.set_weights(weights)
    theirs.set_weights(weights)
    expected = theirs(inputs[:, None, None])
    np.testing.assert_allclose(ours(inputs), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("depth", [4, 16])
def test_depth_scales_all_filters(depth):
    model = make_model(cnn_depth=depth)
    assert [shape[-1] for shape in kernels(model.encoder)] == [
        depth,
        2 * depth,
        4 * depth,
        8 * depth,
    ]
    assert [shape[2] for shape in kernels(model.heads["image"])[1:]] == [
        4 * depth,
        2 * depth,
        depth,
        3,
    ]
    assert model.embed({"image": np.zeros([2, 64, 64, 3], np.uint8)}).shape == (
        2,
        32 * depth,
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_dumbnet(channels):
    model = make_model(channels, dumbnet=True)
    assert kernels(model.encoder) == [(4, 4, channels, 256)]
    sizes = [kernel[2] for kernel in kernels(model.heads["image"])[1:]]
    assert sizes == [2, 2, 2, channels]
    embedded = model.embed({"image": np.zeros([2, 64, 64, channels], np.uint8)})
    assert embedded.shape == (2, 1024)
    _, posterior = model.cell.observe(
        model.cell.zero_state(2), tf.zeros([2, 2]), embedded
    )
    features = model.cell.features_from_state(posterior)
    assert model.heads["image"](features).mean().shape == (2, 64, 64, channels)


def test_to_pixels_is_a_transposed_convolution():
    ours, theirs = conv_ha.ToPixels(3, 6, 2), keras.layers.Conv2DTranspose(3, 6, 2)
    images = tf.random.stateless_normal([2, 30, 30, 5], [0, 0])
    upstream = tf.random.stateless_normal([2, 64, 64, 3], [0, 1])
    results = []
    for layer in (theirs, ours):
        layer.build(images.shape)
        layer.set_weights(
            [tf.random.stateless_normal(w.shape, [0, 2]) for w in theirs.weights]
        )
        with tf.GradientTape() as tape:
            tape.watch(images)
            output = layer(images)
        variables = layer.trainable_variables
        results.append([output, *tape.gradient(output, [images, *variables], upstream)])
    for expected, found in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
