import json
import math
import shutil

import pytest

from tests import written_runs

PROG = "planet.scripts.compile_scores"
METRICS = ["test_score", "image_loss", "reward_loss", "image_loss_te", "reward_loss_te"]


@pytest.fixture
def compile_scores(run_python):
    def run(*arguments):
        return run_python("-m", PROG, *arguments)

    return run


def read(path):
    return json.loads(path.read_text())


def add_outputs(parent):
    """Adds what other scripts write, which is no run."""
    for path in (
        "scores.json",
        "films/dummy_001.gif",
        "alone/evaluation/evaluation_40.json",
        "alone/diagnosis/instruments.png",
        "agent/config.yaml",
        "agent/checkpoints/ckpt-40/001.npz",
        "events/scalars.json",
        "events/images/pair/00001/test/graph/00000040.png",
    ):
        (parent / path).parent.mkdir(parents=True, exist_ok=True)
        (parent / path).touch()


def test_runs_as_they_are_trained(compile_scores, run_python, finished_runs, tmp_path):
    """Runs of the debug config, and what may lie beside them."""
    logdir, _ = finished_runs
    parent, output = tmp_path / "runs", tmp_path / "scores.json"
    labels = ["alone/00001", "pair/00001", "pair/00002"]
    for label in labels:
        run = logdir / label.split("/")[1]
        shutil.copytree(run, parent / label)
    for label in ("crashed", "torn"):
        shutil.copytree(run, parent / label / "00001")
    fail = "Traceback\nFloatingPointError: loss is nan\n"
    (parent / "crashed" / "00001" / "FAIL").write_text(fail)
    files = written_runs.event_files(parent / "torn" / "00001" / "test")
    torn = max(files, key=lambda path: path.stat().st_size)
    torn.write_bytes(torn.read_bytes()[:-1])
    (parent / "empty" / "00001").mkdir(parents=True)
    add_outputs(parent)

    result = compile_scores(parent, output)
    assert result.returncode == 0, result.stderr
    assert result.stderr.splitlines() == [
        f"Skip {parent}/crashed/00001: the run failed: FloatingPointError: loss is nan",
        f"Skip {parent}/empty/00001: the folder is empty",
        f"Read {torn} only in part: the last record is cut",
    ]
    labels = ["alone", *labels[1:], "torn"]
    assert result.stdout.splitlines() == [f"{label}: 2 epochs" for label in labels]
    content = read(output)
    assert list(content) == labels
    for metrics in content.values():
        assert list(metrics) == METRICS
        for values in metrics.values():
            assert len(values) == 2
            assert all(math.isfinite(value) and value for value in values)
    assert content["pair/00001"] != content["pair/00002"] == content["torn"]

    histograms = tmp_path / "histograms.json"
    result = run_python(
        *("-m", "planet.scripts.compile_histograms", parent, histograms)
    )
    assert result.returncode == 0, result.stderr
    content = read(histograms)
    assert list(content) == labels
    for run in content.values():
        for epochs in (run["cem_returns"], run["cem_returns_first"]):
            assert len(epochs) == 2
            assert all(sum(epoch["counts"]) for epoch in epochs)


def test_epochs_are_in_order(compile_scores, tmp_path):
    run = tmp_path / "deep" / "label" / "00007"
    written_runs.write_run(run, epochs=2, first=2)  # Events of later steps first.
    written_runs.write_run(run, epochs=2)
    output = tmp_path / "scores.json"
    assert compile_scores(tmp_path / "deep", output).returncode == 0
    train, test = [-100, -210, -320, -430], [-110, -220, -330, -440]
    lists = [[110, 220, 330, 440], train, train, test, test]
    assert read(output) == {"label": dict(zip(METRICS, lists, strict=True))}
    assert compile_scores(tmp_path, output, "--overwrite").returncode == 0
    assert list(read(output)) == ["deep/label"]


