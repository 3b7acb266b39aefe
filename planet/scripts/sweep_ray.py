"""Trials of a sweep on a cluster: Ray Tune starts, compares and retries them.

What Ray itself writes is not read again: it would have to be unpickled. All that a
sweep goes on from is in its plan and in the folders of the runs.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import importlib
import itertools
import logging
import math
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import ml_collections
import numpy as np
import ray
from ray import tune
from ray.tune import experiment, schedulers, search
from ray.tune.search import optuna as tune_optuna

from planet.scripts import spaces, sweep_trials
from planet.scripts import sweep_plan as plans
from planet.tools import atomic_files, interruption

RETRIES = 3
ATTEMPTS = 5  # To start Ray, whose helpers have to start within 15 seconds.
ORIGIN = "origin.json"  # Instead of a checkpoint: which one of which run is meant.
SCRATCH = ".sweep"  # Folder of Ray's files, for as long as it runs.
REDUCTION = 3  # asha keeps the best third at each rung.
RUNGS = 3
PERTURBATIONS = 10  # pbt compares runs after each tenth of max_steps.
PATIENCE = 2 * sweep_trials.PATIENCE  # Seconds for all trials to end.
# No words, statistics and files of results from Ray. Its processes are as urgent as
# ours, where they would otherwise give way to all others.
ENVIRONMENT = {
    "RAY_worker_niceness": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_THRESHOLD_S": "60",
}


class ClusterError(RuntimeError):
    """There is no cluster, or it cannot run a trial; the message is one line."""


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
    settings: dict[str, Any] = {"address": demand.address}
    with contextlib.ExitStack() as stack:
        if demand.address is None:
            folder = tempfile.TemporaryDirectory(
                prefix="planet-", dir=_short_folder(), ignore_cleanup_errors=True
            )
            stack.enter_context(folder)
            stack.enter_context(interruption.ending(folder.cleanup))
            settings = {
                "address": "local",
                "num_cpus": len(os.sched_getaffinity(0)),
                "include_dashboard": demand.dashboard,
                "dashboard_host": "127.0.0.1",
                "_temp_dir": folder.name,
            }
        stack.callback(ray.shutdown)
        with interruption.at_once():
            context = _connect(settings, 1 if demand.address else ATTEMPTS)
        stack.enter_context(interruption.handled())  # Ray has taken SIGTERM.
        if context.dashboard_url:
            print(f"Ray's dashboard: http://{context.dashboard_url}", flush=True)
        yield _count_slots(demand)


def _connect(settings: Mapping[str, Any], attempts: int) -> Any:
    """Starts or joins a cluster.

    Raises:
      ClusterError: That fails, however often it is tried.
    """
    for left in reversed(range(attempts)):
        try:
            return ray.init(
                **settings, log_to_driver=False, logging_level=logging.CRITICAL
            )
        except Exception as error:  # Ray raises that very class, among others.
            ray.shutdown()
            if not left:
                reason = " ".join(str(error).split())
                raise ClusterError(f"Ray does not start: {reason}") from error
            print("Ray does not start; try it again.", flush=True)
    raise AssertionError("there is at least one attempt")


def _short_folder() -> str | None:
    """Where the paths of Ray's sockets are not longer than the system allows."""
    return None if len(tempfile.gettempdir()) <= 20 else "/tmp"


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
        raise ClusterError(f"no machine of the cluster has {text} for a trial")
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
        searcher = Suggestions(space, trials, plan, describe)
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
            scheduler=Rivals(space, watcher, _read_ended(space, plan)),
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
        raise ClusterError(message) from error
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
        for label, trial in plan.trials.items():
            if plan.state(label) != plans.UNFINISHED:
                results = sweep_trials.read_results(
                    plan.folder(label) / sweep_trials.RUN
                )
                ended[_tasks_of(spaces.load(trial, space.source))].append(results)
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
        newest = {label: plan.newest(label) for label in plan.trials}
        self._known = {label: result.step for label, result in newest.items() if result}

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
        label, step = _label(trial), result.get("step", -1)
        if step > self._known.get(label, -1):
            self._known[label] = step
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
        self._plan.note(_label(trial), plans.STOPPED)  # Unless it is finished.
        self._say(trial, f"{self._plan.state(_label(trial))}, {self._plan.progress()}")

    def on_trial_error(self, iteration, trials, trial, **_):
        """Notes that a trial has failed for good."""
        self._plan.note(_label(trial), plans.FAILED, _read_error(trial))
        self._say(trial, f"failed: {_read_error(trial)}; {self._plan.progress()}")

    def _say(self, trial, text: str) -> None:
        print(f"{_label(trial)}: {text}", flush=True)


def _label(trial: experiment.Trial) -> str:
    return trial.config["trial"]["label"]


def _read_error(trial: experiment.Trial) -> str:
    """What a trial failed with, as one line."""
    text = ""
    with contextlib.suppress(OSError, TypeError):
        text = pathlib.Path(trial.error_file).read_text("utf-8", "replace")
    text = text.rpartition("Failure # ")[2]  # They are all in this file.
    _, found, reason = text.rpartition(f"{sweep_trials.TrainingError.__name__}: ")
    return reason.splitlines()[0] if found else "its process or machine died"


