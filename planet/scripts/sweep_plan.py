"""The plan of a sweep, in sweep.json: its space, its trials, and what came of them.

What is finished is told by the runs themselves; the plan adds what was drawn, which
trials a scheduler stopped, and which have failed.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from planet.scripts import spaces, sweep_trials
from planet.tools import atomic_files, intervals, parameters, tables, wording

FILE = "sweep.json"
FINISHED, STOPPED, FAILED = "finished", "stopped", "failed"
UNFINISHED = "unfinished"


@dataclasses.dataclass
class _Note:
    """What is noted of a trial."""

    state: str = UNFINISHED
    error: str = ""


class Plan:
    """The trials of a sweep by their labels.

    Attributes:
      logdir: Folder of the sweep.
      space: What it tries.
      trials: All trials that are known so far.
    """

    def __init__(self, logdir: pathlib.Path, space: spaces.Space):
        """Takes the plan from the folder, or makes one; writes nothing.

        Raises:
          ParameterError: The folder is that of another space, or its plan is damaged.
        """
        self.logdir = logdir
        self.space = space
        self.trials: dict[str, spaces.Trial] = {}
        self._notes: dict[str, _Note] = collections.defaultdict(_Note)
        if space.search == "random":
            self.trials = {trial.label: trial for trial in space.trials()}
        self.read()

    def read(self) -> None:
        """Takes what is in the folder, if there is anything.

        Raises:
          ParameterError: It is damaged, or that of another space.
        """
        path = self.logdir / FILE
        if path.exists():
            self.trials.clear()
            self._notes.clear()
            self._read(path)

    def _read(self, path: pathlib.Path) -> None:
        try:
            values = atomic_files.read_json(path)
            space, trials = values["space"], values["trials"]
            for label, entry in trials.items():
                names = (x.name for x in dataclasses.fields(spaces.Trial))
                trial = spaces.Trial(
                    label, **{x: entry[x] for x in names if x != "label"}
                )
                if not re.fullmatch(r"[\w=+-][\w.,=+-]*", label):
                    raise ValueError(f"{parameters.show(label)} is not a label")
                if not isinstance(trial.params, dict):
                    raise ValueError(f"{parameters.show(trial.params)} are no params")
                self.trials[label] = trial
                if entry["state"] in (STOPPED, FAILED):
                    self._notes[label] = _Note(entry["state"], str(entry["error"]))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            message = f"{path} cannot be used: {reason}"
            raise parameters.ParameterError(message) from None
        if space != self.space.values:
            key = _differing(space, self.space.values)
            raise parameters.ParameterError(
                f"{self.logdir} is the sweep of another space: {key} differs in "
                f"{self.space.source}; that needs another --logdir"
            )
        for trial in self.trials.values():
            spaces.load(trial, str(path))

    def write(self, results: Iterable[Mapping[str, Any]] | None = None) -> None:
        """Writes the plan, at the end with results."""
        trials: dict[str, Any] = {}
        for label, trial in self.trials.items():
            values = dataclasses.asdict(trial)
            del values["label"]
            newest = self.newest(label)
            trials[label] = {
                **values,
                "state": self.state(label),
                "error": self._notes[label].error,
                **(dataclasses.asdict(newest) if newest else {}),
            }
        content: dict[str, Any] = {"space": self.space.values, "trials": trials}
        if results is not None:
            content["results"] = list(results)
        atomic_files.write_json(self.logdir / FILE, content, indent=2)

    def folder(self, label: str) -> pathlib.Path:
        """Folder of a trial, which holds its run."""
        return self.logdir / label

    def state(self, label: str) -> str:
        """`FINISHED`, `STOPPED` by the scheduler, `FAILED` or `UNFINISHED`."""
        if sweep_trials.is_finished(self.folder(label)):
            return FINISHED
        return self._notes[label].state if label in self._notes else UNFINISHED

    def newest(self, label: str) -> sweep_trials.Result | None:
        """The result of the last test phase of a trial."""
        found = sweep_trials.read_results(self.folder(label) / sweep_trials.RUN)
        return found[-1] if found else None

    def retry(self) -> None:
        """Lets trials that failed begin again."""
        for note in self._notes.values():
            if note.state == FAILED:
                note.state, note.error = UNFINISHED, ""

    def is_over(self) -> bool:
        """Whether all trials have ended, so that nothing is left to do."""
        states = map(self.state, self.trials)
        ended = sum(state in (FINISHED, STOPPED) for state in states)
        return ended == len(self.space)

    def add(self, trials: Iterable[spaces.Trial]) -> None:
        """Adds trials, and writes the plan before they start."""
        self.trials |= {trial.label: trial for trial in trials}
        self.write()

    def note(self, label: str, state: str, error: str = "") -> None:
        """Notes what became of a trial that did not finish, and writes the plan."""
        if not sweep_trials.is_finished(self.folder(label)):
            self._notes[label] = _Note(state, error)
        self.write()

    def failures(self) -> dict[str, str]:
        """What the failed trials failed with, by label."""
        return {
            label: self._notes[label].error
            for label in self.trials
            if self.state(label) == FAILED
        }

    def progress(self) -> str:
        """How many trials have ended."""
        ended = sum(self.state(label) != UNFINISHED for label in self.trials)
        return f"{ended} of {wording.count(len(self.space), 'trial')} done"

    def results(self) -> list[dict[str, Any]]:
        """What came of each group of trials that differ in their seeds, best first.

        Groups of other tasks follow each other.
        """
        groups = collections.defaultdict(list)
        for trial in self.trials.values():
            groups[trial.group].append(trial)
        found: list[dict[str, Any]] = []
        for name, members in groups.items():
            newest = [self.newest(trial.label) for trial in members]
            scores = [result.test_score for result in newest if result]
            steps = [result.step for result in newest if result]
            states = collections.Counter(self.state(trial.label) for trial in members)
            low, high = intervals.of_mean(scores) if len(scores) > 1 else (None, None)
            tasks = spaces.load(members[0], self.space.source).tasks
            found.append(
                {
                    "label": name,
                    "tasks": list(tasks),
                    "trials": [trial.label for trial in members],
                    "scores": scores,
                    "mean": float(np.mean(scores)) if scores else None,
                    "low": low,
                    "high": high,
                    "step": min(steps, default=None),
                    "states": dict(states),
                }
            )
        firsts = list(dict.fromkeys(tuple(entry["tasks"]) for entry in found))
        return sorted(
            found,
            key=lambda x: (
                firsts.index(tuple(x["tasks"])),
                math.inf if x["mean"] is None else -x["mean"],
            ),
        )


def table(results: Iterable[Mapping[str, Any]]) -> str:
    """Results as a table in Markdown."""
    header = ("trials", "runs", "test score", "95% interval", "step", "state")
    rows = []
    for entry in results:
        mean, low, high = (entry[key] for key in ("mean", "low", "high"))
        rows.append(
            (
                entry["label"],
                len(entry["scores"]),
                "" if mean is None else f"{mean:.2f}",
                "" if low is None else f"{low:.2f} to {high:.2f}",
                "" if entry["step"] is None else f"{entry['step']:,}",
                ", ".join(
                    state if len(entry["states"]) == 1 else f"{count} {state}"
                    for state, count in entry["states"].items()
                ),
            )
        )
    return tables.markdown(header, rows)


def _differing(lhs: Any, rhs: Mapping[str, Any]) -> str:
    """The first key in which two spaces differ, and the key in it."""
    for key in (*rhs, *(lhs if isinstance(lhs, dict) else ())):
        old, new = (x.get(key) if isinstance(x, dict) else None for x in (lhs, rhs))
        if old != new:
            if isinstance(old, dict) and isinstance(new, dict):
                return f"{_differing(old, new)} of {key}"
            return str(key)
    return "its order"
