"""What a phase reports: lines for people, scalars for TensorBoard."""

from __future__ import annotations

import collections
import pathlib
import time
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from tensorboard.compat.proto import event_pb2
from tensorboard.summary.writer import event_file_writer

PRINTED = {
    "score": "score",
    "loss": "loss/total",
    "zs_entropy": "zs_entropy",
    "zs_divergence": "zs_divergence",
}


class Report:
    """Means over a phase, and since the last line that was printed.

    Args:
      step: where the phase begins.
    """

    def __init__(self, step: int):
        self._first_step = step
        self._started = time.perf_counter()
        self._phase = collections.defaultdict(list)
        self._recent = collections.defaultdict(list)
        self._latest = {}

    @property
    def score(self) -> float:
        """Mean return of the phase's episodes; nan if there was none."""
        return _mean(self._phase["score"])

    def add(
        self, losses: Mapping[str, tf.Tensor], metrics: Mapping[str, tf.Tensor]
    ) -> None:
        """Adds the losses and metrics of a batch, scalars by name."""
        for key, value in losses.items():
            self._append(f"loss/{key}", float(value))
        for key, value in metrics.items():
            self._append(key, float(value))

    def add_scores(self, scores: Sequence[float]) -> None:
        """Adds returns of episodes."""
        for score in scores:
            self._append("score", float(score))

    def set(self, key: str, value: float) -> None:
        """Sets a value of which the last one counts."""
        self._latest[key] = float(value)

    def check_finite(self, step: int) -> None:
        """Raises FloatingPointError if the last batch has a loss that isn't finite."""
        for key, values in self._phase.items():
            if key.startswith("loss/") and not np.isfinite(values[-1]):
                raise FloatingPointError(f"{key} is {values[-1]} at step {step}")

    def print_line(self, step: int) -> None:
        """Prints the means since the last line."""
        values = [_mean(self._recent[key]) for key in PRINTED.values()]
        values = " ".join(f"{value:.2f}" for value in values)
        print(f"step/{'/'.join(PRINTED)} = [{step} {values}]", flush=True)
        self._recent.clear()

    def write(self, writer: tf.summary.SummaryWriter, step: int) -> None:
        """Writes the means over the phase as scalars, and flushes the file."""
        values = {key: _mean(values) for key, values in self._phase.items() if values}
        seconds = time.perf_counter() - self._started
        values["steps_per_second"] = (step - self._first_step) / seconds
        with writer.as_default(step):
            for key, value in {**values, **self._latest}.items():
                tf.summary.scalar(key, value)
        writer.flush()

    def _append(self, key: str, value: float) -> None:
        self._phase[key].append(value)
        self._recent[key].append(value)


def make_writers(
    logdir: pathlib.Path, step: int
) -> dict[str, tf.summary.SummaryWriter]:
    """Event files for the phases of a run that begins, or continues, at a step.

    What an interrupted run wrote after the checkpoint it continues from is marked as
    void, so that TensorBoard shows one line.
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


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
