"""The search of a sweep by optuna."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ray import tune
from ray.tune import search
from ray.tune.search import optuna as tune_optuna

from planet.scripts import spaces
from planet.scripts import sweep_plan as plans


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
