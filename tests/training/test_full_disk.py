"""Runs on a small disk of their own, which only root can make."""

import os
import subprocess
import sys

import pytest

from benchmarks.soak import trainings
from planet.scripts import runs
from planet.tools import episode_files

pytestmark = pytest.mark.slow
PARAMS = {"max_steps": 240, "checkpoint_every": 25}


def mount(folder, options):
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.fixture
def disk(tmp_path):
    """A function that mounts a disk at a folder, with the given options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def change(options):
        if not mount(folder, options):
            pytest.skip("only root may mount a disk")
        return folder

    yield change
    subprocess.run(["umount", str(folder)], check=False, capture_output=True)


def test_a_full_disk_is_said_and_costs_nothing_that_was_written(disk):
    logdir = disk("size=4m") / "logdir"
    training = trainings.Training(logdir, PARAMS)
    assert training.process.wait(300) == 1
    run = logdir / "00001"
    trainings.Training(logdir, PARAMS).process.wait(300)
    saved = trainings.saved(run)
    for path in episode_files.scan(run / "train_episodes"):
        episode_files.read(path)
    disk("remount,size=100m")
    training = trainings.Training(logdir, PARAMS)
    assert training.process.wait(300) == 0
    lines = training.lines()
    assert not saved or f"Continue from the checkpoint of step {saved}." in lines
    assert max(runs.checkpoints(run)) == 240
    assert trainings.problems(run) == []


def test_a_disk_that_cannot_be_written_to_is_refused_in_a_line(disk):
    folder = disk("size=4m,ro")
    result = subprocess.run(
        [sys.executable, "-m", "planet.scripts.train", "--logdir", str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ},
    )
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.endswith("cannot be written to")
