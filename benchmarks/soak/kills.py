"""SIGKILL at random moments of a run that is resumed each time."""

from __future__ import annotations

import pathlib
import random
import re
import signal
import time

from benchmarks.soak import outcome, trainings
from planet.tools import episode_files

LATEST = 25  # Seconds after which a run is killed at the latest.
STEPS = 6000
PARAMS = {"max_steps": STEPS, "checkpoint_minutes": 0.03}
SEED_EPISODES = 1  # Of the debug config.


def run(
    tries: int, folder: pathlib.Path, progress: outcome.Progress
) -> outcome.Outcome:
    """Kills runs; a new one begins when one has come to its end."""
    random.seed(0)
    losses = []
    number = saved = 0
    for index in range(tries):
        logdir = folder / str(number)
        begun = time.time()
        training = trainings.Training(logdir, PARAMS)
        delay = random.uniform(0, LATEST)
        done = training.wait(delay)
        if not done:
            training.end(signal.SIGKILL)
        wrong = _problems(training, logdir / "00001", saved, begun)
        losses += [f"{index}: killed after {delay:.1f} s: {x}" for x in wrong]
        saved = trainings.saved(logdir / "00001")
        if done:
            losses += [f"{index}: {x}" for x in _unfinished(training, logdir / "00001")]
            number, saved = number + 1, 0
        progress()
    training = trainings.Training(logdir, PARAMS)
    training.process.wait(600)
    losses += [f"end: {x}" for x in _unfinished(training, logdir / "00001")]
    return outcome.count(tries, losses)


def _problems(training, run, saved, begun) -> list[str]:
    """What went wrong since a training begun, before which a step had been saved."""
    found = trainings.problems(run)
    lines = training.lines()
    restored = re.search(r"from the checkpoint of step (\d+)", "\n".join(lines))
    if restored and int(restored[1]) < saved:
        found.append(f"continued from {restored[1]}, with {saved} saved")
    ready = any(line.startswith("Phase") for line in lines)
    if ready and saved and not restored:
        found.append(f"began anew, with {saved} saved")
    found += [line for line in lines if line.startswith("Skip")]
    if ready:
        old = [x for x in run.rglob("*") if ".tmp" in x.name or "_temp" in x.name]
        found += [f"{x.name} was left" for x in old if x.stat().st_mtime < begun]
    if orphans := training.orphans():
        found.append(f"processes {orphans} are left")
    return found


def _unfinished(training, run) -> list[str]:
    """Why a run cannot be called finished."""
    found = [] if (run / "DONE").exists() else ["not done"]
    if training.process.returncode:
        found.append(f"exit code {training.process.returncode}")
    collected = trainings.updates(STEPS) * trainings.BATCH
    expected = SEED_EPISODES + collected // int(trainings.PARAMS["collect_every"])
    episodes = episode_files.count(run / "train_episodes")
    if episodes != expected:
        found.append(f"{episodes} episodes instead of {expected}")
    return found
