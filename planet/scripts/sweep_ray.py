"""Trials of a sweep on a cluster: Ray Tune starts, compares and retries them.

What Ray itself writes is not read again: it would have to be unpickled. All that a
sweep goes on from is in its plan and in the folders of the runs.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import importlib
import logging
import math
import os
import pathlib
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ml_collections
import ray
from ray import tune
from ray.tune import experiment

from planet.scripts import spaces, sweep_schedulers, sweep_search, sweep_trials
from planet.scripts import sweep_plan as plans
from planet.scripts.sweep_schedulers import label
from planet.tools import atomic_files, interruption, ray_cluster

RETRIES = 3
ORIGIN = "origin.json"  # Instead of a checkpoint: which one of which run is meant.
SCRATCH = ".sweep"  # Folder of Ray's files, for as long as it runs.
PATIENCE = 2 * sweep_trials.PATIENCE  # Seconds for all trials to end.
# No words and no files of results from Tune.
ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_THRESHOLD_S": "60",
}


@dataclasses.dataclass(frozen=True)
class Demand:
    """What a sweep takes.

    Attributes:
      address: Cluster to join, `auto` or HOST:PORT; None: one of our own.
      cpus: Processors of a trial.
      gpus: GPUs of a trial.
      max_concurrent: Trials at once; 0: as many as fit.
      dashboard: Whether a cluster of our own has one.
    """

    address: str | None
    cpus: float
    gpus: float
    max_concurrent: int
    dashboard: bool


def has_dashboard() -> bool:
    """Whether what a dashboard needs is installed."""
    try:
        importlib.import_module("ray.dashboard.optional_deps")
    except ImportError:
        return False
    return True


@contextlib.contextmanager
def cluster(demand: Demand) -> Iterator[int]:
    """A Ray cluster, joined or of our own, which ends with this context.

    Yields:
      How many trials fit on it.

    Raises:
      ClusterError: There is none, or none fits.
    """
    os.environ.update(ENVIRONMENT)
    for name in ("ray", "ray.tune", "optuna"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    cores = len(os.sched_getaffinity(0))
    settings = {"include_dashboard": demand.dashboard, "dashboard_host": "127.0.0.1"}
    with ray_cluster.connected(demand.address, num_cpus=cores, **settings) as found:
        if found.dashboard:
            print(f"Ray's dashboard: http://{found.dashboard}", flush=True)
        yield _count_slots(demand)


def _count_slots(demand: Demand) -> int:
    """How many trials fit on the cluster's nodes."""
    wanted = {"CPU": demand.cpus, "GPU": demand.gpus}
    fits = [
        min(
            math.floor(node["Resources"].get(kind, 0) / amount + 1e-9)
            for kind, amount in wanted.items()
            if amount
        )
        for node in ray.nodes()
        if node["Alive"]
    ]
    if not any(fits):
        text = f"{demand.cpus:g} processors and {demand.gpus:g} GPUs"
        raise ray_cluster.ClusterError(
            f"no machine of the cluster has {text} for a trial"
        )
    return sum(fits)


class Trial(tune.Trainable):
    """A trial in a process of the cluster; each of its steps ends with a test phase."""

    def setup(self, config: Mapping[str, Any]) -> None:
        """Starts nothing yet."""
        self._training: sweep_trials.Training | None = None
        self._last: dict[str, Any] = {}

    def step(self) -> dict[str, Any]:
        """Trains until the next result, or until the end."""
        if not self._training:
            trial = self.config["trial"]
            drawn = {name: self.config[name] for name in trial["drawn"]}
            self._training = sweep_trials.Training(
                pathlib.Path(trial["folder"]),
                trial["config"],
                {**trial["params"], **drawn},
                pathlib.Path(trial["stop"]),
                threads=trial["threads"],
                working_folder=trial["working_folder"],
                changes=drawn,
            )
            self._results = self._training.results(newest_only=bool(drawn))
        result = next(self._results, None)
        if result is None:
            return {**self._last, "done": True}
        self._last = dataclasses.asdict(result)
        return self._last

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Says which checkpoint of the run is meant; all else is in its folder."""
        folder, step = self.config["trial"]["folder"], self._last.get("step", 0)
        origin = {"folder": folder, "step": step}
        atomic_files.write_json(pathlib.Path(checkpoint_dir, ORIGIN), origin)

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Takes a copy of another trial's run, if that is meant."""
        origin = atomic_files.read_json(pathlib.Path(checkpoint, ORIGIN))
        folder = self.config["trial"]["folder"]
        if origin["folder"] != folder:
            source, target = pathlib.Path(origin["folder"]), pathlib.Path(folder)
            sweep_trials.copy(source, origin["step"], target)

    def cleanup(self) -> None:
        """Ends the process that trains."""
        if self._training:
            self._training.end()