def test_continued_run_counts_each_epoch_once(compile_scores, tmp_path):
    run = tmp_path / "label" / "00001"
    written_runs.restart(run, 1)
    written_runs.write_run(run, epochs=3)
    written_runs.restart(run, 221)
    written_runs.write_run(run, epochs=2, first=2, offset=1000)
    output = tmp_path / "scores.json"
    assert compile_scores(tmp_path, output).returncode == 0
    assert read(output)["label"]["test_score"] == [110, 220, 1330, 1440]
    assert read(output)["label"]["image_loss"] == [-100, -210, 680, 570]


def test_only_complete_epochs_are_kept(compile_scores, tmp_path):
    run = tmp_path / "label" / "00001"
    written_runs.write_run(run, epochs=2)
    written_runs.write_run(run, epochs=1, first=2, losses=written_runs.LOSSES[:1])
    output = tmp_path / "scores.json"
    result = compile_scores(tmp_path, output)
    assert result.stderr == f"Keep 2 of 3 epochs of {run}: one is incomplete\n"
    assert {len(values) for values in read(output)["label"].values()} == {2}


def test_axes_are_added(compile_scores, tmp_path):
    written_runs.write_run(tmp_path / "new" / "00001", epochs=2, pace=3.5)
    written_runs.write_run(tmp_path / "old" / "00001", epochs=2)
    output = tmp_path / "scores.json"
    axes = ["minutes", "steps", "env_steps", "updates"]
    result = compile_scores(tmp_path, output, "--x", *axes)
    assert result.returncode == 0, result.stderr
    reason = "no epoch is complete: there is no test/minutes"
    assert result.stderr == f"Skip {tmp_path}/old/00001: {reason}\n"
    (content,) = read(output).values()
    assert list(content) == [*METRICS, *axes]
    lists = [[3.5, 7], [110, 220], [1000, 2000], [20, 40]]
    assert [content[axis] for axis in axes] == lists
    result = compile_scores(tmp_path, output, "--overwrite", "--x", "steps")
    assert [x["steps"] for x in read(output).values()] == [[110, 220]] * 2
    result = compile_scores(tmp_path, output, "--x", "seconds")
    assert result.returncode == 2
    assert "argument --x: invalid choice: 'seconds'" in result.stderr


def test_run_on_states(compile_scores, tmp_path):
    tags = ("loss/zero_step/state", "loss/zero_step/reward")
    written_runs.write_run(tmp_path / "label" / "00001", losses=tags, offset=math.nan)
    output = tmp_path / "scores.json"
    assert compile_scores(tmp_path, output).returncode == 0
    assert read(output) == {"label": {metric: 3 * [None] for metric in METRICS}}


def test_no_run_at_all(compile_scores, tmp_path):
    written_runs.write_run(tmp_path / "runs" / "young" / "00001", epochs=0)
    output = tmp_path / "scores.json"
    result = compile_scores(tmp_path / "runs", output)
    assert result.returncode == 1
    skipped, error = result.stderr.splitlines()
    assert skipped.endswith("young/00001: no epoch is complete: there is no test/score")
    message = f"error: no run to compile in {tmp_path}/runs"
    assert error == f"{PROG}: {message}"
    assert not output.exists()


def test_bad_input(compile_scores, tmp_path):
    (tmp_path / "scores.json").write_text("precious")
    for arguments, message in (
        (
            ("no_such", tmp_path / "a.json"),
            "argument PARENT: 'no_such' is not a folder",
        ),
        ((tmp_path, tmp_path / "a.txt"), "argument OUT.json: '"),
        (
            (tmp_path, tmp_path / "scores.json"),
            f"'{tmp_path}/scores.json' exists; --ov",
        ),
    ):
        result = compile_scores(*arguments)
        assert result.returncode == 2
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"{PROG}: error: {message}")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["precious"]


def test_help(compile_scores):
    result = compile_scores("--help")
    assert result.returncode == 0
    assert "PARENT/LABEL/00001" in result.stdout
