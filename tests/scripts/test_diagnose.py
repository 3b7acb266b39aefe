import functools
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from planet.scripts import configs, diagnose, runs


@pytest.fixture
def run_diagnose(run_main):
    """Runs the command; returns exit code, standard output and errors."""
    return functools.partial(run_main, diagnose.main)


@pytest.fixture
def trained(finished_runs):
    """Folder of two finished runs."""
    return finished_runs[0]


def test_two_runs(trained, run_diagnose, tmp_path):
    command = (trained, "--distances", 1, 3, 50, "--newest", 2)
    code, out, err = run_diagnose(*command, "--output", tmp_path)
    assert code == 0
    names = [f"{trained.name}/0000{index}" for index in (1, 2)]
    results = json.loads((tmp_path / "instruments.json").read_text())
    assert list(results) == names
    curves, numbers = out.strip().split("\n\n")
    head, _, *lines = curves.splitlines()
    assert re.findall(r"\d+", head) == ["0", "1", "3"]
    for name in names:
        measures = results[name]["measures"]
        assert results[name]["step"] == 40
        assert "plan" not in measures
        values = [f"{value:.3g}" for value in measures["reward"]["error"].values()]
        shown = [line for line in lines if name in line and "reward: error" in line]
        assert re.split(r"[ |]+", shown[0].strip("| "))[-3:] == values
    r2 = [f"{results[name]['measures']['reward']['r2']:.3g}" for name in names]
    (line,) = [line for line in numbers.splitlines() if "R² of reward" in line]
    assert re.split(r"[ |]+", line.strip("| "))[-2:] == r2
    with Image.open(tmp_path / "instruments.png") as image:
        assert min(image.size) > 300
        assert np.ptp(np.asarray(image.convert("L"))) == 255
    assert "<svg" in (tmp_path / "instruments.svg").read_text()

    code, out, err = run_diagnose(*command, "--output", tmp_path)
    assert (code, out) == (2, "")
    assert "exists; --overwrite replaces it" in err
    again = run_diagnose(*command, "--output", tmp_path, "--overwrite")
    assert again[0] == 0
    assert json.loads((tmp_path / "instruments.json").read_text()) == results


def test_other_checkpoint_and_episodes(trained, run_diagnose, tmp_path):
    run = trained / "00001"
    results = {}
    for name, arguments in {
        "newest": (),
        "earlier": ("--checkpoint", 20),
        "test": ("--phase", "test"),
    }.items():
        folder = tmp_path / name
        assert run_diagnose(run, "--output", folder, *arguments)[0] == 0
        (results[name],) = json.loads(
            (folder / "instruments.json").read_text()
        ).values()
    assert results["earlier"]["step"] == 20
    measures = [result["measures"] for result in results.values()]
    assert measures[0] not in measures[1:]


def test_plans_of_episodes_that_are_played(trained, run_diagnose, tmp_path):
    folder = shutil.copytree(trained / "00001", tmp_path / "logdir" / "00001")
    text = (folder / "config.yaml").read_text()
    text = text.replace("summary_horizons: [12]", "summary_horizons: [3]")
    (folder / "config.yaml").write_text(text)
    before = sorted(folder.rglob("*"))
    command = (folder, "--episodes", 2, "--output", tmp_path)
    code, out, _ = run_diagnose(*command)
    assert code == 0
    assert sorted(folder.rglob("*")) == before
    (result,) = json.loads((tmp_path / "instruments.json").read_text()).values()
    plan = result["measures"]["plan"]["dummy/horizon_3"]
    assert plan["decisions"] > 2
    for key in ("promised", "received"):
        assert f"{plan[key]:.3g}" in out
        assert f"plans of dummy/horizon_3: {key}" in out


@pytest.fixture
def logdir(tmp_path):
    """Logdir of runs without checkpoints, without episodes, and with damage."""
    logdir = tmp_path / "logdir"
    params = {"tasks": ["dummy"], "isolate_envs": "thread"}
    for name in ("00001", "00002", "00003"):
        (logdir / name / "checkpoints").mkdir(parents=True)
        runs.save_config(configs.load("debug", params), logdir / name / "config.yaml")
    (logdir / "00002" / "checkpoints" / "ckpt-20.index").touch()
    (logdir / "00003" / "config.yaml").write_text("config_name: debug\ncem_amont: 3")
    return logdir


def test_runs_that_cannot_be_measured_are_named_and_skipped(
    logdir, trained, run_diagnose, tmp_path
):
    (tmp_path / "empty").mkdir()
    command = (tmp_path / "empty", logdir, trained / "00001")
    code, out, err = run_diagnose(*command)
    assert code == 0
    lines = [line for line in err.splitlines() if line.startswith("Skip ")]
    assert lines[0] == f"Skip {tmp_path / 'empty'}: there is no run in it"
    assert "logdir/00001: there is no checkpoint in " in lines[1]
    assert "logdir/00002: there is no episode in " in lines[2]
    assert "logdir/00003: unknown parameter 'cem_amont'" in lines[3]
    assert len(lines) == 4
    assert "reward: error / spread" in out


def test_nothing_to_measure(logdir, run_diagnose, tmp_path):
    shutil.copytree(logdir / "00001", logdir / "00004")
    code, out, err = run_diagnose(logdir, "--output", tmp_path / "output")
    assert (code, out) == (2, "")
    message = "no run has a checkpoint and episodes to measure"
    assert err.splitlines()[-1] == f"planet.scripts.diagnose: error: {message}"
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give RUN, or --logdir RUN"),
        (("setup.py",), "argument RUN: 'setup.py' is not a folder"),
        (("tests", "--checkpoint", "worst"), "argument --checkpoint: must be a whole "),
        (
            ("tests", "--distances", "0"),
            "argument --distances: must be a whole number ",
        ),
        (("tests", "--phase", "tset"), "argument --phase: invalid choice: 'tset'"),
        (
            ("tests", "--newest", "0"),
            "argument --newest: must be a whole number from 1",
        ),
        (("tests", "--episodes", "-1"), "argument --episodes: must be a whole number "),
        (("tests", "--episods", "1"), "unknown flag '--episods'; did you mean '--epi"),
        (("tests", "--output", "setup.py"), "argument --output: 'setup.py' is not a "),
    ],
)
def test_bad_input(arguments, message, run_diagnose, tmp_path):
    output = tmp_path / "output"
    code, out, err = run_diagnose("--output", output, *arguments)
    assert (code, out) == (2, "")
    line = err.splitlines()[-1]
    assert line.startswith(f"planet.scripts.diagnose: error: {message}")
    assert not output.exists()


@pytest.mark.slow
def test_diagnostics_and_plans_of_a_task_that_renders(run_python, tmp_path):
    params = "{tasks: [cartpole_balance], dumbnet: true, max_steps: 20}"
    command = ("--logdir", tmp_path / "logdir", "--config", "debug", "--params", params)
    result = run_python("-m", "planet.scripts.train", *command)
    assert result.returncode == 0, result.stderr
    command = (tmp_path / "logdir", "--episodes", 1, "--output", tmp_path)
    result = run_python("-m", "planet.scripts.diagnose", *command)
    assert result.returncode == 0, result.stderr
    (found,) = json.loads((tmp_path / "instruments.json").read_text()).values()
    measures = found["measures"]
    assert {"position", "velocity", "image", "reward"} <= measures.keys()
    assert measures["plan"]["cartpole_balance/horizon_12"]["decisions"] > 2