def run(
    space: spaces.Space,
    trials: Sequence[spaces.Trial],
    plan: plans.Plan,
    demand: Demand,
    slots: int,
) -> None:
    """Runs trials until all are finished, stopped, or failed for good.

    Args:
      space: What the sweep tries.
      trials: Those to run; search optuna adds to them.
      plan: Is told what happens.
      demand: What a trial takes.
      slots: How many fit.

    Raises:
      Interrupted: By a signal, once the trials have ended.
      ClusterError: The cluster has failed.
    """
    scratch = plan.logdir.absolute() / SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    watcher = _Watcher(plan, scratch / "stop")

    def describe(trial: spaces.Trial) -> dict[str, Any]:
        return {"trial": _describe(space, trial, plan, watcher.stop, demand)}

    limit, searcher, configs = demand.max_concurrent or None, None, {}
    if space.search == "optuna":
        limit = min(limit or slots, slots)
        searcher = sweep_search.Suggestions(space, trials, plan, describe)
    else:
        described = [describe(trial)["trial"] for trial in trials]
        configs = {"trial": tune.grid_search(described)}
    tuner = tune.Tuner(
        tune.with_resources(Trial, {"CPU": demand.cpus, "GPU": demand.gpus}),
        param_space=configs,
        tune_config=tune.TuneConfig(
            metric=space.metric,
            mode="max",
            search_alg=searcher,
            scheduler=sweep_schedulers.Rivals(
                space, _read_ended(space, plan), lambda: watcher.interrupt is not None
            ),
            num_samples=len(searcher) if searcher else 1,
            max_concurrent_trials=limit,
            trial_dirname_creator=lambda trial: trial.trial_id,
            reuse_actors=False,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(scratch),
            verbose=0,
            callbacks=[watcher],
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    try:
        tuner.fit()
        watcher.on_step_begin(0, [])  # A signal may have come last of all.
    except (ray.exceptions.RayError, tune.TuneError) as error:
        reason = " ".join(str(error).split())
        message = f"Ray has failed, and the same command continues: {reason}"
        raise ray_cluster.ClusterError(message) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _describe(
    space: spaces.Space,
    trial: spaces.Trial,
    plan: plans.Plan,
    stop: pathlib.Path,
    demand: Demand,
) -> dict[str, Any]:
    """What a process of the cluster, and the schedulers, know of a trial."""
    config = spaces.load(trial, space.source)
    batch = config.batch_shape[0]
    phases = (config.train_steps, config.test_steps)
    folder = plan.folder(trial.label).absolute()
    names = [*space.drawn] if space.scheduler == "pbt" else []
    settings = sweep_trials.read_settings(folder) or config
    return {
        "label": trial.label,
        "folder": str(folder),
        "config": trial.config,
        "params": trial.params,
        "drawn": {name: settings[name] for name in names},
        "rivals": trial.population if names else _tasks_of(config),
        "max_steps": config.max_steps,
        "epoch": sum(math.ceil(steps / batch) * batch for steps in phases),
        "stop": str(stop),
        "threads": math.ceil(demand.cpus),
        "working_folder": os.getcwd(),
    }


def _tasks_of(config: ml_collections.ConfigDict) -> str:
    return ",".join(config.tasks)


def _read_ended(space: spaces.Space, plan: plans.Plan) -> dict[str, list]:
    """Results of each trial that has ended before, by its tasks."""
    ended = collections.defaultdict(list)
    if space.scheduler in ("asha", "median"):
        for name, trial in plan.trials.items():
            if plan.state(name) != plans.UNFINISHED:
                run = plan.folder(name) / sweep_trials.RUN
                tasks = _tasks_of(spaces.load(trial, space.source))
                ended[tasks].append(sweep_trials.read_results(run))
    return ended


class _Watcher(tune.Callback):
    """Says what happens, notes it in the plan, and ends the trials on a signal.

    Attributes:
      stop: File that ends the trials once it exists.
      interrupt: The signal, once there was one.
    """

    def __init__(self, plan: plans.Plan, stop: pathlib.Path):
        self.stop = stop
        self.interrupt: interruption.Interrupted | None = None
        self._plan = plan
        self._deadline = math.inf
        newest = {name: plan.newest(name) for name in plan.trials}
        self._known = {name: result.step for name, result in newest.items() if result}

    def on_step_begin(self, iteration, trials, **_):
        """Looks for a signal; raises it once all trials have ended."""
        try:
            interruption.check()
        except interruption.Interrupted as interrupt:
            if not self.interrupt:
                self.interrupt = interrupt
                self._deadline = time.monotonic() + PATIENCE
                self.stop.touch()
        running = any(trial.status == trial.RUNNING for trial in trials)
        if self.interrupt and (not running or time.monotonic() > self._deadline):
            raise self.interrupt

    def on_trial_start(self, iteration, trials, trial, **_):
        """Says so."""
        self._say(trial, "starts")

    def on_trial_result(self, iteration, trials, trial, result, **_):
        """Says what the result is, if it is new."""
        name, step = label(trial), result.get("step", -1)
        if step > self._known.get(name, -1):
            self._known[name] = step
            most, score = trial.config["trial"]["max_steps"], result["test_score"]
            self._say(trial, f"step {step:,} of {most:,}, test score {score:.2f}")

    def on_trial_recover(self, iteration, trials, trial, **_):
        """Says why the trial is tried again."""
        self._say(
            trial, f"{_read_error(trial)}; retry {trial.num_failures} of {RETRIES}"
        )

    def on_trial_complete(self, iteration, trials, trial, **_):
        """Notes that a trial is finished, or that the scheduler stopped it."""
        if self.interrupt:
            return
        name = label(trial)
        self._plan.note(name, plans.STOPPED)  # Unless it is finished.
        self._say(trial, f"{self._plan.state(name)}, {self._plan.progress()}")

    def on_trial_error(self, iteration, trials, trial, **_):
        """Notes that a trial has failed for good."""
        self._plan.note(label(trial), plans.FAILED, _read_error(trial))
        self._say(trial, f"failed: {_read_error(trial)}; {self._plan.progress()}")

    def _say(self, trial, text: str) -> None:
        print(f"{label(trial)}: {text}", flush=True)


def _read_error(trial: experiment.Trial) -> str:
    """What a trial failed with, as one line."""
    text = ""
    with contextlib.suppress(OSError, TypeError):
        text = pathlib.Path(trial.error_file).read_text("utf-8", "replace")
    text = text.rpartition("Failure # ")[2]  # They are all in this file.
    _, found, reason = text.rpartition(f"{sweep_trials.TrainingError.__name__}: ")
    return reason.splitlines()[0] if found else "its process or machine died"
