"""The training loop: phases, schedules and checkpoints."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import ml_collections
import tensorflow as tf
import tqdm

from planet.tools import noise, schedule
from planet.training import define_model, define_summaries, latents
from planet.training.define_summaries import Simulation

LINES_PER_PHASE = 10
CHECKPOINTS_TO_KEEP = 5
PROGRESS = (
    "{desc}: {percentage:.0f}% |{bar}| {n_fmt}/{total_fmt}, {rate_noinv_fmt}, "
    "{remaining} left{postfix}"
)


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
        self._model = model
        self._seeds = seeds
        self._batch = config.batch_shape[0]
        self._lengths = {
            "train": math.ceil(config.train_steps / self._batch),
            "test": math.ceil(config.test_steps / self._batch),
        }
        self._step = tf.Variable(0, trainable=False, dtype=tf.int64)
        self._score = math.nan
        self._latents: latents.Collector | None = None
        self._update = tf.function(model.update)
        self._evaluate = tf.function(model.evaluate)
        self._pictures = define_summaries.Pictures(model, config.image_bits)
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
        datasets: Mapping[str, tf.data.Dataset],
        collect: Callable[[int], Sequence[Simulation]],
        test: Callable[[], Sequence[Simulation]],
        count_episodes: Callable[[str], int],
    ) -> Iterator[float]:
        """Trains until `max_steps`.

        Args:
          datasets: endless batches for the phases `train` and `test`.
          collect: collects episodes if they are due, given the number of sequences
            trained on so far, and returns those for training.
          test: runs episodes without exploration.
          count_episodes: number of episodes stored for a phase.

        Yields:
          The score of each test phase: the mean return of its episodes.

        Raises:
          FloatingPointError: when the loss is not finite any more.
        """
        config = self._config
        batches = {phase: iter(dataset) for phase, dataset in datasets.items()}
        writers = define_summaries.make_writers(self._logdir, self.step)
        if config.collect_latents:
            folder = self._logdir / "latents"
            self._latents = latents.Collector(self._model, folder, self.step)
        while self.step < config.max_steps:
            epoch, done = divmod(self.step // self._batch, sum(self._lengths.values()))
            phase = "train" if done < self._lengths["train"] else "test"
            report = define_summaries.Report(self.step, config.discrete_action)
            define_summaries.say(
                f"Phase {phase} (epoch {epoch + 1}, step {self.step} of "
                f"{config.max_steps})."
            )
            if phase == "train":
                data = self._train(batches["train"], epoch, done, collect, report)
            else:
                done -= self._lengths["train"]
                data = self._test(batches["test"], epoch, done, report)
                simulations = test()
                report.add_simulations(simulations)
                self._print_line(report, phase, data)
                self._score = report.score
            report.set("episodes", count_episodes(phase))
            with writers[phase].as_default(self.step):
                report.write(self.step)
                self._pictures.write_batch(data, self.step)
                if phase == "test":
                    self._pictures.write_simulations(simulations)
            writers[phase].flush()
            if phase == "test" or self.step >= config.max_steps:
                self._save()
            if phase == "test":
                yield report.score

    def _train(self, batches, epoch, done, collect, report) -> dict[str, tf.Tensor]:
        """The rest of a train phase of which `done` updates were made before.

        Returns:
          The last batch.
        """
        config, length = self._config, self._lengths["train"]
        with self._progress("train", epoch, done) as progress:
            for index in range(done, length):
                trained = (epoch * length + index) * self._batch
                ramp = schedule.linear(trained, config.learning_rate_ramp)
                rate = tf.constant(config.learning_rate * ramp)
                data = next(batches)
                report.add(*self._update(data, rate, self._seeds.next()))
                report.set("learning_rate", rate)
                self._advance(report, progress)
                report.add_simulations(collect(trained + self._batch))
                if (index + 1) * LINES_PER_PHASE % length < LINES_PER_PHASE:
                    self._print_line(report, "train", data)
                if self.step >= config.max_steps:
                    break
                every = config.checkpoint_every
                if every and schedule.due(self.step, self._batch, every):
                    self._save()
        return data

    def _test(self, batches, epoch, done, report) -> dict[str, tf.Tensor]:
        """The losses of a test phase of which `done` batches were seen before.

        Returns:
          The last batch.
        """
        with self._progress("test", epoch, done) as progress:
            for _ in range(done, self._lengths["test"]):
                data = next(batches)
                report.add(*self._evaluate(data, self._seeds.next()))
                self._advance(report, progress)
        return data

    def _advance(self, report, progress) -> None:
        """Counts a batch, whose losses the report has to find finite."""
        self._step.assign_add(self._batch)
        report.check_finite(self.step)
        progress.set_postfix_str(self._position(), refresh=False)
        progress.update(self._batch)

    def _print_line(self, report, phase, data) -> None:
        """Prints a line of the log, of which a batch is the newest."""
        report.print_line(self.step)
        if self._latents:
            self._latents.write(data, phase, self.step)

    def _save(self) -> None:
        """Writes a checkpoint named by the step."""
        self._manager.save(checkpoint_number=self.step)

    def _progress(self, phase: str, epoch: int, done: int) -> tqdm.tqdm:
        """A bar on terminals, for the sequences of a phase."""
        return tqdm.tqdm(
            desc=f"{phase} {epoch + 1}",
            total=self._lengths[phase] * self._batch,
            initial=done * self._batch,
            unit=" steps",
            bar_format=PROGRESS,
            postfix=self._position(),
            leave=False,
            dynamic_ncols=True,
            disable=None,
        )

    def _position(self) -> str:
        """Where the run is, and how good its last test was."""
        step = f"step {self.step}/{self._config.max_steps}"
        return step if math.isnan(self._score) else f"{step}, score {self._score:.1f}"
