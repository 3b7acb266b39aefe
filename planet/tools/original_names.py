"""Names of variables: those in the original's checkpoints, or else their places.

A variable is named by the attributes that lead to it, such as `gru/w_ru` for the
weight `w_ru` of a cell's layer `_gru`. `ORIGINAL` says which of these places have
another name in the checkpoints of the original; a new layer needs no entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras

# Layers of the RSSM: the original's method that makes them, and its name for them.
_RSSM = {
    "input": ("transition", "dense"),
    "gru": ("transition", "gru_cell"),
    "prior_hidden": ("transition", "dense_1"),
    "prior_mean": ("transition", "dense_2"),
    "prior_stddev": ("transition", "dense_3"),
    "posterior_hidden": ("posterior", "dense"),
    "posterior_mean": ("posterior", "dense_1"),
    "posterior_stddev": ("posterior", "dense_2"),
}
# By class, the places of variables and their scopes in the original. A star stands for
# the index in a list: `dense*` is dense, dense_1 and so on, `cell_*` cell_0, cell_1.
ORIGINAL = {
    "planet.models.rssm.RSSM": {
        layer: f"rnn/rssm/{method}/{name}" for layer, (method, name) in _RSSM.items()
    },
    "planet.models.rssm_ma.MovingAverageRSSM": {
        f"cells/{index}/{layer}": f"rnn/rssm_ma/{method}/{method}{suffix}/{name}"
        for index, suffix in enumerate(("", "_1"))  # The slow and the fast part.
        for layer, (method, name) in _RSSM.items()
    },
    "planet.models.ssm.SSM": {
        "prior_hidden": "rnn/ssm/transition/dense",
        "prior_mean": "rnn/ssm/transition/dense_1",
        "prior_stddev": "rnn/ssm/transition/dense_2",
        "posterior_hidden": "rnn/ssm/posterior/dense",
        "posterior_mean": "rnn/ssm/posterior/dense_1",
        "posterior_stddev": "rnn/ssm/posterior/dense_2",
    },
    "planet.models.drnn.DRNN": {
        "encoder": "rnn/drnn/posterior/gru_cell",
        "hidden": "rnn/drnn/posterior/dense",
        "mean": "rnn/drnn/posterior/dense_1",
        "stddev": "rnn/drnn/posterior/dense_2",
        "decoder": "rnn/drnn/posterior/gru_cell_1",
    },
    "planet.models.rnn.RNN": {
        "prior": "rnn/rnn/transition/gru_cell",
        "posterior": "rnn/rnn/posterior/gru_cell",
    },
    "planet.models.clockwork.Clockwork": {"cells/*": "cell_*"},
    "planet.networks.basic.FeedForward": {"dense/*": "dense*"},
    "planet.networks.dense.Encoder": {"dense/*": "dense*"},
    "planet.networks.conv_ha.Encoder": {"convolutions/*": "conv2d*"},
    "planet.networks.conv_ha.Decoder": {
        "dense": "dense",
        "transposed/*": "conv2d_transpose*",
    },
}
# Attributes that every layer has: Keras' own, and those of TensorFlow's checkpoints.
_KERAS = frozenset(vars(keras.layers.Layer()))
_TENSORFLOW = "_self_"

# A variable's place: the steps from a layer to it, each with the object it leads to.
_Place = tuple[tuple[str, Any], ...]


def names(parts: Mapping[str, keras.layers.Layer]) -> dict[str, keras.Variable]:
    """The variables of the parts of a model by name.

    Args:
      parts: layers by name. The original has no scope `cell`: original names of
        variables in that part get no prefix.

    Returns:
      Variables by name, for example `graph/rnn/rssm/transition/dense/kernel` or
      `graph/cell/attention/query`.

    Raises:
      ValueError: a variable of a part can't be found in its attributes, or two
        variables would have one name.
    """
    named = {}
    for part, layer in parts.items():
        found = set()
        for place in _places(layer, set()):
            variable = place[-1][1]
            if id(variable) in found:
                continue
            found.add(id(variable))
            original = _name(layer, place)
            plain = "/".join(step for step, _ in place)
            name = original if part == "cell" and original != plain else None
            name = f"graph/{name or f'{part}/{original}'}"
            if name in named:
                raise ValueError(f"two variables of the model are named {name}")
            named[name] = variable
        for variable in layer.variables:
            if id(variable) not in found:
                raise ValueError(
                    f"the variable {variable.path} of {part} is in no attribute of "
                    f"{type(layer).__name__} or of its layers"
                )
    return named


def _places(layer: keras.layers.Layer, visited: set[int]) -> Iterator[_Place]:
    """Places of the variables of a layer and of the layers in it."""
    if id(layer) in visited:
        return
    visited.add(id(layer))
    attributes = {
        key: value
        for key, value in vars(layer).items()
        if key not in _KERAS and not key.startswith(_TENSORFLOW)
    }
    if isinstance(layer, keras.Model):  # Keras tracks the layers of these by itself.
        attributes = {"layers": layer.layers, **attributes}
    for attribute, value in attributes.items():
        for step, child in _entries(attribute.lstrip("_"), value):
            if isinstance(child, keras.Variable):
                yield ((step, child),)
            elif isinstance(child, keras.layers.Layer):
                for place in _places(child, visited):
                    yield ((step, child), *place)


def _entries(step: str, value: Any) -> Iterator[tuple[str, Any]]:
    """An attribute, or the entries of a list or dict in it, with their steps."""
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _entries(f"{step}/{key}", entry)
    else:
        yield step, value


def _name(layer: keras.layers.Layer, place: _Place) -> str:
    """The name of a variable at a place in a layer."""
    for length in range(len(place), 0, -1):
        scope = _original(type(layer), "/".join(step for step, _ in place[:length]))
        if scope:
            return f"{scope}/{_name(place[length - 1][1], place[length:])}"
    (step, child), *rest = place
    return f"{step}/{_name(child, tuple(rest))}" if rest else step


def _original(kind: type, path: str) -> str | None:
    """The original's scope for a path of attributes in a class or one of its bases."""
    stem, _, index = path.rpartition("/")
    for base in kind.__mro__:
        table = ORIGINAL.get(f"{base.__module__}.{base.__qualname__}", {})
        if path in table:
            return table[path]
        if scope := index.isdecimal() and table.get(f"{stem}/*"):
            number = index if scope.endswith("_*") else f"_{index}" * (index != "0")
            return scope.replace("*", number)
    return None
