"""Schedulers of a sweep: which trials are compared, and with what consequence."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ray.tune import experiment, schedulers

from planet.scripts import spaces, sweep_trials

REDUCTION = 3  # asha keeps the best third at each rung.
RUNGS = 3
PERTURBATIONS = 10  # pbt compares runs after each tenth of max_steps.


def label(trial: experiment.Trial) -> str:
    """Label of a trial, which Ray knows by another name."""
    return trial.config["trial"]["label"]


class Rivals(schedulers.FIFOScheduler):
    """Compares trials that can be compared, by a scheduler for each group of them.

    Returns of different tasks say nothing about each other; and pbt copies weights,
    which fit the same point of the grid only.

    Args:
      space: What the sweep tries.
      ended: Results of each trial that has ended before, by group.
      is_ending: Whether no trial is to be started any more.
    """

    def __init__(
        self,
        space: spaces.Space,
        ended: Mapping[str, Sequence[Sequence[sweep_trials.Result]]],
        is_ending: Callable[[], bool],
    ):
        super().__init__()
        self._ended = ended
        self._space = space
        self._is_ending = is_ending
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
        if self._is_ending():
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
        best = label(trial_to_clone)
        print(f"{label(trial)}: goes on as a copy of {best}, with {values}", flush=True)
        return {**trial.config, **changed}, operations
