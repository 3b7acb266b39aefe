"""Replicas in processes of their own, which are killed as well."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from benchmarks import scaling
from planet.scripts import runs
from tests.training.test_distribution import MODELS, assert_equal

pytestmark = pytest.mark.scale
ROOT = pathlib.Path(__file__).parents[2]
MINUTE = 60
PARAMS = {
    "tasks": ["dummy"],
    "isolate_envs": "thread",
    "observations": "state",
    "action_repeat": 100,
    "batch_shape": [4, 10],
    "overshooting": 0,
    "train_steps": 40,
    "test_steps": 8,
    "collect_every": 40,
    "checkpoint_every": 20,
    "seed": 1,
    "distribute": "multi_worker",
}


@contextlib.contextmanager
def team(amount, *command):
    """Processes that run the same command, the first of which is the chief."""
    addresses = scaling.free_addresses(amount)
    processes = []
    try:
        for index in range(amount):
            task = {"type": "worker", "index": index}
            config = {"cluster": {"worker": addresses}, "task": task}
            variables = {
                "TF_CONFIG": json.dumps(config),
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "TF_NUM_INTRAOP_THREADS": "1",
            }
            process = subprocess.Popen(
                [sys.executable, "-m", *map(str, command)],
                cwd=ROOT,
                env={**os.environ, **variables},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            processes.append(process)
        yield addresses, processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def train(logdir, **params):
    """The command that trains a run."""
    settings = json.dumps({**PARAMS, **params})
    command = ["planet.scripts.train", "--config", "debug", "--logdir", logdir]
    return [*command, "--params", settings]


def wait_for_checkpoint(run, step, processes):
    """Waits until a run has saved a step."""
    while max(runs.checkpoints(run) or [0]) < step:
        assert all(process.poll() is None for process in processes)
        time.sleep(0.1)


@pytest.mark.parametrize("amount", [2, 4])
def test_losses_and_gradients_are_those_of_the_joint_batch(run_python, amount):
    cases = [{**MODELS[name], "mean_only": True} for name in ("rssm", "behavior")]
    program = "tests.training.replicated"
    alone = run_python("-m", program, 1, json.dumps(cases))
    assert alone.returncode == 0, alone.stderr
    text = json.dumps([{**case, "distribute": "multi_worker"} for case in cases])
    with team(amount, program, 1, text) as (_, processes):
        outputs = [process.communicate(timeout=300) for process in processes]
        assert [process.returncode for process in processes] == [0] * amount, outputs
    (out, _), *others = outputs
    assert [out for out, _ in others] == [""] * (amount - 1)
    expected, found = (
        json.loads(text.splitlines()[-1]) for text in (alone.stdout, out)
    )
    for actual, case in zip(found, expected, strict=True):
        assert actual["replicas"] == amount
        assert_equal(actual, case)


@pytest.mark.parametrize("victim", [1, 0])
def test_the_end_of_one_process_ends_all_and_the_command_continues(tmp_path, victim):
    logdir = tmp_path / "logdir"
    endless = train(logdir, max_steps=100_000)
    with team(2, *endless) as (addresses, processes):
        wait_for_checkpoint(logdir / "00001", 20, processes)
        processes[victim].send_signal(signal.SIGKILL)
        start = time.monotonic()
        survivor = processes[1 - victim]
        out, err = survivor.communicate(timeout=MINUTE)
        assert time.monotonic() - start < MINUTE
    assert survivor.returncode == 1
    (line,) = err.splitlines()
    assert line.startswith("planet.scripts.train: error: another process, ")
    assert addresses[victim] in line
    assert "continues" in out
    assert not (logdir / "00001" / "FAIL").exists()

    saved = max(runs.checkpoints(logdir / "00001"))
    finite = train(logdir, max_steps=saved + 60)
    path = logdir / "00001" / "config.yaml"
    path.write_text(path.read_text().replace("100000", str(saved + 60)))
    with team(2, *finite) as (_, processes):
        (out, err), other = (process.communicate(timeout=300) for process in processes)
        assert [process.returncode for process in processes] == [0, 0], (err, other)
    assert f"Continue from the checkpoint of step {saved}." in out
    assert "by 2 replicas" in out
    assert other == ("", "")
    assert (logdir / "00001" / "DONE").exists()
    steps = [
        json.loads(line)["step"]
        for line in (logdir / "00001" / "metrics.jsonl").read_text().splitlines()
    ]
    assert steps == sorted(steps)
    assert steps[-1] >= saved + 60


def test_an_interrupted_chief_saves_and_the_others_end(tmp_path):
    logdir = tmp_path / "logdir"
    with team(2, *train(logdir, max_steps=100_000)) as (_, processes):
        wait_for_checkpoint(logdir / "00001", 20, processes)
        for process in processes:  # As a scheduler does.
            process.send_signal(signal.SIGTERM)
        (out, _), (other, _) = (
            process.communicate(timeout=MINUTE) for process in processes
        )
    assert processes[0].returncode == 143
    assert processes[1].returncode == 1
    assert "Interrupted; step " in out
    assert "Stopping; the same again ends at once." in other
