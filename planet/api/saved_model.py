"""Agents as SavedModels, which act with TensorFlow alone.

    agent = tf.saved_model.load(path)
    memory = agent.signatures["reset"](seed=tf.constant(0))
    while ...:
        result = agent.signatures["act"](image=image, **memory)
        action = result.pop("action")
        memory = result

The memory is a dict of tensors, whose names begin with `memory`. It includes the seed
of what comes next, so the same memory and observation give the same action.
"""

from __future__ import annotations

import pathlib
from typing import Any

import keras
import tensorflow as tf

from planet.control import mpc_agent
from planet.training import define_model

Tensors = dict[str, tf.Tensor]


def write(
    path: pathlib.Path,
    agent: mpc_agent.MPCAgent,
    model: define_model.Model,
    shape: tuple[int, ...],
) -> None:
    """Writes an agent that acts in one environment.

    Args:
      path: folder, which must not exist.
      agent: made for one environment.
      model: what it plans with.
      shape: what the model sees in a step, [H, W, C] of images, [S] of states.

    Raises:
      ValueError: there is such a file or folder.
    """
    if path.exists():
        raise ValueError(f"{str(path)!r} exists already")
    actor = Actor(agent, model, shape)
    signatures = {"act": actor.act, "reset": actor.reset}
    tf.saved_model.save(actor, str(path), signatures)


class Actor(tf.Module):
    """An agent as functions of an observation and a memory.

    Args:
      agent: made for one environment.
      model: what it plans with.
      shape: what the model sees in a step.
    """

    def __init__(
        self,
        agent: mpc_agent.MPCAgent,
        model: define_model.Model,
        shape: tuple[int, ...],
    ):
        super().__init__(name="agent")
        self._agent = agent
        self._observation = model.observation
        self.weights = [variable.value for variable in model.trainable_variables]
        dtype = tf.uint8 if model.observation == "image" else tf.float32
        self.reset = tf.function(
            self._reset, input_signature=[tf.TensorSpec([], tf.int32, "seed")]
        ).get_concrete_function()
        memory = {
            name: tf.TensorSpec(tensor.shape, tensor.dtype, name)
            for name, tensor in self._reset(0).items()
        }
        self.act = tf.function(self._act).get_concrete_function(
            **{model.observation: tf.TensorSpec(shape, dtype, model.observation)},
            **memory,
        )

    def _reset(self, seed) -> Tensors:
        """The memory at the start of an episode."""
        return self._flatten(self._agent.blank_memory(), tf.stack([seed, 0]))

    def _act(self, **inputs: tf.Tensor) -> Tensors:
        """Action and next memory, from an observation and the memory."""
        observation = {self._observation: inputs.pop(self._observation)[None]}
        blank = self._agent.blank_memory()
        seed = inputs["memory_seed"]
        names = self._flatten(blank, seed)
        names.pop("memory_seed")
        memory = keras.tree.pack_sequence_as(blank, [inputs[name] for name in names])
        no_exploration = tf.zeros([])
        memory, _ = self._agent.decide(observation, memory, no_exploration, seed)
        action = memory["action"][0]
        next_seed = seed + tf.constant([0, 1])
        return {"action": action, **self._flatten(memory, next_seed)}

    @staticmethod
    def _flatten(memory: mpc_agent.Memory, seed: tf.Tensor) -> Tensors:
        """The memory as tensors by names that signatures allow."""
        flat: dict[str, Any] = {}
        for path, tensor in keras.tree.flatten_with_path(memory):
            flat["_".join(map(str, ("memory", *path)))] = tensor
        return {**flat, "memory_seed": tf.cast(seed, tf.int32)}
