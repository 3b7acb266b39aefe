import csv
import functools
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from planet.scripts import analyse_latents, runs, train
from planet.tools import latent_files

NAMES = ["r2.csv", "r2.json", "r2.png", "r2.svg"]
INPUTS = ["sample", "sample PCA 3", "belief", "belief PCA 3", "belief PCA 10"]


@pytest.fixture
def run_analysis(run_main):
    """Runs the command; returns exit code, standard output and errors."""
    return functools.partial(run_main, analyse_latents.main)


def make_arrays(phase, seed, scale=1.0):
    """States of which position is linear in the belief, and velocity is noise."""
    rng = np.random.default_rng(seed)
    belief = rng.normal(size=(200, 12)).astype(np.float32)
    position = scale * belief[:, :3] @ np.arange(12).reshape(3, 4)
    return {
        "sample": rng.normal(size=(200, 5)).astype(np.float32),
        "belief": belief,
        "position": position,
        "velocity": rng.normal(size=200),
        "sequence": np.repeat(np.arange(4), 50),
        "phase": phase,
    }


@pytest.fixture
def logdir(tmp_path):
    """Two runs, of two and of one epoch; the older epoch of the first is noise."""
    runs = {
        "00001": [("train", 7.0), ("test", -7.0), ("train", 1.0), ("train", 1.0)],
        "00002": [("train", 2.0)],
    }
    for name, files in runs.items():
        folder = tmp_path / "logdir" / name
        folder.mkdir(parents=True)
        (folder / "config.yaml").touch()
        # A train phase follows that no test phase has finished yet.
        files += [("test", files[-1][1]), ("train", 9.0)]
        for index, (phase, scale) in enumerate(files):
            arrays = make_arrays(phase, index, scale)
            steps = 90 * index, 90 * (index + 1)
            latent_files.write(folder / "latents", *steps, arrays)
    return tmp_path / "logdir"


