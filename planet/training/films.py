"""Films of episodes: what the agent saw, and what its model makes of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from planet.control import simulate
from planet.tools import noise, pictures, preprocess
from planet.training import define_model

CONTEXT, DREAM = 5, 45  # Steps that a dream sees, then steps that it imagines.


class Filmer:
    """Makes films of episodes, of three pictures side by side.

    These are the agent's view; its reconstruction from the posterior, which filters all
    that was seen so far; and a dream. That is the reconstruction for five steps, then
    an open-loop prediction for 45, from the actions alone, and then begins anew.

    Args:
      model: the model that draws; its observations are images.
      image_bits: colour depth of the images it draws.
    """

    def __init__(self, model: define_model.Model, image_bits: int):
        self._model = model
        self._image_bits = image_bits
        self._compiled = tf.function(self._step)

    def film(self, episode: simulate.Episode) -> np.ndarray:
        """The frames of an episode, uint8 [T, height, width, 3]."""
        return np.stack(list(self._frames(episode)))

    def draw(self, episode: simulate.Episode) -> Iterator[np.ndarray]:
        """Reconstruction and dream of each image, uint8 [2, H, W, C] for each step."""
        state = self._model.cell.zero_state(1)
        states = {"posterior": state, "dream": state}
        steps = zip(episode["image"], episode["action"], strict=True)
        for index, (image, action) in enumerate(steps):
            states, drawn = self._compiled(
                states,
                tf.constant(image[None]),
                tf.constant(action[None]),
                tf.constant(_dreamt(index) == 0),
                tf.constant([index, 0], tf.int64),
            )
            yield drawn.numpy()

    def _step(self, states, image, action, sees, seed):
        """Next states, and the images decoded from them.

        Args:
          states: posterior and dream of the step before.
          image: uint8 [1, H, W, C].
          action: the action that led there, [1, A].
          sees: whether the dream sees this image, bool [].
          seed: integers [2].
        """
        cell = self._model.cell
        with noise.stream(seed):
            embedded = self._model.embed({"image": image})
            posterior = cell.posterior(states["posterior"], action, embedded)
            imagined = cell.transition(states["dream"], action)
        dream = tf.nest.map_structure(
            lambda *entries: tf.where(sees, *entries), posterior, imagined
        )
        features = tf.concat(
            [cell.features_from_state(state) for state in (posterior, dream)], 0
        )
        drawn = self._model.heads["image"](features).mean()
        drawn = preprocess.postprocess(drawn, self._image_bits)
        return {"posterior": posterior, "dream": dream}, drawn

    def _frames(self, episode) -> Iterator[np.ndarray]:
        """One frame after the other, uint8 [height, width, 3]."""
        total = 0.0
        steps = zip(
            episode["image"], self.draw(episode), episode["reward"], strict=True
        )
        for index, (image, drawn, reward) in enumerate(steps):
            total += float(reward)
            dreamt = _dreamt(index)
            dream = f"dream, {dreamt} steps blind" if dreamt else "dream, seeing"
            captions = "agent's view", "reconstruction", dream
            footer = f"step {index}   reward {reward:.2f}   return {total:.1f}"
            yield pictures.compose([image, *drawn], captions, footer)


def _dreamt(index: int) -> int:
    """For how many steps the dream has been blind at a step of an episode."""
    return max(0, index % (CONTEXT + DREAM) - CONTEXT + 1)
