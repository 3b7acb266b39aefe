"""What a phase reports: printed lines; numbers and pictures for TensorBoard."""

from __future__ import annotations

import collections
import contextlib
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm
from tensorboard.compat.proto import event_pb2
from tensorboard.summary.writer import event_file_writer

from planet.tools import interruption, noise, preprocess, summaries, unroll
from planet.training import define_model
from planet.training.simulations import Simulation

PRINTED = {
    "score": "score",
    "loss": "loss/total",
    "zs_entropy": "zs_entropy",
    "zs_divergence": "zs_divergence",
}
VERSIONS = ("prior", "posterior", "open_loop")  # Of what the model predicts.
SEQUENCES = 3  # In pictures.
CONTEXT = 5  # Steps that an open-loop prediction sees before it continues blind.
STRIP = 17  # Frames in a strip; more would be too small on a screen.
VIDEO = 250  # Frames in the video of an episode.


class Report:
    """Means and histograms over a phase, and means since the last printed line.

    Args:
      step: step at which the phase begins.
      discrete: whether actions are one-hot vectors.
    """

    def __init__(self, step: int, discrete: bool = False):
        self._first_step = step
        self._discrete = discrete
        self._started = time.perf_counter()
        self._earlier: dict[str, tuple[float, int]] = {}  # Sums and amounts.
        self._phase = collections.defaultdict(list)
        self._recent = collections.defaultdict(list)
        self._latest = {}
        self._scores = collections.defaultdict(list)
        self._histograms = collections.defaultdict(list)
        self._amounts = collections.Counter()
        self._seconds = collections.defaultdict(float)

    @property
    def score(self) -> float:
        """Mean return of the phase's episodes; nan if there was none."""
        return self._mean("score")

    def add(
        self, losses: Mapping[str, tf.Tensor], metrics: Mapping[str, tf.Tensor]
    ) -> None:
        """Adds the losses and metrics of a batch, scalars by name.

        They stay on the device until a line or a summary needs them.
        """
        for key, value in losses.items():
            self._append(f"loss/{key}", value)
        for key, value in metrics.items():
            self._append(key, value)

    def add_simulations(self, simulations: Sequence[Simulation]) -> None:
        """Adds returns and actions of episodes, and the imagined returns of plans."""
        for simulation in simulations:
            self._append("score", simulation.score)
            self._count("decisions", simulation.decisions, simulation.seconds)
            self._scores[simulation.task].append(simulation.score)
            actions = simulation.episode["action"][1:]  # Entry 0 precedes them.
            if self._discrete:
                actions = actions.argmax(-1)
            self._histograms[f"simulation/{simulation.task}/actions"].append(actions)
            if simulation.plan_returns is not None:
                for index, name in enumerate(("first", "last")):
                    values = simulation.plan_returns[:, index]
                    values = values[np.isfinite(values)]  # Of candidates there were.
                    self._histograms[f"plan_returns/{name}_iteration"].append(values)

    @contextlib.contextmanager
    def updating(self) -> Iterator[None]:
        """Times an update, which is made in the context."""
        start = time.perf_counter()
        yield
        self._count("updates", 1, time.perf_counter() - start)

    def set(self, key: str, value: float) -> None:
        """Sets a value; only the last one of the phase counts."""
        self._latest[key] = float(value)

    def check_finite(self, step: int, files: Sequence[pathlib.Path]) -> None:
        """Raises FloatingPointError if anything of the last batch isn't finite.

        Args:
          step: step of the run.
          files: episodes that the batch was cut from.
        """
        for key, values in self._phase.items():
            checked = key.startswith(("loss/", "gradient_norm/"))
            if checked and not np.isfinite(values[-1]):
                message = f"{key} is {float(values[-1])} at step {step}"
                names = ", ".join(sorted({path.name for path in files}))
                raise FloatingPointError(f"{message}; its batch is of {names}")

    @property
    def state(self) -> dict[str, Any]:
        """What the summaries of an interrupted phase need to go on, for JSON.

        Speeds are not part of it, nor are imagined returns, which only tests have.
        """
        histograms = {
            key: [np.ravel(part).tolist() for part in parts]
            for key, parts in self._histograms.items()
        }
        sums = {key: self._sum(key) for key in self._earlier | self._phase}
        return {"sums": sums, "scores": self._scores, "histograms": histograms}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from the `state` of a report of the same phase."""
        self._earlier = {key: tuple(x) for key, x in state["sums"].items()}
        self._scores.update(state["scores"])
        self._histograms.update(state["histograms"])

    def print_line(self, step: int) -> None:
        """Prints the means since the last line."""
        values = [_mean(self._recent[key]) for key in PRINTED.values()]
        values = " ".join(f"{value:.2f}" for value in values)
        say(f"step/{'/'.join(PRINTED)} = [{step} {values}]")
        self._recent.clear()

    def print_speed(self) -> None:
        """Prints how long the phase took, and what it did in a second."""
        seconds = time.perf_counter() - self._started
        rates = [
            f", {rate:.3g} {kind.replace('_per_second', '/s')}"
            for kind, rate in self._rates().items()
        ]
        say(f"The phase took {seconds:.1f} s{''.join(rates)}.")

    def scalars(self, step: int) -> dict[str, float]:
        """All numbers of the phase, which ends at a step, by name."""
        values = {key: self._mean(key) for key in self._earlier | self._phase}
        seconds = time.perf_counter() - self._started
        values["steps_per_second"] = (step - self._first_step) / seconds
        values |= self._rates()
        if len(self._scores) > 1:
            values |= {f"score/{task}": _mean(x) for task, x in self._scores.items()}
        return {**values, **self._latest}

    def write_histograms(self) -> None:
        """Writes histograms to the default writer."""
        for task, scores in self._scores.items():
            tf.summary.histogram(f"simulation/{task}/returns", scores)
        for key, parts in self._histograms.items():
            tf.summary.histogram(key, np.concatenate([np.ravel(x) for x in parts]))

    def _sum(self, key: str) -> tuple[float, int]:
        """A sum over the phase, and how many values went into it."""
        total, amount = self._earlier.get(key, (0.0, 0))
        if values := self._phase.get(key):
            total += _mean(values) * len(values)
            amount += len(values)
        return total, amount

    def _mean(self, key: str) -> float:
        """A mean over the phase; nan if there was no value."""
        total, amount = self._sum(key)
        return total / amount if amount else float("nan")

    def _count(self, kind: str, amount: int, seconds: float) -> None:
        self._amounts[kind] += amount
        self._seconds[kind] += seconds

    def _rates(self) -> dict[str, float]:
        """Updates and decisions per second of what they alone took."""
        return {
            f"{kind}_per_second": self._amounts[kind] / seconds
            for kind, seconds in sorted(self._seconds.items(), reverse=True)
            if seconds
        }

    def _append(self, key: str, value: tf.Tensor | float) -> None:
        self._phase[key].append(value)
        self._recent[key].append(value)


class Pictures:
    """Draws the model's predictions of sequences, and the agent's episodes.

    There are three versions of what the model predicts at each step: the closed-loop
    prior, before it sees that step; the closed-loop posterior, after it has seen it;
    and the open-loop prediction, which sees the first few steps only.

    Args:
      model: the model to look at.
      image_bits: colour depth of its images.
    """

    def __init__(self, model: define_model.Model, image_bits: int):
        self._model = model
        self._image_bits = image_bits
        self._compiled = tf.function(self._predict)

    def write_batch(self, data: Mapping[str, tf.Tensor], step: int) -> None:
        """Writes the model's predictions of a batch to the default writer.

        These are strips and videos of images, plots of all other heads, and histograms
        of entropies. Nothing is drawn after the end of a sequence.

        Args:
          data: as for `Model.losses`; the first few sequences are drawn.
          step: seeds the noise, so that training's random numbers stay the same.
        """
        some = {key: value[:SEQUENCES] for key, value in data.items()}
        seed = tf.constant([step, 0], tf.int64)
        truth, predictions, entropies, mask = tf.nest.map_structure(
            lambda tensor: tensor.numpy(), self._compiled(some, seed)
        )
        mark = context(mask.shape[1])
        for key in truth:
            interruption.check()
            versions = {name: predictions[name][key] for name in VERSIONS}
            if key == "image":
                _write_images(truth[key], versions, mask, mark)
            else:
                _write_curves(key, truth[key], versions, mask, mark)
        for name, entropy in entropies.items():
            tf.summary.histogram(f"entropy/{name}", entropy[mask])

    def write_simulations(self, simulations: Sequence[Simulation]) -> None:
        """Writes videos and rewards of episodes to the default writer."""
        for simulation in simulations:
            interruption.check()
            group = f"simulation/{simulation.kind}"
            episode = simulation.episode
            if "image" in episode:
                frames = episode["image"]
                summaries.gif(f"{group}/video", frames[:: -(-len(frames) // VIDEO)])
            # Entry 0 follows no action.
            rewards = np.concatenate([[np.nan], episode["reward"][1:]])
            lines = {"reward": rewards[None, :, None]}
            summaries.figure(f"{group}/rewards", summaries.curves("reward", lines))

    def _predict(self, data, seed):
        """Targets and predictions of the heads, entropies, and which steps are valid.

        Predictions are by version and by head, [N, T, ...]; entropies by version,
        [N, T], in nats.
        """
        model, actions = self._model, data["action"]
        cell, seen = model.cell, context(actions.shape[1])
        with noise.stream(seed):
            data = model.prepare(data)
            _, prior, posterior, mask = model.filter(data)
            open_loop = posterior
            if seen < actions.shape[1]:
                last = tf.nest.map_structure(lambda x: x[:, seen - 1], posterior)
                imagined = unroll.open_loop(cell, last, actions[:, seen:])
                open_loop = tf.nest.map_structure(
                    lambda lhs, rhs: tf.concat([lhs[:, :seen], rhs], 1),
                    posterior,
                    imagined,
                )
        states = dict(zip(VERSIONS, (prior, posterior, open_loop), strict=True))
        predictions = {name: self._decode(state) for name, state in states.items()}
        entropies = {
            name: cell.dist_from_state(states[name], mask).entropy()
            for name in ("prior", "posterior")
        }
        truth = {key: self._readable(key, data[key]) for key in model.heads}
        return truth, predictions, entropies, mask

    def _decode(self, state) -> dict[str, tf.Tensor]:
        """Predictions of the heads from states, [N, T, ...]."""
        features = self._model.cell.features_from_state(state)
        return {
            key: self._readable(key, head(features).mean())
            for key, head in self._model.heads.items()
        }

    def _readable(self, key: str, values: tf.Tensor) -> tf.Tensor:
        """Images as uint8, other values as vectors, [N, T, ...]."""
        if key == "image":
            return preprocess.postprocess(values, self._image_bits)
        return tf.reshape(values, [*values.shape[:2], -1])


def _write_images(truth, versions, mask, mark) -> None:
    """Writes strips and videos of images, uint8 [N, T, H, W, C]."""
    visible = mask[..., None, None, None]
    truth = truth * visible
    summaries.image("data/strip", summaries.strips(truth[:, None], STRIP))
    for name, prediction in versions.items():
        interruption.check()
        prediction = prediction * visible
        change = np.diff(prediction.astype(int), axis=1, prepend=prediction[:, :1])
        change, error = (
            (128 + difference // 2).astype(np.uint8)
            for difference in (change, prediction.astype(int) - truth)
        )
        rows = np.stack([truth, prediction, change, error], 1)
        line = mark if name == "open_loop" else None
        summaries.image(
            f"{name}/strip",
            summaries.strips(rows, STRIP, line),
            "Truth, prediction, its change since the frame before, and its error"
            + (", with a line where the model stops seeing." if line else "."),
        )
        video = summaries.side_by_side([truth, prediction, error])
        summaries.gif(f"{name}/video", video, "Truth, prediction, and its error.")


def _write_curves(key, truth, versions, mask, mark) -> None:
    """Writes a plot of vectors, float32 [N, T, D]."""
    lines = {
        name.replace("_", " "): np.where(mask[..., None], values, np.nan)
        for name, values in {"truth": truth, **versions}.items()
    }
    lines["open loop"][:, :mark] = np.nan  # The posterior up to here.
    summaries.figure(f"trajectories/{key}", summaries.curves(key, lines, mark))


def context(steps: int) -> int:
    """Steps to see before an open-loop prediction, at most half of a short sequence."""
    return max(1, min(CONTEXT, steps // 2))


def make_writers(
    logdir: pathlib.Path, step: int
) -> dict[str, tf.summary.SummaryWriter]:
    """Event files for the phases of a run that begins, or continues, at a step.

    What an interrupted run wrote after the checkpoint it continues from is marked as
    void, so that TensorBoard shows a single curve.
    """
    writers = {}
    for phase in ("train", "test"):
        folder = str(logdir / phase)
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        event = event_pb2.Event(wall_time=time.time(), step=step + 1, session_log=start)
        events = event_file_writer.EventFileWriter(folder)
        events.add_event(event)
        events.close()
        writers[phase] = tf.summary.create_file_writer(folder)
    return writers


def say(line: str) -> None:
    """Prints a line at once, above the progress bars of a terminal."""
    with tqdm.tqdm.external_write_mode():
        print(line, flush=True)


def _mean(values: Sequence[tf.Tensor | float]) -> float:
    """The mean, for which tensors are fetched from the device all at once."""
    if not values:
        return float("nan")
    if tf.is_tensor(values[0]):
        values = tf.stack(values).numpy()
    return float(np.mean(values, dtype=np.float64))
