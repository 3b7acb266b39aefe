"""PlaNet: latent planning from pixels, on TensorFlow 2.

    agent = planet.load("runs/cheetah/00001")

`load`, `make_env` and `train` are imported when they are first used.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planet.api.agent import Agent as Agent
    from planet.api.agent import load as load
    from planet.api.environment import Env as Env
    from planet.api.environment import make_env as make_env
    from planet.api.training import train as train

# Keras would take the backend of another project from the environment, or from its
# file of settings.
os.environ["KERAS_BACKEND"] = "tensorflow"

__version__ = "1.0.0"
_MODULES = {
    "Agent": "planet.api.agent",
    "Env": "planet.api.environment",
    "load": "planet.api.agent",
    "make_env": "planet.api.environment",
    "train": "planet.api.training",
}
_LIGHT = ("Env", "make_env")  # They do without TensorFlow.
__all__ = ["Agent", "Env", "load", "make_env", "train"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name not in _LIGHT:
        importlib.import_module("planet.tools.tensorflow_start").load()
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