class Rivals(schedulers.FIFOScheduler):
    """Compares trials that can be compared, by a scheduler for each group of them.

    Returns of different tasks say nothing about each other; and pbt copies weights,
    which fit the same point of the grid only.

    Args:
      space: What the sweep tries.
      watcher: Knows of signals.
      ended: Results of each trial that has ended before, by group.
    """

    def __init__(
        self,
        space: spaces.Space,
        watcher: _Watcher,
        ended: Mapping[str, Sequence[Sequence[sweep_trials.Result]]],
    ):
        super().__init__()
        self._ended = ended
        self._space = space
        self._watcher = watcher
        self._groups: dict[str, schedulers.TrialScheduler] = {}

    def set_search_properties(self, metric, mode, **_):
        """Takes what is in the space instead."""
        return True

    def _of(self, trial: experiment.Trial) -> schedulers.TrialScheduler:
        """The scheduler of a trial's group."""
        described = trial.config["trial"]
        group = described["rivals"]
        if group not in self._groups:
            made = self._groups[group] = _make_scheduler(self._space, described)
            made.set_search_properties(self._space.metric, "max")
            for results in self._ended.get(group, ()):
                before: Any = experiment.Trial("ended", stub=True)
                nobody: Any = None
                for result in map(dataclasses.asdict, results):
                    made.on_trial_add(nobody, before)
                    made.on_trial_complete(nobody, before, result)
        return self._groups[group]

    def on_trial_add(self, tune_controller, trial):
        """Tells the group's scheduler."""
        self._of(trial).on_trial_add(_Members(tune_controller, trial), trial)

    def on_trial_error(self, tune_controller, trial):
        """Tells the group's scheduler."""
        self._of(trial).on_trial_error(_Members(tune_controller, trial), trial)

    def on_trial_remove(self, tune_controller, trial):
        """Tells the group's scheduler."""
        self._of(trial).on_trial_remove(_Members(tune_controller, trial), trial)

    def on_trial_result(self, tune_controller, trial, result):
        """Asks the group's scheduler, unless the trial ends by itself."""
        most = trial.config["trial"]["max_steps"]
        if self._space.metric not in result or result["step"] >= most:
            return self.CONTINUE
        members = _Members(tune_controller, trial)
        return self._of(trial).on_trial_result(members, trial, result)

    def on_trial_complete(self, tune_controller, trial, result):
        """Tells the group's scheduler."""
        if self._space.metric in result:
            members = _Members(tune_controller, trial)
            self._of(trial).on_trial_complete(members, trial, result)

    def choose_trial_to_run(self, tune_controller):
        """The next one in order; with pbt, the one that lags behind its group."""
        if self._watcher.interrupt:
            return None
        if self._space.scheduler != "pbt":
            return super().choose_trial_to_run(tune_controller)
        for trial in tune_controller.get_trials():
            if trial.status in (trial.PENDING, trial.PAUSED):
                members = _Members(tune_controller, trial)
                return self._of(trial).choose_trial_to_run(members)
        return None


class _Members:
    """A controller of trials as it looks to those of one group."""

    def __init__(self, controller, trial: experiment.Trial):
        self._controller = controller
        self._group = trial.config["trial"]["rivals"]

    def __getattr__(self, name):
        return getattr(self._controller, name)

    def get_trials(self) -> list[experiment.Trial]:
        """The trials of the group."""
        return self._select(self._controller.get_trials())

    def get_live_trials(self) -> list[experiment.Trial]:
        """Those of them that have not ended."""
        return self._select(self._controller.get_live_trials())

    def _select(self, trials):
        return [x for x in trials if x.config["trial"]["rivals"] == self._group]


def _make_scheduler(
    space: spaces.Space, described: Mapping[str, Any]
) -> schedulers.TrialScheduler:
    """The scheduler of a group of trials, one of which is given."""
    most, epoch = described["max_steps"], described["epoch"]
    if space.scheduler == "asha":
        first = max(epoch, most / REDUCTION**RUNGS)
        return schedulers.AsyncHyperBandScheduler(
            time_attr="step",
            grace_period=min(first, most),
            max_t=most,
            reduction_factor=REDUCTION,
        )
    if space.scheduler == "median":
        never: Any = math.inf  # Pausing a trial costs more than it brings.
        return schedulers.MedianStoppingRule(
            time_attr="step",
            grace_period=max(epoch, most / PERTURBATIONS),
            min_time_slice=never,
        )
    if space.scheduler == "pbt":
        return _Population(space.drawn, max(epoch, most / PERTURBATIONS))
    return schedulers.FIFOScheduler()


