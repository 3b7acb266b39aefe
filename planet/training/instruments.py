"""Instruments: numbers that tell how far a model and its plans can be trusted.

Open-loop predictions start from the posterior of each step, whose predecessors were
seen, and go on from the actions that were really taken. docs/learning.md says how to
read the numbers.
"""

from __future__ import annotations

import contextlib
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ml_collections
import numpy as np
import tensorflow as tf
from skimage import metrics

from planet.tools import (
    episode_files,
    noise,
    numpy_episodes,
    preprocess,
    tf1_checkpoint,
    unroll,
)
from planet.training import define_model, define_summaries, simulations

DISTANCES = (1, 2, 4, 8, 12, 24)  # Steps since the last observation.
RETURN_STEPS = 12
IMAGES = 16  # Starts from which images are drawn.


class Instruments:
    """Measures a model on sequences.

    Only steps that follow a few observations count, `define_summaries.context`: before,
    velocities cannot be known.

    Args:
      model: the model to measure.
      config: its settings.
      distances: steps since the last observation at which to look; 0, the posterior, is
        always among them.
      images: number of starts from which images are drawn, spread evenly.
    """

    def __init__(
        self,
        model: define_model.Model,
        config: ml_collections.ConfigDict,
        distances: Sequence[int] = DISTANCES,
        images: int = IMAGES,
    ):
        self._model = model
        self._config = config
        self._distances = sorted({0, *distances})
        self._images = images
        # Single steps, so that sequences of any length compile at once.
        self._observe = tf.function(self._observe_step)
        self._imagine = tf.function(self._imagine_step)
        self._predict = tf.function(self._predict_vectors)
        self._draw = tf.function(self._draw_images)

    def measure(self, data: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Measures predictions of a batch of sequences.

        Args:
          data: as for `Model.losses`; tensors or arrays.
          seed: seeds the noise, so that training's random numbers stay the same.

        Returns:
          For each head but the image, by its name: `spread`, the standard deviation of
          the truth, and `rmse`, by distance, both lists with a number for each entry;
          `error`, by distance, the two's ratio, as root mean square over the entries
          that vary; `r2`, 1 - error² at distance 0.

          `image`: `psnr` in dB and `ssim`, by distance. `return`, the sum of the next
          rewards: `steps` of them; `correlation` of imagined and true sum; `bias`, the
          mean of their difference; `imagined_spread`; `true_spread`. `divergence`: its
          `mean` in nats, and the share of the steps `below_free_nats`.

          What is undefined is None, and distances beyond the sequences are left out.
        """
        data = {key: np.asarray(value) for key, value in data.items()}
        truth = _Truth(data, define_summaries.context(data["length"].max()) - 1)
        distances = [x for x in self._distances if truth.valid(x).any()]
        steps = max(x for x in range(RETURN_STEPS + 1) if truth.valid(x).any())
        drawn = _spread_evenly(truth.valid(distances[-1]), self._images)
        divergences, state = self._filter(data, truth, seed)
        predictions, images = [], {}
        for distance in range(max(steps, distances[-1]) + 1):
            if distance:
                action = tf.constant(truth.entries("action", distance))
                noise_seed = tf.constant([seed, -distance], tf.int64)
                state = self._imagine(state, action, noise_seed)
            means = self._predict(state)
            predictions.append({key: value.numpy() for key, value in means.items()})
            if "image" in self._model.heads and distance in distances:
                images[distance] = (
                    self._levels(truth.entries("image", distance, drawn)),
                    self._draw(_choose(state, drawn)).numpy(),
                )
        measures = {
            key: _errors(key, predictions, truth, distances) for key in predictions[0]
        }
        if images:
            measures["image"] = _likeness(images)
        if steps:
            measures["return"] = _returns(predictions, truth, steps)
        measures["divergence"] = {
            "mean": float(divergences.mean()),
            "below_free_nats": float((divergences < self._config.free_nats).mean()),
        }
        return measures

    def _filter(self, data, truth, seed):
        """Divergences of all valid steps, and posteriors [N, ...] of the starts."""
        state = self._model.cell.zero_state(len(data["action"]))
        divergences, posteriors = [], []
        for step in range(data["action"].shape[1]):
            divergence, state = self._observe(
                state,
                tf.constant(data["action"][:, step]),
                tf.constant(data[self._model.observation][:, step]),
                tf.constant([seed, step], tf.int64),
            )
            divergences.append(divergence[step < data["length"]].numpy())
            posteriors.append(state)
        index = tf.stack([truth.sequence, truth.step], 1)
        return np.concatenate(divergences), _choose(unroll.stack(posteriors), index)

    def _observe_step(self, state, action, observation, seed):
        with noise.stream(seed):
            embedded = self._model.embed({self._model.observation: observation})
            prior, posterior = self._model.cell.observe(state, action, embedded)
        divergence = self._model.cell.divergence_from_states(posterior, prior)
        return divergence, posterior

    def _imagine_step(self, state, action, seed):
        with noise.stream(seed):
            return self._model.cell.transition(state, action)

    def _predict_vectors(self, state):
        """Means [N, D] of all heads but the image."""
        features = self._model.cell.features_from_state(state)
        return {
            key: tf.reshape(head(features).mean(), [features.shape[0], -1])
            for key, head in self._model.heads.items()
            if key != "image"
        }

    def _draw_images(self, state):
        """Images [N, H, W, C] between 0 and 1."""
        features = self._model.cell.features_from_state(state)
        image = self._model.heads["image"](features).mean()
        return tf.clip_by_value(image + 0.5, 0.0, 1.0)

    def _levels(self, images):
        """True images as a model would draw them: in the middle of each level."""
        bits = self._config.image_bits
        if images.dtype != np.uint8:
            images = preprocess.postprocess(images, bits).numpy()
        return (images // 2 ** (8 - bits) + np.float32(0.5)) / 2**bits


class _Truth:
    """What was recorded some steps after each of N starts, all steps from `first` on.

    Args:
      data: arrays [B, T, ...] by name, and `length` [B].
      first: the first start of each sequence, less than T.
    """

    def __init__(self, data, first):
        self._data = data
        amount, steps = data["action"].shape[:2]
        places = np.indices([amount, steps])[:, :, first:]
        self.sequence, self.step = places.reshape(2, -1)

    def valid(self, distance):
        """Which starts are so far from the end of their sequence, bool [N]."""
        return self.step + distance < self._data["length"][self.sequence]

    def entries(self, key, distance, rows=slice(None)):
        """Entries [N, ...] of all or some starts; arbitrary ones where not valid."""
        values = self._data[key]
        step = np.minimum(self.step + distance, values.shape[1] - 1)
        return values[self.sequence[rows], step[rows]]

    def vectors(self, key, distance):
        """Entries that are valid, [K, D]."""
        entries = self.entries(key, distance)
        return entries.reshape(len(entries), -1)[self.valid(distance)]


def measure_plans(
    episodes: Sequence[simulations.Simulation], discount: float
) -> dict[str, dict[str, Any]]:
    """Compares what the agent's plans promise with the returns that followed.

    Args:
      episodes: without exploration.
      discount: the one of the planner.

    Returns:
      By task and horizon, `TASK/horizon_H`: the means `promised` and `received`, sums
      of H discounted rewards, over all `decisions` that so many steps follow, and their
      `correlation`; None if undefined. Without such decisions, the entry is missing.
    """
    groups: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for simulation in episodes:
        rewards = simulation.episode["reward"][1:]  # Entry 0 precedes the decisions.
        horizon, promised = simulation.horizon, simulation.promised
        if promised is None or len(rewards) < horizon:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(rewards, horizon)
        received = windows @ discount ** np.arange(horizon)
        pair = promised[: len(received)], received
        groups.setdefault(simulation.kind, []).append(pair)
    measures = {}
    for name, pairs in groups.items():
        promised, received = map(np.concatenate, zip(*pairs, strict=True))
        measures[name] = {
            "promised": float(promised.mean()),
            "received": float(received.mean()),
            "correlation": _correlation(promised, received),
            "decisions": len(received),
        }
    return measures


def scalars(measures: Mapping[str, Any], prefix: str = "") -> Iterator:
    """Names and values of the numbers among measures, for TensorBoard.

    The names are the keys on the way, joined by slashes. Of lists, those with a number
    for each of several entries, there is none.
    """
    for key, value in measures.items():
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, Mapping):
            yield from scalars(value, f"{prefix}{key}/")
        elif isinstance(value, (int, float)):
            yield f"{prefix}{key}", float(value)


def read_newest(
    folder: pathlib.Path, amount: int, spec: Mapping[str, tuple[int, ...] | None]
) -> list[numpy_episodes.Episode]:
    """The newest readable episodes of a folder, oldest first; names the others.

    Args:
      folder: where they are stored.
      amount: how many to read.
      spec: entries to read, with the shape of one step; None: that in the newest.
    """
    found = []
    for path in reversed(episode_files.scan(folder)):
        try:
            episode = episode_files.read(path, spec)
        except episode_files.TornEpisodeError as error:
            print(f"Skip an episode: {error}", file=sys.stderr, flush=True)
            continue
        spec = {key: episode[key].shape[1:] for key in spec}
        found.append(
            {
                key: value if key == "image" else value.astype(np.float32)
                for key, value in episode.items()
                if key in spec
            }
        )
        if len(found) == amount:
            break
    return found[::-1]


def measure_run(
    config: ml_collections.ConfigDict,
    checkpoint: str,
    episodes: Sequence[numpy_episodes.Episode],
    distances: Sequence[int],
    tasks: Sequence = (),
) -> dict[str, Any]:
    """Measures the model of a run on episodes, and its agent in the environment.

    Args:
      config: settings of the run; `test_episodes` is how often the agent plays each of
        the tasks.
      checkpoint: prefix of its files.
      episodes: arrays [T, ...] of each.
      distances: see `Instruments`.
      tasks: some of what `planet.scripts.tasks.load` returns; none if the agent is not
        to play.

    Returns:
      What `Instruments.measure` returns and, as `plan`, what `measure_plans` returns.

    Raises:
      CheckpointError: when the checkpoint can't be read or does not fit the model.
    """
    spec = {key: value.shape[1:] for key, value in episodes[0].items()}
    model = define_model.define_model(config, spec)
    tf1_checkpoint.load(model, checkpoint)
    steps = max(len(episode["reward"]) for episode in episodes)
    cuts = [numpy_episodes.cut(episode, 0, steps, spec) for episode in episodes]
    data = {key: np.stack([cut[key] for cut in cuts]) for key in cuts[0]}
    measures = Instruments(model, config, distances, 4 * IMAGES).measure(data, 0)
    if tasks:
        with contextlib.ExitStack() as stack:
            envs = {
                task.name: stack.enter_context(simulations.make_batch(task, config, 1))
                for task in tasks
            }
            agent = simulations.Simulations(config, envs, model, noise.Seeds(0), {})
            measures["plan"] = measure_plans(agent.test(), config.discount)
    return measures


def _choose(state, index):
    """Some places, [K] or [K, 2], of the first dimensions of a state's entries."""
    index = tf.reshape(index, [len(index), -1])
    return tf.nest.map_structure(lambda entry: tf.gather_nd(entry, index), state)


def _spread_evenly(valid, amount):
    """Indices of at most so many of those that are valid, from first to last."""
    found = np.flatnonzero(valid)
    places = np.linspace(0, len(found) - 1, min(amount, len(found)))
    return found[places.astype(int)]


def _errors(key, predictions, truth, distances):
    """Errors of a head other than the image, by distance."""
    spread = truth.vectors(key, 0).std(0)
    rmse = {}
    for distance in distances:
        predicted = predictions[distance][key][truth.valid(distance)]
        error = predicted - truth.vectors(key, distance)
        rmse[distance] = np.sqrt((error**2).mean(0))
    varies = spread > 1e-6
    errors = dict.fromkeys(distances)
    if varies.any():
        for distance in distances:
            ratios = rmse[distance][varies] / spread[varies]
            errors[distance] = float(np.sqrt((ratios**2).mean()))
    return {
        "spread": spread.tolist(),
        "rmse": {distance: values.tolist() for distance, values in rmse.items()},
        "error": errors,
        "r2": None if errors[0] is None else 1 - errors[0] ** 2,
    }


def _likeness(images):
    """How alike true and drawn images are, by distance; their values are in [0, 1]."""

    def psnr(truth, drawn):
        return metrics.peak_signal_noise_ratio(truth, drawn, data_range=1.0)

    def ssim(truth, drawn):
        return np.mean(
            [
                metrics.structural_similarity(*pair, data_range=1.0, channel_axis=-1)
                for pair in zip(truth, drawn, strict=True)
            ]
        )

    return {
        measure.__name__: {key: float(measure(*pair)) for key, pair in images.items()}
        for measure in (psnr, ssim)
    }


def _returns(predictions, truth, steps):
    """Sums of the rewards of the next steps: imagined ones, and true ones."""
    valid = truth.valid(steps)
    later = range(1, steps + 1)
    imagined = sum(predictions[x]["reward"][valid, 0] for x in later)
    received = sum(truth.entries("reward", x)[valid] for x in later)
    return {
        "steps": steps,
        "correlation": _correlation(imagined, received),
        "bias": float((imagined - received).mean()),
        "imagined_spread": float(imagined.std()),
        "true_spread": float(received.std()),
    }


def _correlation(lhs, rhs):
    """Pearson's; None if it is undefined."""
    if min(np.ptp(lhs), np.ptp(rhs)) < 1e-6:
        return None
    return float(np.corrcoef(lhs, rhs)[0, 1])
