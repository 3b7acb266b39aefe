import keras
import pytest
import tensorflow as tf

from planet.models import rssm
from planet.tools import original_names, tf1_checkpoint


class Inner(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self._scale = self.add_weight((2,), name="any")
        self.moving = self.add_weight((1,), trainable=False)


class Outer(keras.layers.Layer):
    """Holds layers in every possible way."""

    def __init__(self):
        super().__init__()
        self._gru = Inner()
        self._again = self._gru
        self._stack = [Inner(), Inner()]
        self._by_name = {"left": Inner(), "both": (Inner(),)}
        self._chain = keras.Sequential([keras.layers.Dense(1)])
        self._chain(tf.zeros([1, 2]))


def test_places_are_names():
    names = original_names.names({"cell": Outer(), "encoder": Inner()})
    assert sorted(names) == [
        "graph/cell/by_name/both/0/moving",
        "graph/cell/by_name/both/0/scale",
        "graph/cell/by_name/left/moving",
        "graph/cell/by_name/left/scale",
        "graph/cell/chain/layers/0/bias",
        "graph/cell/chain/layers/0/kernel",
        "graph/cell/gru/moving",
        "graph/cell/gru/scale",
        "graph/cell/stack/0/moving",
        "graph/cell/stack/0/scale",
        "graph/cell/stack/1/moving",
        "graph/cell/stack/1/scale",
        "graph/encoder/moving",
        "graph/encoder/scale",
    ]


def test_names_do_not_depend_on_what_was_built_before():
    first, second = (original_names.names({"cell": Outer()}) for _ in range(2))
    assert first.keys() == second.keys()


class Deeper(rssm.RSSM):
    """A user's model, derived from the RSSM."""

    def __init__(self):
        super().__init__(state_size=3, model_size=4)
        self._more = keras.layers.Dense(4)

    def features_from_state(self, state):
        return self._more(super().features_from_state(state))


def make_deeper():
    cell = Deeper()
    _, state = cell.observe(cell.zero_state(1), tf.zeros([1, 2]), tf.zeros([1, 5]))
    cell.features_from_state(state)
    return cell


def test_what_is_inherited_keeps_its_original_names():
    names = original_names.names({"cell": make_deeper()})
    assert "graph/rnn/rssm/transition/gru_cell/w_ru" in names
    assert {name for name in names if "more" in name} == {
        "graph/cell/more/kernel",
        "graph/cell/more/bias",
    }


def save(path, weights):
    """Writes a checkpoint of weights as runs do."""
    model = tf.Module()
    model.weights = weights
    return tf.train.Checkpoint(model=model).save(str(path))


def test_weights_without_an_original_name_are_saved_and_loaded(tmp_path):
    saved, loaded = make_deeper(), make_deeper()
    weights = tf1_checkpoint.names(saved)
    tf1_checkpoint.load(loaded, save(tmp_path / "whole", weights))
    for name, variable in tf1_checkpoint.names(loaded).items():
        assert (variable.numpy() == weights[name].numpy()).all()
    del weights["graph/cell/more/bias"]
    path = save(tmp_path / "short", weights)
    with pytest.raises(tf1_checkpoint.CheckpointError) as error:
        tf1_checkpoint.load(loaded, path)
    assert str(error.value).splitlines()[1:] == ["  missing graph/cell/more/bias"]


class Hidden(keras.layers.Layer):
    """Has a variable that none of its attributes holds."""

    def __init__(self):
        super().__init__()
        self.add_weight((1,), name="lost")


class Clash(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.gate = self.add_weight((1,))
        self._gate = self.add_weight((1,))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Hidden, "hidden.*/lost of cell is in no attribute of Hidden"),
        (Clash, "two variables of the model are named graph/cell/gate"),
    ],
)
def test_a_variable_without_a_name_of_its_own_is_refused(layer, message):
    with pytest.raises(ValueError, match=message):
        original_names.names({"cell": layer()})
