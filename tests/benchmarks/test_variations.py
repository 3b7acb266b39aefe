import json
import os
import signal
import subprocess
import sys
import time

import pytest

from benchmarks import variations
from planet.scripts import configs, runs
from planet.tools import events, parameters
from tests import conftest

PARAMS = "{tasks: [dummy], dumbnet: true, isolate_envs: thread, max_steps: 130}"


@pytest.mark.parametrize("change", variations.CHANGES)
def test_changes_change_something(change):
    usual = configs.load("cpu", variations.BASE)
    assert runs.differences(usual, configs.load("cpu", variations.BASE | change))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({}, "unchanged"),
        ({"free_nats": 3.0}, "free_nats: 3.0"),
        ({"batch_shape": [8, 40]}, "batch_shape: [8, 40]"),
        ({"cem_amount": 300, "planner": "cem"}, "cem_amount: 300, planner: cem"),
    ],
)
def test_changes_are_described_as_they_are_given(change, text):
    assert variations.describe(change) == text
    if change:
        assert parameters.parse(f"{{{text}}}", "--vary") == change


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--vary", "free_nat=3"], "unknown parameter 'free_nat'; did you mean 'free_"),
        (["--vary", "cem_topk=0"], "cem_topk must be"),
        (["--config", "cpus"], "unknown config 'cpus'; did you mean 'cpu'?"),
        (["--params", "{tasks: [dummy, cheetah_run]}"], "tasks must be a single one"),
        (["--minutes", "-1"], "argument --minutes: must be"),
        (["--vary", "seed=1", "{seed: 1}"], "two changes would share runs/variations/"),
        (["--jobs", "1000"], "argument --jobs: must be"),
    ],
)
def test_bad_input(arguments, message, run_main, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run_main(variations.main, *arguments)
    assert code == 2
    (line,) = err.splitlines()
    assert line.startswith(f"benchmarks.variations: error: {message}")
    assert not any(tmp_path.iterdir())


def start(folder, *arguments):
    command = ["-m", "benchmarks.variations", "--config", "debug", "--params", PARAMS]
    command += ["--logdir", folder / "runs", "--output", folder / "found.json"]
    return subprocess.Popen(
        [sys.executable, *map(str, [*command, "--episodes", 2, *arguments])],
        cwd=conftest.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_changes_are_compared_interrupted_and_continued(tmp_path):
    vary = ["--vary", "free_nats=3", "batch_shape=[4, 8]"]
    first = tmp_path / "runs" / "unchanged"
    process = start(tmp_path, *vary, "--minutes", 0)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert out.count("error: unchanged: there is no checkpoint in ") == 1
    assert f"; see {first / 'log.txt'}\n" in out
    assert not (tmp_path / "found.json").exists()

    process = start(tmp_path, *vary)
    while not runs.checkpoints(first / "00001"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 143, out
    assert "Interrupted; step " in (first / "log.txt").read_text()

    vary += ["--jobs", min(2, len(os.sched_getaffinity(0)))]
    process = start(tmp_path, *vary)
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 0, out
    assert "Continue from the checkpoint of step " in (first / "log.txt").read_text()
    content = json.loads((tmp_path / "found.json").read_text())
    folders = ("unchanged", "free_nats_3", "batch_shape_4_8")
    for folder, case in zip(folders, content["cases"], strict=True):
        run = tmp_path / "runs" / folder / "00001"
        assert case["step"] == max(runs.checkpoints(run)) >= 130
        assert case["updates"] == find_updates(run)
        assert case["episodes"] == len([*(run / "train_episodes").iterdir()])
        assert len(case["collected"]) == min(case["episodes"] - 1, variations.NEWEST)
        assert len(case["returns"]) == 2
        assert case["instruments"]["reward"]["error"]["1"] > 0
    changes = [case["change"] for case in content["cases"]]
    assert changes == [{}, {"free_nats": 3}, {"batch_shape": [4, 8]}]
    assert "| batch_shape: [4, 8] | " in out
    assert (tmp_path / "found.png").exists()

    process = start(tmp_path, *vary)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    assert "training for" not in out
    assert json.loads((tmp_path / "found.json").read_text()) == content

    process = start(tmp_path, *vary, "--params", PARAMS, "cem_amount=6")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"{first / '00001'} differs in cem_amount" in out


def find_updates(run):
    """Updates that a finished run reported last."""
    return int(events.read(run / "train", "scalars")["updates"][-1].value)
