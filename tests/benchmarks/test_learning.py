import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from benchmarks import learning
from planet.scripts import configs, runs
from planet.tools import events, parameters
from tests import conftest, written_runs

FIELDS = ["name", "command", "minutes", "train", "config", "params", "machine"]
FIELDS += ["seeds", "runs", "summary"]


def read(path):
    return json.loads(path.read_text())


@pytest.mark.parametrize("name", learning.EXPERIMENTS)
def test_experiments_can_be_trained(name):
    experiment = learning.EXPERIMENTS[name]
    command = learning.training_command(experiment.config, experiment.params, 3, "a")
    params = parameters.parse(command[-1], "--params")
    config = configs.load(experiment.config, params, source="--params")
    assert config.seed == 3
    assert {key: config[key] for key in experiment.params} == experiment.params
    horizon = 6 if name == "cup_catch_unguided" else 24 if "_da" in name else 12
    assert config.collect_horizons == config.summary_horizons == [horizon]


def write_run(folder, seed, **content):
    """A run as `train` leaves it, but for its checkpoints."""
    folder.mkdir(parents=True)
    settings = {"tasks": ["dummy"], "dumbnet": True, "seed": seed}
    config = configs.load("debug", settings)
    runs.save_config(config, folder / "config.yaml")
    written_runs.write_run(folder, **content)


@pytest.fixture
def written(tmp_path):
    """The runs of three seeds, of which one is slow and one has just started."""
    logdir = tmp_path / "runs" / "debug"
    write_run(logdir / "seed0" / "00001", 0, pace=2.0)
    write_run(logdir / "seed1" / "00001", 1, epochs=2, offset=60.0, pace=3.0)
    write_run(logdir / "seed2" / "00001", 2, epochs=0)
    machine = {"cpu": "A", "cores": 2, "matmul_gflops": 9, "measured": "once"}
    (logdir / "machine.json").write_text(json.dumps(machine))
    return tmp_path


def collect(run_main, folder, *arguments):
    command = ["debug", "--collect_only", "--seeds", 0, 1, 2]
    command += ["--logdir", folder / "runs", "--output", folder / "curves"]
    return run_main(learning.main, *command, *arguments)


def test_curves_of_runs_that_there_are(written, run_main):
    code, out, err = collect(run_main, written)
    assert code == 0, err
    path = written / "curves" / "debug.json"
    assert out == f"Wrote {path} and {path.with_suffix('.png')}\n"
    young = written / "runs" / "debug" / "seed2" / "00001"
    assert err == f"Skip {young}: no epoch is complete: there is no test/score\n"
    content = read(path)
    assert list(content) == FIELDS
    assert content["command"] == "python -m benchmarks.learning debug --seeds 0 1 2"
    assert content["machine"]["matmul_gflops"] == 9
    assert content["config"] == "debug"
    assert content["params"] == {"tasks": ["dummy"], "dumbnet": True}
    params = '{"tasks": ["dummy"], "dumbnet": true, "seed": SEED}'
    assert content["train"] == (
        f"python -m planet.scripts.train --logdir LOGDIR --config debug "
        f"--params '{params}'"
    )
    assert content["seeds"] == [0, 1]
    first, second = content["runs"]
    assert first["steps"] == [110, 220, 330]
    assert first["env_steps"] == [1000, 2000, 3000]
    assert first["updates"] == [20, 40, 60]
    assert first["minutes"] == [2, 4, 6]
    assert first["test_score"] == [110, 220, 330]
    assert first["collected_return"] == [100, 210, 320]
    assert second["minutes"] == [3, 6]
    assert second["test_score"] == [170, 280]
    assert second["image_loss_te"] == [-50, -160]
    summary = content["summary"]["test_score"]
    assert summary["mean"] == [140, 250, 330]
    assert summary["low"] == [110, 220, None]
    assert summary["high"] == [170, 280, None]
    assert path.stat().st_size < 5000
    with Image.open(path.with_suffix(".png")) as image:
        assert image.format == "PNG"


