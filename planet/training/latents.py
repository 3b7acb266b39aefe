"""Saves model states to disk, to analyse what they encode."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import tensorflow as tf

from planet.tools import latent_files, noise
from planet.training import define_model

# Data that are not diagnostics.
OTHERS = ("image", "action", "reward", "return", "length")


class Collector:
    """Saves the posteriors of the newest batch at each line of the log.

    They are inferred anew for each line, so that updates need not keep them. Their
    noise depends on the step alone, so that training is the same with and without them.

    Args:
      model: the model to analyse.
      folder: folder of the files, see `latent_files`; the first file creates it.
      step: where the run begins or continues. Files of later steps are removed: they
        were written after the checkpoint from which the run continues.
    """

    def __init__(self, model: define_model.Model, folder: pathlib.Path, step: int = 0):
        self._model = model
        self._folder = folder
        self._last = 0
        self._compiled = tf.function(self._states)
        for last, path in latent_files.scan(folder).items():
            if last > step:
                path.unlink()
            else:
                self._last = last

    def write(self, data: Mapping[str, tf.Tensor], phase: str, step: int) -> None:
        """Writes the file for a line of the log.

        Args:
          data: the newest batch, as for `Model.losses`.
          phase: `train` or `test`.
          step: step of the line.
        """
        seed = tf.constant([step, 0], tf.int64)
        arrays = {k: v.numpy() for k, v in self._compiled(dict(data), seed).items()}
        arrays["phase"] = phase
        latent_files.write(self._folder, self._last, step, arrays)
        self._last = step

    def _states(self, data, seed) -> dict[str, tf.Tensor]:
        """What is saved of a batch: entries [N, ...] of its valid steps."""
        with noise.stream(seed):
            data = self._model.prepare(data)
            _, _, state, mask = self._model.filter(data)
        # The deterministic path has another name in the DRNN.
        parts = {
            "sample": state.get("sample"),
            "belief": state.get("belief", state.get("decoder_state")),
        }
        entries = {key: part for key, part in parts.items() if part is not None}
        entries |= {key: value for key, value in data.items() if key not in OTHERS}
        entries = {k: tf.boolean_mask(v, mask) for k, v in entries.items()}
        return {**entries, "sequence": tf.where(mask)[:, 0]}
