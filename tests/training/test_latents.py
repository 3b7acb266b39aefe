import numpy as np
import pytest
import tensorflow as tf

from planet.scripts import configs
from planet.tools import latent_files, noise, unroll
from planet.training import define_model, latents

SPEC = {"image": (64, 64, 3), "action": (2,), "reward": (), "position": (3,)}
CLOCKWORK = {"model_size": [10, 6], "state_size": [5, 3], "cw_tau": [1, 2]}


def make_model(**params):
    settings = {"tasks": ["dummy"], "dumbnet": True, "overshooting": 0}
    config = configs.load("debug", settings | params)
    tf.keras.utils.set_random_seed(0)
    return define_model.define_model(config, SPEC)


def make_batch(lengths=(4, 2)):
    rng = np.random.default_rng(0)
    batch = {
        key: tf.constant(rng.uniform(-0.5, 0.5, (2, 4, *shape)), tf.float32)
        for key, shape in SPEC.items()
    }
    return batch | {"length": tf.constant(lengths)}


@pytest.mark.parametrize(
    ("params", "sizes"),
    [
        ({}, {"sample": 5, "belief": 10}),
        ({"model": "ssm"}, {"sample": 5}),
        ({"model": "rnn"}, {"belief": 10}),
        ({"model": "drnn"}, {"sample": 5, "belief": 10}),
        ({"model": "rssm_ma"}, {"sample": 5, "belief": 10}),
        (CLOCKWORK, {"sample": 8, "belief": 16}),
    ],
)
def test_file_holds_the_valid_steps(params, sizes, tmp_path):
    model, batch = make_model(**params), make_batch()
    latents.Collector(model, tmp_path / "latents").write(batch, "train", 20)
    (path,) = (tmp_path / "latents").iterdir()
    assert path.name == "latents_0_20.npz"
    arrays = latent_files.read(path)
    assert arrays.keys() == {*sizes, "position", "sequence", "phase"}
    assert {key: arrays[key].shape for key in sizes} == {
        key: (6, size) for key, size in sizes.items()
    }
    assert arrays["sequence"].tolist() == [0, 0, 0, 0, 1, 1]
    assert arrays["phase"] == "train"
    position = batch["position"].numpy()
    np.testing.assert_array_equal(
        arrays["position"], np.concatenate([position[0], position[1, :2]])
    )

    embedded = model.encoder(batch["image"])
    with noise.stream([20, 0]):
        _, posterior = unroll.closed_loop(model.cell, embedded, batch["action"])
    names = {"belief": "decoder_state"} if params.get("model") == "drnn" else {}
    for key in sizes:
        expected = posterior[names.get(key, key)].numpy()
        expected = np.concatenate([expected[0], expected[1, :2]])
        np.testing.assert_allclose(arrays[key], expected, rtol=1e-5, atol=1e-5)


def test_files_follow_one_another(tmp_path):
    model, batch = make_model(), make_batch()
    collector = latents.Collector(model, tmp_path)
    for step in (10, 30, 40):
        collector.write(batch, "train" if step < 40 else "test", step)
    names = ["latents_0_10.npz", "latents_10_30.npz", "latents_30_40.npz"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert list(latent_files.scan(tmp_path)) == [10, 30, 40]
    assert collector._compiled.experimental_get_tracing_count() == 1

    collector = latents.Collector(model, tmp_path, 35)
    assert list(latent_files.scan(tmp_path)) == [10, 30]
    collector.write(batch, "test", 50)
    assert sorted(path.name for path in tmp_path.iterdir())[-1] == "latents_30_50.npz"