def test_epochs_without_collection_have_no_collected_return(tmp_path, run_main):
    run = tmp_path / "somewhere" / "00007"
    write_run(run, 5, collected=False)
    (tmp_path / "machine.json").write_text('{"cpu": "A"}')
    command = ["mine", "--runs", tmp_path / "somewhere", "--output", tmp_path]
    code, _, err = run_main(learning.main, *command)
    assert code == 1
    message = "error: the runs lack env_steps; --x may be epochs, steps"
    assert err == f"benchmarks.learning: {message}\n"
    assert not (tmp_path / "mine.json").exists()
    code, _, err = run_main(learning.main, *command, "--x", "steps")
    assert code == 0, err
    content = read(tmp_path / "mine.json")
    assert content["command"] is None
    assert content["seeds"] == [5]
    assert "collected_return" not in content["runs"][0]
    assert list(content["summary"]["test_score"]) == ["mean"]
    assert content["machine"] == {"cpu": "A"}


def test_bands_are_intervals_of_the_mean():
    values = np.random.default_rng(0).normal(5, 2, (40, 3))
    table = np.ma.masked_array(values, np.zeros_like(values, bool))
    table[1:, 2] = np.ma.masked
    mean, low, high = learning.estimate(table)
    np.testing.assert_allclose(mean[:2], values[:, :2].mean(0))
    half = 1.96 * values[:, :2].std(0, ddof=1) / 40**0.5
    np.testing.assert_allclose(mean[:2] - low[:2], half, rtol=0.15)
    np.testing.assert_allclose(high[:2] - mean[:2], half, rtol=0.15)
    assert np.isnan([low[2], high[2]]).all()
    assert mean[2] == values[0, 2]


def test_means_are_drawn_epoch_by_epoch():
    curves = [
        {"test_score": [1.0, 3.0, 5.0], "minutes": [2.0, 4.0, 6.0]},
        {"test_score": [2.0, None, 7.0], "minutes": [3.0, 6.0, 9.0]},
        {"test_score": [3.0], "minutes": [4.0]},
    ]
    panel, *_ = learning.plot(curves, "minutes", {}, "mine").axes
    *_, mean = panel.lines
    np.testing.assert_allclose(mean.get_xdata(), [3, 5, 7.5])
    np.testing.assert_allclose(mean.get_ydata(), [2, 3.75, 6])


@pytest.mark.parametrize("epochs", [1, 2, 4])
def test_epochs_are_numbered_in_whole_steps(epochs):
    curves = [{"test_score": [1.0, 3.0, 2.0, 5.0][:epochs]}]
    panel, *_ = learning.plot(curves, "epochs", {}, "mine").axes
    ticks = panel.get_xticks()
    assert set(range(1, epochs + 1)) <= set(ticks)
    assert (ticks == ticks.round()).all()


def test_overlay_shares_the_axis(written, run_main):
    scores = written / "scores.json"
    other = {"test_score": [1, 2, 3, 4]}
    scores.write_text(json.dumps({"a": other, "b": other}))
    code, _, err = collect(run_main, written, "--overlay", scores)
    assert code == 2
    assert f"a in {scores} lacks env_steps; try --x epochs" in err
    arguments = ["--overlay", scores, "--x", "epochs", "--overlay_labels"]
    code, _, err = collect(run_main, written, *arguments, "c")
    assert (code, "unknown label 'c'" in err) == (2, True)
    code, _, err = collect(run_main, written, *arguments, "b")
    assert code == 0, err
    curves = [{"test_score": [1.0, 3.0]}, {"test_score": [2.0, None]}]
    scores = {"b": {"test_score": np.array([5.0, 6, 7])}}
    panel, *_ = learning.plot(curves, "epochs", scores, "mine").axes
    *_, mean, overlay = panel.lines
    np.testing.assert_allclose(mean.get_ydata(), [1.5, 3])
    np.testing.assert_allclose(overlay.get_ydata(), [5, 6, 7])
    texts = [text.get_text() for text in panel.get_legend().get_texts()]
    assert texts == ["mine", "b"]


def test_runs_of_other_settings_are_refused(written, run_main):
    path = written / "runs" / "debug" / "seed1" / "00001" / "config.yaml"
    path.write_text(path.read_text().replace("free_nats: 2.0", "free_nats: 7.0"))
    code, _, err = collect(run_main, written)
    assert code == 1
    assert err.endswith(
        f"error: {path.parent} differs from the first run in free_nats\n"
    )


