"""The training loop: phases, schedules and checkpoints."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Callable, Iterator, Sequence

import ml_collections
import tensorflow as tf
import tqdm

from planet.tools import noise, schedule
from planet.training import define_model, define_summaries

LINES_PER_PHASE = 10
CHECKPOINTS_TO_KEEP = 5


class Trainer:
    """Alternates phases of training and of testing, until enough steps were made.

    Steps count sequences: each batch adds its size. All that a run needs to go on
    after an interruption is in its checkpoints: weights, optimizers, step and seeds.

    Source: Hafner et al. 2019, algorithm 1.

    Args:
      logdir: folder of the run, for checkpoints and event files.
      config: what `planet.scripts.configs.load` returns.
      model: the model to train.
      seeds: source of all randomness.
    """

    def __init__(
        self,
        logdir: pathlib.Path,
        config: ml_collections.ConfigDict,
        model: define_model.Model,
        seeds: noise.Seeds,
    ):
        self._logdir = logdir
        self._config = config
        self._seeds = seeds
        self._batch = config.batch_shape[0]
        self._lengths = {
            "train": math.ceil(config.train_steps / self._batch),
            "test": math.ceil(config.test_steps / self._batch),
        }
        self._step = tf.Variable(0, trainable=False, dtype=tf.int64)
        self._update = tf.function(model.update)
        self._evaluate = tf.function(model.evaluate)
        self._manager = tf.train.CheckpointManager(
            tf.train.Checkpoint(model=model, step=self._step, seeds=seeds),
            str(logdir / "checkpoints"),
            max_to_keep=CHECKPOINTS_TO_KEEP,
        )

    @property
    def step(self) -> int:
        """Sequences seen so far, in training and in testing."""
        return int(self._step.numpy())

    def restore(self) -> bool:
        """Continues from the newest checkpoint; returns whether there is one."""
        return self._manager.restore_or_initialize() is not None

    def run(
        self,
        datasets: dict[str, tf.data.Dataset],
        collect: Callable[[int], Sequence[float]],
        test: Callable[[], Sequence[float]],
        count_episodes: Callable[[str], int],
    ) -> Iterator[float]:
        """Trains until `max_steps`.

        Args:
          datasets: endless batches for the phases `train` and `test`.
          collect: collects episodes if they are due, given the number of sequences
            trained on so far, and returns their returns.
          test: runs episodes without exploration and returns their returns.
          count_episodes: number of episodes stored for a phase.

        Yields:
          The score of each test phase: the mean return of its episodes.

        Raises:
          FloatingPointError: when the loss is not finite any more.
        """
        batches = {phase: iter(dataset) for phase, dataset in datasets.items()}
        writers = define_summaries.make_writers(self._logdir, self.step)
        while self.step < self._config.max_steps:
            epoch, done = divmod(self.step // self._batch, sum(self._lengths.values()))
            phase = "train" if done < self._lengths["train"] else "test"
            report = define_summaries.Report(self.step)
            print(
                f"Phase {phase} (epoch {epoch + 1}, step {self.step} of "
                f"{self._config.max_steps}).",
                flush=True,
            )
            if phase == "train":
                self._train(batches["train"], epoch, done, collect, report)
            else:
                self._test(batches["test"], done - self._lengths["train"], report)
                report.add_scores(test())
                report.print_line(self.step)
            report.set("episodes", count_episodes(phase))
            report.write(writers[phase], self.step)
            if phase == "test" or self.step >= self._config.max_steps:
                self._save()
            if phase == "test":
                yield report.score

    def _train(self, batches, epoch, done, collect, report) -> None:
        """The rest of a train phase of which `done` updates were made before."""
        config, length = self._config, self._lengths["train"]
        for index in _progress("train", done, length):
            trained = (epoch * length + index) * self._batch
            ramp = schedule.linear(trained, config.learning_rate_ramp)
            rate = tf.constant(config.learning_rate * ramp)
            report.add(*self._update(next(batches), rate, self._seeds.next()))
            report.set("learning_rate", rate)
            self._advance(report)
            report.add_scores(collect(trained + self._batch))
            if (index + 1) * LINES_PER_PHASE % length < LINES_PER_PHASE:
                report.print_line(self.step)
            if self.step >= config.max_steps:
                break
            every = config.checkpoint_every
            if every and schedule.due(self.step, self._batch, every):
                self._save()

    def _test(self, batches, done, report) -> None:
        """The losses of a test phase of which `done` batches were seen before."""
        for _ in _progress("test", done, self._lengths["test"]):
            report.add(*self._evaluate(next(batches), self._seeds.next()))
            self._advance(report)

    def _advance(self, report) -> None:
        """Counts a batch, whose losses the report has to find finite."""
        self._step.assign_add(self._batch)
        report.check_finite(self.step)

    def _save(self) -> None:
        """Writes a checkpoint named by the step."""
        self._manager.save(checkpoint_number=self.step)


def _progress(phase: str, done: int, length: int) -> Iterator[int]:
    """Counts the batches of a phase, with a bar on terminals."""
    return tqdm.trange(
        done, length, initial=done, total=length, desc=phase, leave=False, disable=None
    )
