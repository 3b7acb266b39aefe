"""A real run is killed in the middle and goes on as if nothing had happened."""

import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import plugin_event_accumulator

from planet.tools import episode_files

ROOT = pathlib.Path(__file__).parent.parent.parent
PARAMS = """{tasks: [cartpole_balance], dumbnet: true, learning_rate_ramp: 0, seed: 0,
             learning_rate: 0.003, train_steps: 50, test_steps: 10, max_steps: 360,
             collect_every: 50}"""


def start(logdir):
    command = ["planet.scripts.train", "--logdir", logdir, "--config", "debug"]
    return subprocess.Popen(
        [sys.executable, "-u", "-m", *map(str, command), "--params", PARAMS],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def read_losses(lines):
    """Losses by step, from the printed lines."""
    pattern = re.compile(r"step/score/loss/\S+ = \[(\d+) \S+ (\S+) ")
    found = (pattern.match(line) for line in lines)
    return {int(match[1]): float(match[2]) for match in found if match}


def read_tags(folder):
    """Steps of the train losses and of the scores in the event files of a run."""
    result = {}
    for phase, tag in (("train", "loss/total"), ("test", "score")):
        events = plugin_event_accumulator.EventAccumulator(str(folder / phase))
        events.Reload()
        result[phase] = {
            event.step: float(tf.make_ndarray(event.tensor_proto))
            for event in events.Tensors(tag)
        }
    return result


def contents(folder):
    return {path.name: path.read_bytes() for path in episode_files.scan(folder)}


@pytest.mark.slow
def test_run_goes_on_after_sigkill(tmp_path):
    run = tmp_path / "00001"
    process = start(tmp_path)
    before = []
    for line in process.stdout:
        before.append(line)
        if line.startswith("Phase train (epoch 4"):
            break
    before.append(next(process.stdout))  # In the middle of an epoch.
    os.kill(process.pid, signal.SIGKILL)
    process.wait(60)
    episodes = contents(run / "train_episodes")
    events = read_tags(run)
    assert len(episodes) == 4
    assert list(events["test"]) == [60, 120, 180]

    process = start(tmp_path)
    after = process.stdout.read().splitlines()
    assert process.wait(60) == 0
    assert "Continue from the checkpoint of step 180." in after
    assert (run / "DONE").exists()
    kept = contents(run / "train_episodes")
    assert episodes.items() <= kept.items()
    assert len(kept) == 7

    merged = read_tags(run)
    assert list(merged["test"]) == list(range(60, 361, 60))
    assert list(merged["train"]) == list(range(50, 360, 60))
    for phase, values in events.items():
        assert {step: merged[phase][step] for step in values} == values
    last = max(read_losses(before))
    assert last > 180
    assert read_losses(after)[last] == read_losses(before)[last]
