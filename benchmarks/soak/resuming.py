"""Whether a run that was interrupted and resumed is the run that was not."""

from __future__ import annotations

import pathlib
import random
import signal
from typing import Any, NamedTuple

import numpy as np

from benchmarks.soak import outcome, trainings
from planet.scripts import runs
from planet.tools import episode_files, events

INTERRUPTIONS = 3
PARAMS = {
    "collect_batch_size": 2,
    "isolate_envs": "thread",
    "max_steps": 600,
    "scan_episodes_every": 3,
}
TIMES = ("per_second", "minutes")  # In names of scalars that are never the same.


class Results(NamedTuple):
    """What a run has made.

    Attributes:
      scalars: lists of step and value by name, apart from times.
      episodes: arrays by name, of each episode in order.
      weights: those of the last checkpoint by name, with all else that is in it.
    """

    scalars: dict[str, list[tuple[int, float]]]
    episodes: list[dict[str, np.ndarray]]
    weights: dict[str, np.ndarray]


def run(
    tries: int, folder: pathlib.Path, progress: outcome.Progress
) -> outcome.Outcome:
    """Compares runs with interrupted ones, number by number."""
    random.seed(0)
    losses = []
    for index in range(tries):
        params = {**PARAMS, "seed": index}
        whole = trainings.Training(folder / f"{index}_whole", params)
        whole.process.wait(600)
        logdir = folder / f"{index}_interrupted"
        for _ in range(INTERRUPTIONS):
            training = trainings.Training(logdir, params)
            if not training.wait(random.uniform(12, 20)):
                training.end(signal.SIGINT)
        trainings.Training(logdir, params).process.wait(600)
        found = [read(x / "00001") for x in (folder / f"{index}_whole", logdir)]
        losses += [f"{index}: {name} differ" for name in differences(*found)]
        progress()
    return outcome.count(tries, losses)


def read(run: pathlib.Path) -> Results:
    """The results of a run."""
    import tensorflow as tf

    scalars = {
        f"{phase}/{tag}": [(event.step, event.value) for event in found]
        for phase in ("train", "test")
        for tag, found in events.read(run / phase, "scalars").items()
        if not any(word in tag for word in TIMES)
    }
    episodes = [
        episode_files.read(path)
        for phase in ("train", "test")
        for path in episode_files.scan(run / f"{phase}_episodes")
    ]
    _, path = runs.choose_checkpoint(run)
    reader = tf.train.load_checkpoint(path)
    shapes = reader.get_variable_to_shape_map()
    weights = {name: reader.get_tensor(name) for name, shape in shapes.items() if shape}
    return Results(scalars, episodes, weights)


def differences(ours: Results, theirs: Results, rtol: float = 0) -> list[str]:
    """Which of the results of two runs differ by more than a relative tolerance."""
    return [
        name
        for name, mine, other in zip(Results._fields, ours, theirs, strict=True)
        if not _are_alike(mine, other, rtol)
    ]


def _are_alike(ours: Any, theirs: Any, rtol: float) -> bool:
    if isinstance(ours, dict):
        keys = ours.keys()
        return keys == theirs.keys() and all(
            _are_alike(ours[key], theirs[key], rtol) for key in keys
        )
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(
            _are_alike(*pair, rtol) for pair in zip(ours, theirs, strict=True)
        )
    return np.shape(ours) == np.shape(theirs) and np.allclose(
        ours, theirs, rtol=rtol, atol=rtol, equal_nan=True
    )