def test_newest_epoch_is_analysed(logdir, run_analysis, tmp_path):
    output = tmp_path / "output"
    code, out, err = run_analysis(logdir, "--output", output)
    assert (code, err) == (0, "")
    assert sorted(path.name for path in output.iterdir()) == NAMES
    results = json.loads((output / "r2.json").read_text())
    keys = [(row["run"], row["diagnostic"], row["input"]) for row in results]
    assert keys == [
        (f"logdir/{run}", diagnostic, name)
        for run in ("00001", "00002")
        for diagnostic in ("position", "velocity")
        for name in INPUTS
    ]
    r2 = {key: row["r2"] for key, row in zip(keys, results, strict=True)}
    for run, step, train_steps in ("00001", 450, 400), ("00002", 180, 200):
        rows = [row for row in results if row["run"] == f"logdir/{run}"]
        assert {row["step"] for row in rows} == {step}
        assert {row["train_steps"] for row in rows} == {train_steps}
        assert {row["test_steps"] for row in rows} == {200}
        assert r2[f"logdir/{run}", "position", "belief"] > 0.99
        assert 0.1 < r2[f"logdir/{run}", "position", "belief PCA 3"] < 0.9
        assert r2[f"logdir/{run}", "position", "sample"] < 0.1
        assert r2[f"logdir/{run}", "velocity", "belief"] < 0.1
    assert [len(row["r2_by_entry"]) for row in results] == 2 * (5 * [4] + 5 * [1])
    for row in results:
        assert row["r2"] == pytest.approx(np.mean(row["r2_by_entry"]))

    with (output / "r2.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [float(line["r2"]) for line in lines] == [row["r2"] for row in results]
    table = [line.strip("| ").split("|") for line in out.splitlines()]
    assert [entry.strip() for entry in table[0]] == ["run", "diagnostic", *INPUTS]
    shown = [entry.strip() for line in table[2:] for entry in line[2:]]
    assert shown == [f"{row['r2']:.2f}" for row in results]
    with Image.open(output / "r2.png") as image:
        assert min(image.size) > 300
        assert np.ptp(np.asarray(image.convert("L"))) == 255
    assert "<svg" in (output / "r2.svg").read_text()


def test_components_that_are_asked_for(logdir, run_analysis):
    code, out, _ = run_analysis(logdir / "00002", "--components", 2, 12, 13)
    assert code == 0
    header = [entry.strip() for entry in out.splitlines()[0].strip("| ").split("|")]
    inputs = ["sample", "sample PCA 2", "belief", "belief PCA 2", "belief PCA 12"]
    assert header == ["run", "diagnostic", *inputs]
    _, _, position, velocity = out.splitlines()
    for line in position, velocity:
        values = [entry.strip() for entry in line.split("|")]
        assert values[5] == values[7]


def test_runs_without_states_are_named_and_skipped(logdir, run_analysis, tmp_path):
    (tmp_path / "empty").mkdir()
    shutil.rmtree(logdir / "00001" / "latents")
    code, out, err = run_analysis(tmp_path / "empty", logdir, logdir / "00002")
    assert code == 0
    lines = err.splitlines()
    assert lines[0] == f"Skip {tmp_path / 'empty'}: there is no run in it"
    assert lines[1].startswith("Skip logdir/00001: no states of a train phase and ")
    assert len(lines) == 2
    assert [line.split()[1] for line in out.splitlines()[2:]] == 2 * ["logdir/00002"]


def test_damaged_files_are_named_and_skipped(logdir, run_analysis):
    path = logdir / "00001" / "latents" / "latents_270_360.npz"
    path.write_bytes(path.read_bytes()[:1000])
    code, _, err = run_analysis(logdir / "00001")
    assert code == 0
    (line,) = err.splitlines()
    assert line.startswith(f"Skip a file: {path} does not hold states: ")


def test_files_of_another_structure_are_skipped(logdir, run_analysis):
    folder = logdir / "00002" / "latents"
    arrays = make_arrays("train", 1)
    del arrays["velocity"]
    path = latent_files.write(folder, 1, 2, arrays)
    latent_files.write(folder, 2, 3, make_arrays("train", 1))
    code, _, err = run_analysis(logdir / "00002")
    assert code == 0
    assert err == f"Skip a file: {path}: its arrays are not those of newer files\n"


def test_numbers_that_are_too_large_are_named(logdir, run_analysis):
    folder = logdir / "00002" / "latents"
    for step, phase in ((1000, "train"), (1001, "test")):
        arrays = make_arrays(phase, 1)
        arrays["velocity"] *= 1e306
        latent_files.write(folder, step - 1, step, arrays)
    code, _, err = run_analysis(logdir / "00002")
    assert code == 2
    skipped, error = err.splitlines()
    assert skipped.startswith("Skip logdir/00002: velocity cannot be read from ")
    assert error.endswith("train with collect_latents: true")


def test_output_is_kept(logdir, run_analysis, tmp_path):
    (tmp_path / "r2.png").touch()
    code, out, err = run_analysis(logdir, "--output", tmp_path)
    assert (code, out) == (2, "")
    assert err == (
        f"planet.scripts.analyse_latents: error: '{tmp_path}/r2.png' exists; "
        "--overwrite replaces it\n"
    )
    assert not (tmp_path / "r2.json").exists()
    assert run_analysis(logdir, "--output", tmp_path, "--overwrite")[0] == 0
    assert (tmp_path / "r2.png").stat().st_size


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give RUN, or --logdir RUN"),
        (("missing",), "argument RUN: 'missing' is not a folder"),
        (("setup.py",), "argument RUN: 'setup.py' is not a folder"),
        (("tests",), "no run has states to analyse; train with collect_latents: true"),
        (
            ("tests", "--components", "0"),
            "argument --components: must be a whole number from 1 to 10000, not '0'",
        ),
        (("tests", "--ouput", "a"), "unknown flag '--ouput'; did you mean '--output'?"),
        (("tests", "--output", "setup.py"), "argument --output: 'setup.py' is not a "),
    ],
)
def test_bad_input(arguments, message, run_analysis, tmp_path):
    output = tmp_path / "output"
    code, out, err = run_analysis("--output", output, *arguments)
    assert (code, out) == (2, "")
    line = err.splitlines()[-1]
    assert line.startswith(f"planet.scripts.analyse_latents: error: {message}")
    assert not output.exists()


def test_help(run_analysis):
    code, out, _ = run_analysis("--help")
    assert code == 0
    for flag in ("RUN", "--output", "--components", "--overwrite"):
        assert flag in out


def test_states_of_a_run(run_analysis, tmp_path):
    logdir = tmp_path / "logdir"
    params = (
        "{tasks: [dummy], isolate_envs: thread, dumbnet: true, observations: state, "
        "overshooting: 0, batch_shape: [5, 4], max_steps: 20, collect_latents: true}"
    )
    command = ("--logdir", str(logdir), "--config", "debug", "--params", params)
    assert train.main(command) == 0
    files = latent_files.scan(logdir / "00001" / "latents")
    assert list(files) == [5, 10, 20]
    phases = [latent_files.read(path)["phase"] for path in files.values()]
    assert phases == ["train", "train", "test"]
    code, out, _ = run_analysis(logdir)
    assert code == 0
    assert out.splitlines()[2].startswith("| logdir/00001 | state ")


@pytest.mark.slow
def test_states_of_a_task_with_diagnostics(run_python, run_analysis, tmp_path):
    params = (
        "{tasks: [cartpole_balance], dumbnet: true, max_steps: 20, "
        "collect_latents: true}"
    )
    command = ("--logdir", tmp_path, "--config", "debug", "--params", params)
    result = run_python("-m", "planet.scripts.train", *command)
    assert result.returncode == 0, result.stderr
    config = runs.read_config(tmp_path / "00001" / "config.yaml")
    assert config.collect_latents
    code, out, _ = run_analysis(tmp_path)
    assert code == 0
    assert [line.split()[3] for line in out.splitlines()[2:]] == [
        "position",
        "velocity",
    ]
