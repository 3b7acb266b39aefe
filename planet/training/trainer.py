"""Trains an agent: puts its parts together; phases, schedules and checkpoints."""

from __future__ import annotations

import contextlib
import json
import math
import os
import pathlib
import shutil
import sys
import time
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import ml_collections
import numpy as np
import tensorflow as tf
import tqdm

from planet.tools import (
    atomic_files,
    checkpoint_files,
    devices,
    episode_files,
    interruption,
    json_lines,
    noise,
    numpy_episodes,
    schedule,
    tf1_checkpoint,
    weight_files,
    wording,
)
from planet.training import collectors as collectors_lib
from planet.training import data as data_lib
from planet.training import (
    define_model,
    define_summaries,
    distribution,
    instruments,
    latents,
    seeding,
    simulations,
)
from planet.training.simulations import Simulation

LINES_PER_PHASE = 10
LEARNING_RATE_DROP = 0.3
PICTURES_EVERY = 100  # Sequences; drawing takes as long as training on some of them.
CHECKPOINTS_TO_KEEP = 5
PROGRESS = (
    "{desc}: {percentage:.0f}% |{bar}| {n_fmt}/{total_fmt}, {rate_noinv_fmt}, "
    "{remaining} left{postfix}"
)


class Phase(NamedTuple):
    """What came of a phase.

    Attributes:
      name: `train` or `test`.
      epoch: counts train phases from 1; the test phase that follows has the same.
      step: sequences seen by the end of it, in training and in testing.
      scalars: all that is known of it, by the names that TensorBoard shows.
    """

    name: str
    epoch: int
    step: int
    scalars: dict[str, float]

    @property
    def score(self) -> float:
        """Mean return of the phase's episodes; nan if there was none."""
        return self.scalars.get("score", math.nan)


def train(
    config: ml_collections.ConfigDict,
    tasks: Sequence,
    logdir: str | os.PathLike,
    note: str | None = None,
) -> Generator[Phase]:
    """Trains an agent; resumes an interrupted run in the same folder.

    Args:
      config: what `planet.scripts.configs.load` returns.
      tasks: what `planet.scripts.tasks.load` returns.
      logdir: folder of the run.
      note: a line to print right before the training.

    Yields:
      The result of each phase. The run can be left there, and resumed later.
    """
    logdir = pathlib.Path(logdir)
    folders = {phase: logdir / f"{phase}_episodes" for phase in data_lib.PHASES}
    start = first_seed(config.seed, logdir)
    keras.utils.set_random_seed(start)
    replicas = distribution.find(config)
    num_envs = 1 if config.collectors else config.collect_batch_size
    with contextlib.ExitStack() as stack:
        with interruption.at_once():
            _remove_unfinished(logdir)
            envs = {
                task.name: stack.enter_context(
                    simulations.make_batch(task, config, num_envs)
                )
                for task in tasks
            }
            data_spec = data_lib.make_data_spec(envs[tasks[0].name])
            if config.seed_dataset is None:
                simulations.collect_seed_episodes(config, tasks, envs, folders, start)
            elif not checkpoint_files.find(logdir / "checkpoints"):
                most, source = config.max_episodes, config.seed_dataset
                seeding.copy(source, tasks[0], data_spec, folders, most)
            replicas.begin(config, data_spec)
            with replicas.scope():
                model = define_model.define_model(config, data_spec)
            seeds = noise.Seeds(start)
            print(model.table(), flush=True)
            device = f"{devices.describe()}, TensorFlow {tf.__version__}"
            if config.distribute != "none":
                device += f", by {wording.count(replicas.amount, 'replica')}"
            print(f"Training on {device}.", flush=True)
            _note_model(model, logdir / "config.yaml")
            trainer = Trainer(logdir, config, model, seeds)
            if trainer.restore():
                step = trainer.step
                print(f"Continue from the checkpoint of step {step}.", flush=True)
            elif config.checkpoint_to_load:
                path = tf1_checkpoint.locate(config.checkpoint_to_load)
                lacking = tf1_checkpoint.load(model, path, define_model.BEHAVIOR)
                gap = f", which has no {' and no '.join(lacking)}" if lacking else ""
                step = checkpoint_files.step(path)
                steps = "" if step is None else f"step {step}: "
                print(f"Start from {steps}{path}{gap}.", flush=True)
            replicas.share(model.state)
            datasets = {
                phase: data_lib.make_dataset(config, data_spec, folder, start)
                for phase, folder in folders.items()
            }
            collectors = None
            if config.collectors:
                collectors = stack.enter_context(
                    collectors_lib.start(
                        config, tasks, data_spec, model, seeds.start, folders
                    )
                )
        if note:
            print(note, flush=True)
        episodes = simulations.Simulations(config, envs, model, seeds, folders)
        yield from trainer.run(
            datasets,
            collectors.collect if collectors else episodes.collect,
            episodes.test,
            lambda phase: episode_files.count(folders[phase]),
            simulations.EnvSteps(tasks, folders["train"]).count,
            collectors,
        )


