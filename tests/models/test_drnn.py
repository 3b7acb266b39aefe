import pytest
import tensorflow as tf

from planet.models.drnn import DRNN
from planet.tools import extensions, tf1_checkpoint, unroll
from tests.golden import golden
from tests.tf1 import write_tf1_checkpoint


@pytest.mark.parametrize("case", ["drnn", "drnn_options"])
def test_agrees_with_the_original(case, tmp_path):
    meta, arrays = golden.load(case)
    options = {f"drnn_{key}": value for key, value in meta["options"].items()}
    cell = DRNN(meta["state_size"], meta["model_size"], mean_only=True, **options)
    embedded, action = map(tf.constant, golden.cell_inputs(meta))
    unroll.closed_loop(cell, embedded[:, :1], action[:, :1])  # Creates the weights.
    path = write_tf1_checkpoint(tmp_path / "model.ckpt", golden.weights(meta))
    tf1_checkpoint.load(cell, path)
    prior, posterior = unroll.closed_loop(cell, embedded, action)
    states = {"prior": prior, "posterior": posterior}
    for name in arrays:
        *_, kind, key = name.split("/")
        actual = states[kind][key].numpy()
        assert actual == pytest.approx(arrays[name], rel=1e-4, abs=1e-6), name


def test_is_built_from_settings():
    settings = {"state_size": 3, "model_size": 8, "drnn_sample_to_encoder": False}
    settings |= {"mean_only": True, "seed": 7}
    cell = DRNN(**extensions.arguments(DRNN, settings))
    _, state = cell.observe(cell.zero_state(2), tf.zeros([2, 1]), tf.zeros([2, 1024]))
    assert cell.features_from_state(state).shape == (2, 8)
    weights = tf1_checkpoint.names(cell)
    shape = weights["graph/rnn/drnn/posterior/gru_cell/w_ru"].shape
    assert shape == (1024 + 1 + 8, 16)