def test_runs_of_another_machine_are_added(written, run_main):
    elsewhere = written / "elsewhere"
    write_run(elsewhere / "debug" / "seed1" / "00001", 1, pace=4.0)
    (elsewhere / "debug" / "machine.json").write_text('{"cpu": "B"}')
    command = ["debug", "--collect_only", "--seeds", 1, "--logdir", elsewhere]
    code, _, err = run_main(learning.main, *command, "--output", elsewhere)
    assert code == 0, err
    path = elsewhere / "debug.json"
    (written / "runs" / "debug" / "seed1").rename(written / "away")
    code, _, err = collect(run_main, written, "--add", path)
    assert code == 0, err
    content = read(written / "curves" / "debug.json")
    assert content["command"].endswith(f"debug --seeds 0 1 2 --add {path}")
    assert content["machine"]["cpu"] == "A"
    (added,) = content["added"]
    assert added == {"file": "debug.json", "seeds": [1], "machine": {"cpu": "B"}}
    assert content["seeds"] == [0, 1]
    assert [run["minutes"] for run in content["runs"]] == [[2, 4, 6], [4, 8, 12]]
    assert content["runs"][1] == read(path)["runs"][0]
    assert content["summary"]["test_score"]["low"] == [110, 220, 330]

    other = read(path)
    other["params"]["free_nats"] = 7.0
    path.write_text(json.dumps(other))
    code, _, err = collect(run_main, written, "--add", path)
    assert code == 1
    assert err.endswith(f"error: {path} differs from the first run in free_nats\n")
    for foreign in ({"seeds": []}, {"seeds": ["x"]}, {"params": [1]}, {"runs": [1]}):
        path.write_text(json.dumps({**other, **foreign}))
        code, _, err = collect(run_main, written, "--add", path)
        assert code == 2
        assert f"'{path}' is not what benchmarks.learning writes: " in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cartpole"], "unknown experiment 'cartpole'; did you mean 'cartpole_"),
        (["debug", "--minutes", "-1"], "argument --minutes: must be"),
        (["debug", "--seeds", "x"], "argument --seeds: must be"),
        (["debug", "--add", "a.json"], "argument --add: 'a.json' is not a file"),
        (["debug", "--overlay_labels", "a"], "--overlay_labels needs --overlay"),
        (["mine", "--runs", "."], "no run in ."),
        (["debug", "--x", "hours"], "argument --x: invalid choice"),
    ],
)
def test_bad_input(arguments, message, run_main, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run_main(learning.main, *arguments)
    assert code == 2
    (line,) = err.splitlines()
    assert line.startswith(f"benchmarks.learning: error: {message}")
    assert not any(tmp_path.iterdir())


def run_debug(folder, *arguments):
    command = ["-m", "benchmarks.learning", "debug", "--logdir", folder / "runs"]
    command = [*command, "--output", folder / "curves", *arguments]
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=conftest.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_an_experiment_is_trained_resumed_and_then_left_alone(tmp_path):
    process = run_debug(tmp_path, "--seeds", "0", "--minutes", "60")
    run = tmp_path / "runs" / "debug" / "seed0" / "00001"
    while not runs.checkpoints(run):
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 143, out
    (before, *_) = runs.checkpoints(run)
    saved = max(runs.checkpoints(run))
    assert f"Interrupted; step {saved} is saved; the same command continues." in out

    trained = events.read(run / "test", "scalars")["minutes"][-1].value
    budget = round(trained + 0.03, 3)
    arguments = ["--seeds", "0", "1", "--minutes", budget]
    process = run_debug(tmp_path, *arguments)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    assert out.count("python -m planet.scripts.train --logdir ") == 2
    assert "Continue from the checkpoint of step " in out
    assert not (run / "DONE").exists()
    path = tmp_path / "curves" / "debug.json"
    content = read(path)
    assert content["seeds"] == [0, 1]
    machine = content["machine"]
    assert machine["measured"] == "before training"
    assert machine["matmul_gflops"] > 0
    assert machine["cores"] == os.cpu_count()
    for curve in content["runs"]:
        for key in ("steps", "updates", "minutes", "env_steps", "episodes"):
            assert all(np.diff(curve[key]) > 0), key
        assert curve["minutes"][-1] >= budget
        assert len(curve["test_score"]) == len(curve["minutes"])
    assert content["runs"][0]["steps"][0] <= before

    process = run_debug(tmp_path, *arguments)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    assert out.count("Skip ") == 2
    assert read(path) == content
