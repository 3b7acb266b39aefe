import pytest
import tensorflow as tf

from planet.models.drnn import DRNN
from planet.tools import unroll
from tests.golden import golden
from tests.models import golden_model


@pytest.mark.parametrize("case", ["drnn", "drnn_options"])
def test_agrees_with_the_original(case):
    meta, arrays = golden.load(case)
    options = {f"drnn_{key}": value for key, value in meta["options"].items()}
    cell = DRNN(meta["state_size"], meta["model_size"], mean_only=True, **options)
    embedded, action = map(tf.constant, golden.cell_inputs(meta))
    unroll.closed_loop(cell, embedded[:, :1], action[:, :1])  # Creates the weights.
    golden_model.load(cell, meta)
    golden_model.check_states(arrays, *unroll.closed_loop(cell, embedded, action))


def test_is_built_from_settings():
    settings = {"state_size": 3, "model_size": 8, "drnn_sample_to_encoder": False}
    cell = DRNN.from_settings({**settings, "mean_only": True, "seed": 7})
    state = cell.transition(cell.zero_state(2), tf.zeros([2, 1]))
    assert cell.features_from_state(state).shape == (2, 8)
    encoder = cell.scopes["rnn/drnn/posterior/gru_cell"]
    assert encoder.w_ru.shape == (1024 + 1 + 8, 16)