class _Population(schedulers.PopulationBasedTraining):
    """Trials of which the worst go on as changed copies of the best."""

    def __init__(self, drawn: Mapping[str, spaces.Distribution], every: float):
        self._drawn = drawn
        rng = np.random.default_rng()
        mutations: dict[str, Any] = {
            name: list(x.arguments)
            if x.kind == "choice"
            else functools.partial(x.draw, rng)
            for name, x in drawn.items()
        }
        super().__init__(
            time_attr="step",
            perturbation_interval=every,
            hyperparam_mutations=mutations,
            log_config=False,
            require_attrs=False,
        )

    def on_trial_add(self, tune_controller, trial):
        """Begins with the settings that the trial's run has now."""
        trial.config.update(trial.config["trial"]["drawn"])
        super().on_trial_add(tune_controller, trial)

    def _get_new_config(self, trial, trial_to_clone):
        """Settings of the copy, which stays the trial that it was."""
        found, operations = super()._get_new_config(trial, trial_to_clone)
        changed = {
            name: found[name] if x.kind == "choice" else x.clip(found[name])
            for name, x in self._drawn.items()
        }
        values = ", ".join(f"{name} {value:g}" for name, value in changed.items())
        best = _label(trial_to_clone)
        print(
            f"{_label(trial)}: goes on as a copy of {best}, with {values}", flush=True
        )
        return {**trial.config, **changed}, operations


class Suggestions(search.Searcher):
    """Draws by optuna, which learns from means over seeds; one study for each point."""

    def __init__(
        self,
        space: spaces.Space,
        trials: Sequence[spaces.Trial],
        plan: plans.Plan,
        describe: Callable[[spaces.Trial], dict[str, Any]],
    ):
        super().__init__(space.metric, "max")
        self._space = space
        self._plan = plan
        self._describe = describe
        self._queue = list(trials)
        self._running: dict[str, spaces.Trial] = {}
        known = {trial.group: trial for trial in plan.trials.values()}
        draws = collections.Counter(trial.population for trial in known.values())
        domains: Any = {name: _domain(x) for name, x in space.drawn.items()}
        self._studies = {
            point.label: tune_optuna.OptunaSearch(
                domains,
                metric=space.metric,
                mode="max",
                seed=number + len(space.points) * draws[point.label],  # Draws go on.
            )
            for number, point in enumerate(space.points)
        }
        rounds = itertools.product(range(space.samples), space.points)
        self._points = [
            point for number, point in rounds if number >= draws[point.label]
        ]
        self._keys: dict[str, str] = {}  # Of draws, by group.
        self._ended = {x for x in plan.trials if plan.state(x) != plans.UNFINISHED}
        for trial in known.values():
            self._tell(trial)

    def __len__(self) -> int:
        return len(self._queue) + len(self._points) * len(self._space.seeds)

    def suggest(self, trial_id: str):
        """The next seed of the last draw, or else the first of a new one."""
        if not self._queue and not self._points:
            return self.FINISHED
        if not self._queue:
            point = self._points.pop(0)
            key = f"{point.label}:{trial_id}"
            drawn: Any = self._studies[point.label].suggest(key)
            values = {
                name: x.arguments[drawn[name]]
                if x.kind == "choice"
                else x.clip(drawn[name])
                for name, x in self._space.drawn.items()
            }
            taken = {trial.group for trial in self._plan.trials.values()}
            trials = self._space.at(point, values, taken)
            self._plan.add(trials)
            self._keys[trials[0].group] = key
            self._queue += trials
        trial = self._running[trial_id] = self._queue.pop(0)
        return self._describe(trial)

    def on_trial_complete(self, trial_id: str, result=None, error: bool = False):
        """Tells the study once the trials of all seeds have ended."""
        trial = self._running.pop(trial_id)
        self._ended.add(trial.label)
        self._tell(trial)

    def _tell(self, trial: spaces.Trial) -> None:
        """Tells a study what came of a draw, if that is known."""
        rivals = [x for x in self._plan.trials.values() if x.group == trial.group]
        if not {x.label for x in rivals} <= self._ended:
            return
        found = [self._plan.newest(x.label) for x in rivals]
        scores = [result.test_score for result in found if result]
        study, key = self._studies[trial.population], self._keys.get(trial.group)
        if key and scores:
            study.on_trial_complete(key, {self.metric: float(np.mean(scores))})
        elif key:
            study.on_trial_complete(key, error=True)
        elif scores:
            study.add_evaluated_point(self._drawn_by(trial), float(np.mean(scores)))

    def _drawn_by(self, trial: spaces.Trial) -> dict[str, Any]:
        """What optuna would have drawn to get a trial's settings."""
        result = {}
        for name, x in self._space.drawn.items():
            (value, *_) = (
                trial.params[key] for key in spaces.own_names({name: x.ends[0]})
            )
            result[name] = x.arguments.index(value) if x.kind == "choice" else value
        return result

    def save(self, checkpoint_path: str) -> None:
        """Nothing: all is in the plan and in the runs."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, likewise."""


def _domain(drawn: spaces.Distribution) -> search.sample.Domain:
    """What Ray calls a distribution."""
    if drawn.kind == "choice":  # optuna knows lists and mappings by their number.
        return tune.choice(list(range(len(drawn.arguments))))
    low, high, *step = drawn.arguments
    if drawn.kind.endswith("randint"):
        high += 1  # Ray leaves it out.
    return getattr(tune, drawn.kind)(low, high, *step)
