"""Real runs whose collectors are actors of a local Ray."""

import collections
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import psutil
import pytest
import tensorflow as tf

from planet.scripts import runs
from planet.tools import episode_files
from planet.training import collectors, trainer

pytestmark = pytest.mark.scale
ROOT = pathlib.Path(__file__).parent.parent.parent
PARAMS = {
    "tasks": ["cartpole_balance"],
    "observations": "state",
    "seed": 0,
    "collectors": 2,
    "train_steps": 50,
    "test_steps": 5,
    "collect_every": 50,
    "summary_horizons": [2],
    "checkpoint_every": 20,
}
BATCH = 5  # Of the debug config.


class Run:
    """A run in a process of its own, with all that it starts.

    Attributes:
      lines: what it has printed so far.
    """

    def __init__(self, logdir, **params):
        self.folder = logdir / "00001"
        self.lines = []
        # Short, as those of Ray's sockets have to be.
        self.scratch = tempfile.mkdtemp(prefix="", dir="/tmp")
        command = ["planet.scripts.train", "--logdir", str(logdir), "--config", "debug"]
        command += ["--params", json.dumps({**PARAMS, **params})]
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-m", *command],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "TMPDIR": self.scratch},
            start_new_session=True,
        )
        self.family = set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._note_family()
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        for process in self.family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def wait_for(self, pattern):
        """Reads up to a line that matches, and returns the match."""
        for line in self._process.stdout:
            self.lines.append(line.rstrip())
            self._note_family()
            if match := re.search(pattern, line):
                return match
        raise AssertionError("\n".join(self.lines))

    def end(self):
        """Reads all that it prints; its exit code."""
        for line in self._process.stdout:
            self.lines.append(line.rstrip())
            self._note_family()
        return self._process.wait()

    def signal(self, number):
        self._note_family()
        self._process.send_signal(number)

    def actors(self):
        """Processes of the collectors, by what Ray calls them."""
        self._note_family()
        found = []
        for process in self.family:
            with contextlib.suppress(psutil.NoSuchProcess):
                if "".join(process.cmdline()).startswith("ray::Actor"):
                    found.append(process)
        return found

    def episodes(self, phase="train"):
        return episode_files.scan(self.folder / f"{phase}_episodes")

    def _note_family(self):
        with contextlib.suppress(psutil.NoSuchProcess):
            this = psutil.Process(self._process.pid)
            self.family |= set(this.children(recursive=True))

    def require_peace(self, seconds=20):
        """Fails unless all that it started ends by then."""
        _, alive = psutil.wait_procs(self.family, seconds)
        found = []
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                found += [process.cmdline()] if process.cmdline() else []
        assert found == []
        assert not list(pathlib.Path(self.scratch).glob("*/r-*"))


def place(run):
    """What the newest checkpoint says of the place of a run."""
    path = runs.choose_checkpoint(run)[1]
    variable = "place/.ATTRIBUTES/VARIABLE_VALUE"
    return json.loads(tf.train.load_checkpoint(path).get_tensor(variable))


def identities(run):
    """How many episodes of the train data have which number in the schedule."""
    config = runs.read_config(run.folder / "config.yaml")
    start = trainer.first_seed(config.seed, run.folder)
    plan = collectors.Schedule(config, config.tasks, start)
    found = collections.Counter()
    for number in range(100):
        name = episode_files.new_name("nowhere", plan.identity(plan.place(number)))
        ending = name[-20:]  # What follows from the identity.
        amount = sum(path.name.endswith(ending) for path in run.episodes())
        if amount:
            found[number] = amount
    return found


def scalars(run):
    """What each phase said, in order."""
    lines = (run.folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def require_ratio(run):
    """Fails unless each train phase has as many episodes as are due, or one less.

    Beside them there is a random one.
    """
    trained = [phase for phase in scalars(run) if phase["phase"] == "train"]
    assert [phase["epoch"] for phase in trained] == [1, 2, 3, 4, 5, 6]
    for phase in trained:
        due = int(phase["updates"]) * BATCH // PARAMS["collect_every"]
        assert due - 1 <= phase["episodes"] - 1 <= due


def test_a_collector_that_is_killed_is_replaced(tmp_path):
    with Run(tmp_path / "runs", max_steps=330) as run:
        run.wait_for(r"Collecting with 2 collectors on a local Ray, with \d threads?")
        run.wait_for("Phase train .epoch 3")
        actors = run.actors()
        assert len(actors) == 2
        actors[0].send_signal(signal.SIGKILL)
        actors[1].send_signal(signal.SIGKILL)
        assert run.end() == 0
        run.require_peace()
    lines = "\n".join(run.lines)
    assert "Episode of cartpole_balance dropped, tried again (1 of 3)" in lines
    assert not [line for line in run.lines if "ray" in line.lower()][1:]
    require_ratio(run)
    found = identities(run)
    assert set(found.values()) == {1}
    assert set(found) in (set(range(5)), set(range(6)))
    assert len(run.episodes()) == len(found) + 1  # A random one.


def test_a_killed_learner_leaves_nothing_and_goes_on_with_its_collectors(tmp_path):
    with Run(tmp_path / "runs", max_steps=330) as run:
        run.wait_for("Phase train .epoch 4")
        time.sleep(1)
        assert run.actors()
        run.signal(signal.SIGKILL)
        run.end()
        run.require_peace()
        before = run.episodes()
    saved = place(run.folder)["collectors"]
    assert saved["due"] >= 2
    with Run(tmp_path / "runs", max_steps=330) as run:
        run.wait_for("Continue from the checkpoint of step")
        run.wait_for("Collecting with 2 collectors")
        assert run.end() == 0
        run.require_peace()
    assert set(before) <= set(run.episodes())
    found = identities(run)
    assert set(found.values()) == {1}
    assert set(found) in (set(range(5)), set(range(6)))
    require_ratio(run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_learner_leaves_within_seconds_with_a_checkpoint(
    tmp_path, number
):
    with Run(tmp_path / "runs", max_steps=10_000) as run:
        run.wait_for("Phase train .epoch 2")
        run.signal(number)
        started = time.monotonic()
        assert run.end() == 128 + number
        assert time.monotonic() - started < 20
        run.require_peace()
        assert not os.listdir(run.scratch)
    assert re.search(r"Interrupted; step \d+ is saved", run.lines[-1])
    assert "due" in place(run.folder)["collectors"]