def follow(config: ml_collections.ConfigDict) -> int:
    """Computes a share of the chief's updates until the chief has ended.

    Args:
      config: what `planet.scripts.configs.load` returns.

    Returns:
      Exit code of the process.

    Raises:
      LostError: the chief, or another process, has ended or cannot be reached.
    """
    replicas = distribution.find(config)

    def define(config, data_spec):
        with replicas.scope():
            model = define_model.define_model(config, data_spec)
        compile_steps(model, config)
        return model.state

    return replicas.follow(define)


def check_checkpoint(config: ml_collections.ConfigDict, tasks: Sequence) -> None:
    """Loads the weights of `checkpoint_to_load` into a model like that of a run.

    Args:
      config: what `planet.scripts.configs.load` returns.
      tasks: what `planet.scripts.tasks.load` returns.

    Raises:
      CheckpointError: when they can't be read or do not fit the model.
      EnvError: when an environment does not work.
    """
    distribution.find(config)  # It has to come before the first operation.
    with simulations.make_batch(tasks[0], config, 1) as envs:
        model = define_model.define_model(config, data_lib.make_data_spec(envs))
    tf1_checkpoint.load(model, config.checkpoint_to_load, define_model.BEHAVIOR)


class Trainer:
    """Alternates train and test phases until `max_steps`.

    Steps count sequences: each batch adds its size. All that is needed to resume an
    interrupted run is in its checkpoints: weights, optimizers, step, seeds and minutes;
    and as JSON its place in the data, what it has collected, and an unfinished report.

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
        self._lengths = schedule.lengths(
            self._batch, config.train_steps, config.test_steps
        )
        self._step = tf.Variable(0, trainable=False, dtype=tf.int64)
        self._minutes = tf.Variable(0.0, trainable=False, dtype=tf.float64)
        self._place = tf.Variable("{}", trainable=False, dtype=tf.string)
        self._started = self._saved_at = time.perf_counter()
        self._score = math.nan
        self._latents: latents.Collector | None = None
        self._batches: dict[str, numpy_episodes.Batches] = {}
        self._collectors: collectors_lib.Collectors | None = None
        self._collected = 0  # Sequences trained on when it last was seen what is due.
        self._before_last = ""  # State of the batches for training, before the last.
        self._traced = False
        self._update, self._evaluate = compile_steps(model, config)
        self._pictures = define_summaries.Pictures(model, config.image_bits)
        self._instruments = instruments.Instruments(model, config)
        self._required = {"model": model, "step": self._step, "seeds": seeds}
        self._optional = {"minutes": self._minutes, "place": self._place}
        self._checkpoint = tf.train.Checkpoint(**self._optional, **self._required)
        folder = logdir / "checkpoints"
        self._manager = self._make_manager(folder, CHECKPOINTS_TO_KEEP)
        self._best = self._make_manager(folder / "best", 1)

    @property
    def step(self) -> int:
        """Sequences seen so far, in training and in testing."""
        return int(self._step.numpy())

    @property
    def updates(self) -> int:
        """Updates made so far."""
        return schedule.updates(self.step, self._batch, **self._lengths)

    @property
    def minutes(self) -> float:
        """Minutes for which the run has trained and tested, interruptions left out."""
        return (time.perf_counter() - self._started) / 60

    def _make_manager(
        self, folder: pathlib.Path, keep: int
    ) -> tf.train.CheckpointManager:
        """Writes checkpoints to a folder, and removes all but the newest.

        Its list of them, from which it removes, is not used if it is damaged, or names
        anything outside the folder.
        """
        try:
            state = tf.train.get_checkpoint_state(str(folder))
            listed = state.all_model_checkpoint_paths if state else []
            parents = {os.path.dirname(os.path.abspath(path)) for path in listed}
            trusted = parents <= {os.path.abspath(folder)}
        except ValueError:
            trusted = False
        if not trusted:
            (folder / "checkpoint").unlink()
        return tf.train.CheckpointManager(self._checkpoint, str(folder), keep)

    def restore(self) -> bool:
        """Continues from the newest undamaged checkpoint, if there is any.

        Returns:
          Whether there is one.

        Raises:
          CheckpointError: all are damaged, or one lacks what this run needs.
        """
        folder = self._manager.directory
        paths = [
            path
            for path in checkpoint_files.find(folder).values()
            if not weight_files.is_folder(
                path
            )  # There is nothing else to resume in it.
        ]
        for path in reversed(paths):
            try:
                self._restore(path)
            except tf1_checkpoint.DamagedCheckpointError as error:
                print(f"Skip a checkpoint: {error}", file=sys.stderr, flush=True)
            else:
                return True
        if paths:
            message = (
                f"all checkpoints in {folder} are damaged; remove them to start anew"
            )
            raise tf1_checkpoint.CheckpointError(message)
        return False

    def _restore(self, path: str) -> None:
        tf1_checkpoint.load(self._model, path)  # Names each weight that is missing.
        try:
            required = tf.train.Checkpoint(**self._required)
            status = required.restore(path).assert_existing_objects_matched()
            status.expect_partial()
            # Checkpoints of earlier versions lack them.
            tf.train.Checkpoint(**self._optional).restore(path).expect_partial()
        except AssertionError as error:
            reason = " ".join(str(error).split())
            message = f"checkpoint {path} does not fit the run: {reason}"
            raise tf1_checkpoint.CheckpointError(message) from error
        except tf.errors.OpError as error:
            message = f"cannot read checkpoint {path}: {error.message}"
            raise tf1_checkpoint.DamagedCheckpointError(message) from error
        if not self._are_weights_finite():
            message = f"checkpoint {path} holds weights that are not finite"
            raise tf1_checkpoint.DamagedCheckpointError(message)
        self._started = time.perf_counter() - 60 * float(self._minutes.numpy())

    def run(
        self,
        datasets: Mapping[str, numpy_episodes.Batches],
        collect: Callable[[int], Sequence[Simulation]],
        test: Callable[[], Sequence[Simulation]],
        count_episodes: Callable[[str], int],
        count_env_steps: Callable[[], int],
        collectors: collectors_lib.Collectors | None = None,
    ) -> Iterator[Phase]:
        """Trains until `max_steps`.

        An interruption, or an error of an environment, leaves a checkpoint of the last
        update behind.

        Args:
          datasets: endless batches for the phases `train` and `test`.
          collect: collects episodes if they are due, given the number of sequences
            trained on so far, and returns those for training.
          test: runs episodes without exploration.
          count_episodes: number of episodes stored for a phase.
          count_env_steps: number of environment steps in those stored for training.
          collectors: what collects, if that is elsewhere; checkpoints hold its state.

        Yields:
          The result of each phase.

        Raises:
          FloatingPointError: when a loss, a gradient or a weight is not finite.
        """
        config = self._config
        self._batches = dict(datasets)
        self._collectors = collectors
        unfinished = self._resume()
        writers = define_summaries.make_writers(self._logdir, self.step)
        metrics = self._logdir / "metrics.jsonl"
        earlier = range(self.step + 1)
        json_lines.keep(metrics, lambda record: record.get("step") in earlier)
        if config.collect_latents:
            folder = self._logdir / "latents"
            self._latents = latents.Collector(self._model, folder, self.step)
        while self.step < config.max_steps or unfinished:
            epoch, done = divmod(self.step // self._batch, sum(self._lengths.values()))
            phase = "train" if done < self._lengths["train"] or unfinished else "test"
            simulations: Sequence[Simulation] = []
            report = define_summaries.Report(self.step, config.discrete_action)
            define_summaries.say(
                f"Phase {phase} (epoch {epoch + 1}, step {self.step} of "
                f"{config.max_steps})."
            )
            with contextlib.ExitStack() as stack:
                if phase == "train":
                    if unfinished:
                        report.restore(unfinished)
                    data = self._train(epoch, done, collect, report)
                    stack.enter_context(self._kept(report))
                else:
                    stack.enter_context(self._kept())
                    data = self._test(epoch, done - self._lengths["train"], report)
                    simulations = test()
                    report.add_simulations(simulations)
                    self._print_line(report, phase, data)
                    self._score = report.score
                unfinished = None
                report.print_speed()
                report.set("episodes", count_episodes(phase))
                report.set("env_steps", count_env_steps())
                report.set("updates", self.updates)
                report.set("minutes", self.minutes)
                interruption.confirm()
                scalars = report.scalars(self.step)
                if self._has_pictures(epoch):
                    scalars |= self._measure(data, simulations)
                with writers[phase].as_default(self.step):
                    for name, value in scalars.items():
                        tf.summary.scalar(name, value)
                    report.write_histograms()
                    if self._has_pictures(epoch):
                        self._pictures.write_batch(data, self.step)
                        self._pictures.write_simulations(simulations)
                writers[phase].flush()
                place = {"step": self.step, "phase": phase, "epoch": epoch + 1}
                json_lines.append(metrics, {**place, "time": time.time(), **scalars})
            if phase == "test" or self.step >= config.max_steps:
                self._save()
            if phase == "test":
                self._save_if_best(report.score)
            with self._kept():
                yield Phase(phase, epoch + 1, self.step, scalars)

    def _train(self, epoch, done, collect, report) -> dict[str, tf.Tensor]:
        """Runs the rest of a train phase, of which `done` updates were made before.

        Returns:
          The last batch.
        """
        config, length = self._config, self._lengths["train"]
        batches = self._batches["train"]
        trained = (epoch * length + done) * self._batch
        if self._collected < trained:  # An interruption kept it from being collected.
            self._collect(collect, trained, report)
            self._save(report)
        left = math.ceil((config.max_steps - self.step) / self._batch)
        left = min(left, length - done)
        if left <= 0:
            batches.state = self._before_last
            data = next(batches)
        with self._progress("train", epoch, done) as progress:
            for _ in range(left):
                rate = tf.constant(learning_rate(config, trained), tf.float32)
                with report.updating(), self._tracing_interruptible():
                    self._before_last = batches.state
                    data = next(batches)
                    results = self._update(data, rate, self._seeds.next())
                    self._advance("train", report, progress, *results)
                report.set("learning_rate", rate)
                trained += self._batch
                self._collect(collect, trained, report)
                if trained // self._batch * LINES_PER_PHASE % length < LINES_PER_PHASE:
                    self._print_line(report, "train", data)
                if self._is_checkpoint_due() and self.step < config.max_steps:
                    self._save(report)
        return data

    def _collect(self, collect, trained, report) -> None:
        """Collects what is due; the moment between updates for interruptions."""
        with self._kept(report):
            interruption.check()
            report.add_simulations(collect(trained))
            self._collected = trained

    def _test(self, epoch, done, report) -> dict[str, tf.Tensor]:
        """Runs the rest of a test phase, of which `done` batches were seen before.

        Returns:
          The last batch.
        """
        with self._progress("test", epoch, done) as progress:
            for _ in range(done, self._lengths["test"]):
                interruption.check()
                data = next(self._batches["test"])
                results = self._evaluate(data, self._seeds.next())
                self._advance("test", report, progress, *results)
        return data

    @contextlib.contextmanager
    def _tracing_interruptible(self) -> Iterator[None]:
        """Lets the first update be interrupted, which takes long and follows a save."""
        with contextlib.nullcontext() if self._traced else interruption.at_once():
            yield
        self._traced = True

    @contextlib.contextmanager
    def _kept(self, report: define_summaries.Report | None = None) -> Iterator[None]:
        """Saves the state at the beginning of this context if an error ends it.

        Nothing is learned in it.

        Args:
          report: that of an unfinished train phase.
        """
        step, seed = self.step, self._seeds.position
        states = {phase: batches.state for phase, batches in self._batches.items()}
        try:
            yield
        except BaseException:
            if self.step != step:
                self._step.assign(step)
                for phase, state in states.items():
                    self._batches[phase].state = state
            self._seeds.rewind(seed)
            try:
                self._save(report)
            except (OSError, tf.errors.OpError) as error:
                define_summaries.say(f"No checkpoint could be written: {error}")
            raise

    def _advance(self, phase, report, progress, losses, metrics, finite) -> None:
        """Counts and reports a batch; an error if its numbers are not finite."""
        self._step.assign_add(self._batch)
        report.add(losses, metrics)
        if not finite:  # The one value that is fetched for each batch.
            report.check_finite(self.step, self._batches[phase].files)
        progress.set_postfix_str(self._position(), refresh=False)
        progress.update(self._batch)

    def _print_line(self, report, phase, data) -> None:
        """Prints a line of the log, and saves latents of the newest batch if wanted."""
        report.print_line(self.step)
        if self._latents:
            self._latents.write(data, phase, self.step)

    def _measure(self, data, simulations) -> dict[str, float]:
        """What the instruments say of the newest batch and the test episodes."""
        measures = self._instruments.measure(data, self.step)
        discount = self._config.discount
        measures["plan"] = instruments.measure_plans(simulations, discount)
        return dict(instruments.scalars(measures, "instruments/"))

    def _has_pictures(self, epoch: int) -> bool:
        """Whether pictures are drawn of an epoch's phases.

        They are of the first and of the last epoch, and of each in which a multiple of
        `PICTURES_EVERY` lies. That is every epoch, unless epochs are tiny.
        """
        length = sum(self._lengths.values()) * self._batch
        start, end = epoch * length, (epoch + 1) * length
        return -start % PICTURES_EVERY < length or end >= self._config.max_steps

    def _is_checkpoint_due(self) -> bool:
        """Whether so many sequences, or minutes, have passed."""
        config = self._config
        every, minutes = config.checkpoint_every, config.checkpoint_minutes
        if every and schedule.due(self.step, self._batch, every):
            return True
        since = time.perf_counter() - self._saved_at
        return minutes is not None and since >= 60 * minutes

    def _save(self, report: define_summaries.Report | None = None) -> None:
        """Writes a checkpoint named by the step.

        Args:
          report: that of an unfinished train phase.

        Raises:
          FloatingPointError: weights are not finite.
        """
        interruption.confirm()
        if not self._are_weights_finite():
            raise FloatingPointError(f"weights are not finite at step {self.step}")
        self._minutes.assign(self.minutes)
        place = {
            "collected": self._collected,
            "collectors": self._collectors.state if self._collectors else None,
            "batches": {phase: x.state for phase, x in self._batches.items()},
            "before_last": self._before_last,
            "report": report.state if report else None,
        }
        self._place.assign(json.dumps(place))
        self._manager.save(checkpoint_number=self.step)
        self._saved_at = time.perf_counter()

    def _resume(self) -> dict[str, Any] | None:
        """Goes on from the place of a checkpoint.

        Returns:
          State of the report of the train phase that it is in, if any.
        """
        self._collected = self.updates * self._batch
        place = json.loads(self._place.numpy())
        self._collected = place.get("collected", self._collected)
        if self._collectors:
            self._collectors.restore(self._collected, place.get("collectors"))
        if not place:
            return None
        self._before_last = place["before_last"]
        for phase, state in place["batches"].items():
            self._batches[phase].state = state
        return place["report"]

    def _are_weights_finite(self) -> bool:
        """Whether all weights are."""
        return all(
            np.isfinite(variable.numpy()).all()
            for variable in self._model.trainable_variables
        )

    def _save_if_best(self, score: float) -> None:
        """Keeps a checkpoint whose score no earlier test phase has reached.

        A phase without episodes has no score, which is nan.
        """
        path = pathlib.Path(self._best.directory) / "score.json"
        try:
            best = float(atomic_files.read_json(path)["score"])
        except (ValueError, KeyError, TypeError, OverflowError):  # None, or damaged.
            best = -math.inf
        if not math.isnan(score) and (score > best or not math.isfinite(best)):
            self._best.save(checkpoint_number=self.step)
            atomic_files.write_json(path, {"step": self.step, "score": score})

    def _progress(self, phase: str, epoch: int, done: int) -> tqdm.tqdm:
        """A progress bar for the sequences of a phase, on terminals only."""
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
        """Where the run is, and the score of its last test."""
        step = f"step {self.step}/{self._config.max_steps}"
        return step if math.isnan(self._score) else f"{step}, score {self._score:.1f}"


def compile_steps(
    model: define_model.Model, config: ml_collections.ConfigDict
) -> list[Callable]:
    """What the replicas compute of each batch of a train phase, and of a test phase.

    Args:
      model: the model.
      config: its settings.
    """
    replicas = distribution.find(config)
    steps = (model.update, model.evaluate)
    return [replicas.function(_checked(step), config.jit) for step in steps]


def _checked(compute: Callable) -> Callable:
    """Adds to losses and metrics whether the losses and the gradients are finite."""

    def compute_and_check(*arguments):
        losses, metrics = compute(*arguments)
        norms = [x for key, x in metrics.items() if key.startswith("gradient_norm/")]
        finite = tf.math.is_finite(tf.stack([*losses.values(), *norms]))
        return losses, metrics, tf.reduce_all(finite)

    return compute_and_check


def learning_rate(config: ml_collections.ConfigDict, trained: int) -> float:
    """The learning rate after a number of sequences of training."""
    drop = config.learning_rate_drop
    dropped = drop is not None and trained >= drop
    ramp = schedule.linear(trained, config.learning_rate_ramp)
    return config.learning_rate * ramp * (LEARNING_RATE_DROP if dropped else 1.0)


def first_seed(seed: int | None, logdir: pathlib.Path) -> int:
    """A seed for the run in a folder: unlike that of other runs, but reproducible.

    Args:
      seed: what the user asked for; None for an arbitrary one.
      logdir: folder of the run, whose name tells the runs of an experiment apart.
    """
    run = zlib.crc32(logdir.name.encode())
    entropy = None if seed is None else [seed, run]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def _remove_unfinished(logdir: pathlib.Path) -> None:
    """Removes files that were being written when a run was killed."""
    for path in list(logdir.rglob("*")):
        if path.name.endswith(".tmp") or ".tempstate" in path.name:
            path.unlink()
        elif path.name.endswith("_temp") and path.parent.name in (
            "checkpoints",
            "best",
        ):
            shutil.rmtree(path)


def _note_model(model: define_model.Model, path: pathlib.Path) -> None:
    """Appends a summary of the model to the settings of a run, as a comment."""
    note = "".join(f"# {line}\n" for line in model.table().splitlines())
    if path.exists() and note not in path.read_text(encoding="utf-8"):
        with path.open("a", encoding="utf-8") as stream:
            stream.write(note)
