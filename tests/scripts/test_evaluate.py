import dataclasses
import functools
import json
import re
import shutil

import numpy as np
import pytest

from planet.scripts import configs, evaluate, runs, tasks


@pytest.fixture
def trained(finished_runs):
    """Folder of a finished run."""
    return finished_runs[0] / "00001"


@pytest.fixture
def run_evaluate(run_main):
    """Runs the command; returns exit code, standard output and errors."""
    return functools.partial(run_main, evaluate.main)


@pytest.mark.slow
def test_same_seed_gives_same_returns(trained, run_evaluate, tmp_path):
    command = ("--logdir", trained, "--num_agents", 2, "--output")
    cases = {
        "first": ("--episodes", 2),
        "more": ("--episodes", 4),
        "earlier": ("--episodes", 2, "--checkpoint", 20),
    }
    results, tables = {}, {}
    for name, arguments in cases.items():
        path = tmp_path / f"{name}.json"
        films = ("--video", tmp_path / name)
        code, tables[name], _ = run_evaluate(*command, path, *arguments, *films)
        assert code == 0
        results[name] = json.loads(path.read_text())
    first, more, _ = (x["tasks"]["dummy"]["returns"] for x in results.values())
    assert first == more[:2]
    assert len(set(more)) == 4

    # Dreams tell whether actions are the same: rewards of this task don't.
    names = ["dummy_001.gif", "dummy_002.gif"]
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == names
    for name in names:
        film = (tmp_path / "first" / name).read_bytes()
        assert (tmp_path / "more" / name).read_bytes() == film
        assert (tmp_path / "earlier" / name).read_bytes() != film

    result = results["more"]
    assert {key: result[key] for key in ("checkpoint", "horizon", "seed")} == {
        "checkpoint": 40,
        "horizon": 12,
        "seed": 0,
    }
    assert results["earlier"]["checkpoint"] == 20
    task = result["tasks"]["dummy"]
    assert task["mean"] == pytest.approx(np.mean(task["returns"]))
    assert task["stddev"] == pytest.approx(np.std(task["returns"], ddof=1))
    row = ("dummy", "4", f"{task['mean']:.2f}", f"{task['stddev']:.2f}")
    lines = tables["more"].splitlines()
    assert tuple(re.split(r"[| ]+", lines[3].strip("| "))) == row
    shown = " ".join(f"{value:.2f}" for value in task["returns"])
    assert f"dummy: {shown}" in lines


def test_settings_of_the_run_can_be_overridden(trained, run_evaluate, tmp_path):
    path = tmp_path / "evaluation.json"
    params = "{planner_amount: 7, cem_topk: 3}"
    command = ("--logdir", trained, "--episodes", 1, "--output", path)
    code, _, _ = run_evaluate(*command, "--params", params)
    assert code == 0
    result = json.loads(path.read_text())
    assert result["params"] == {"planner_amount": 7, "cem_topk": 3}
    for params, message in (
        ("{cem_amounts: 7}", "unknown parameter 'cem_amounts'"),
        ("{cem_topk: 10000}", "cem_topk must be at most 5"),
        ("{model_size: 11}", "checkpoint"),
    ):
        code, _, error = run_evaluate(*command, "--overwrite", "--params", params)
        assert code == 2
        assert message in error.splitlines()[-1]


def test_default_output_is_beside_the_run_and_kept(trained, run_evaluate, tmp_path):
    run = shutil.copytree(trained, tmp_path / "00001")
    command = ("--logdir", run, "--episodes", 1, "--horizon", 1)
    assert run_evaluate(*command)[0] == 0
    path = run / "evaluation_40.json"
    result = json.loads(path.read_text())
    assert (result["run"], result["horizon"]) == (str(run), 1)
    code, out, err = run_evaluate(*command, "--seed", 5)
    assert (code, out) == (2, "")
    assert "exists; --overwrite replaces it" in err
    assert json.loads(path.read_text()) == result
    assert run_evaluate(*command, "--seed", 5, "--overwrite")[0] == 0
    other = json.loads(path.read_text())
    assert other["seed"] == 5
    assert other["tasks"] != result["tasks"]


@pytest.fixture
def logdir(tmp_path):
    """Logdir of a run that has settings, and empty files named like checkpoints."""
    folder = tmp_path / "logdir" / "00001"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "ckpt-20.index").touch()
    (folder / "checkpoints" / "ckpt-100.index").touch()
    params = {"tasks": ["dummy"], "isolate_envs": "thread"}
    runs.save_config(configs.load("debug", params), folder / "config.yaml")
    return folder.parent


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--logdir", "setup.py"), "argument --logdir: 'setup.py' is not a folder"),
        (("--logdir", "planet"), "there is no run in planet: it has no config.yaml"),
        (("--checkpoint", "40"), "no checkpoint of step 40; there are 20, 100"),
        (("--checkpoint", "best"), "there is no checkpoint in "),
        (("--checkpoint", "worst"), "argument --checkpoint: must be a whole number "),
        (("--tasks", "dumy"), "unknown task of the run 'dumy'; did you mean 'dummy'?"),
        (
            ("--episodes", "0"),
            "argument --episodes: must be a whole number from 1 to 100000, not '0'",
        ),
        (("--format", "mp4"), "--format is that of films, which take --video FOLDER"),
        (("--format", "avi"), "argument --format: invalid choice: 'avi'"),
        (("--video", "setup.py"), "argument --video: 'setup.py' is not a folder"),
        (("--output", "a.txt"), "argument --output: 'a.txt' must end with .json"),
        (("--epsodes", "3"), "unknown flag '--epsodes'; did you mean '--episodes'?"),
        ((), "cannot read checkpoint "),
    ],
)
def test_bad_input(arguments, message, logdir, run_evaluate):
    before = sorted(logdir.rglob("*"))
    code, _, err = run_evaluate("--logdir", logdir, *arguments)
    assert code == 2
    lines = [line for line in err.splitlines() if line.startswith("planet")]
    assert lines == err.splitlines()[-1:]
    assert lines[0].startswith(f"planet.scripts.evaluate: error: {message}")
    assert sorted(logdir.rglob("*")) == before


def test_run_without_checkpoint(logdir, run_evaluate):
    shutil.rmtree(logdir / "00001" / "checkpoints")
    code, _, err = run_evaluate("--logdir", logdir)
    assert code == 2
    assert "there is no checkpoint in " in err


def test_several_runs(logdir, run_evaluate):
    shutil.copytree(logdir / "00001", logdir / "00002")
    code, _, err = run_evaluate("--logdir", logdir)
    assert code == 2
    assert "holds several runs; choose one: 00001, 00002" in err


def test_damaged_settings(logdir, run_evaluate):
    (logdir / "00001" / "config.yaml").write_text("config_name: debug\ncem_amont: 3")
    code, _, err = run_evaluate("--logdir", logdir)
    assert code == 2
    assert "unknown parameter 'cem_amont' in " in err


def test_films_need_images(logdir, run_evaluate, tmp_path):
    params = {"tasks": ["dummy"], "isolate_envs": "thread", "observations": "state"}
    runs.save_config(configs.load("debug", params), logdir / "00001" / "config.yaml")
    code, _, err = run_evaluate("--logdir", logdir, "--video", tmp_path / "films")
    assert code == 2
    assert "--video needs a model of images; this one sees state" in err
    assert not (tmp_path / "films").exists()


def test_films_stay_in_their_folder(tmp_path):
    command = ["--logdir", "tests", "--video", str(tmp_path), "--episodes", "1"]
    args = evaluate._make_parser().parse_args(command)
    config = configs.load("debug", {"tasks": ["dummy"]})
    (dummy,) = tasks.load(config)
    for name in ("dmc:walker_walk", "a/../../b:c", "/etc/x:y", "..:z", "é" * 500):
        task = dataclasses.replace(dummy, name=name)
        (path,) = evaluate._name_films(args, config, [task]).values()
        assert path.parent == tmp_path
        path.touch()
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("tasks: ['os:abort']", "task 'os:abort' cannot be used: 'os' is a module of"),
        ("tasks: ['gym:os:X-v0']", "task 'gym:os:X-v0' cannot be used: 'os' is a mod"),
        ("tasks: ['planet.scripts.evaluate:main']", "task 'planet.scripts.evaluate:m"),
        ("tasks: ['beside:make']", "unknown task 'beside:make': there is no module"),
        ("model: 'beside:make'", "model 'beside:make' cannot be used: there is no m"),
        ("model: 'subprocess:Popen'", "model 'subprocess:Popen' cannot be used: 'sub"),
        ("planner: 'os:system'", "planner 'os:system' cannot be used: 'os' is a mod"),
        ("network: code", "unknown network 'code' in "),
        ("network: os.path", "network 'os.path' cannot be used: 'os' is a module of"),
    ],
)
def test_settings_of_a_run_cannot_name_any_code(setting, message, logdir, run_evaluate):
    """Neither Python's own, nor what lies beside them."""
    run = logdir / "00001"
    lines = ["config_name: debug", setting]
    if not setting.startswith("tasks"):
        lines.append("tasks: [dummy]")
    (run / "config.yaml").write_text("\n".join(lines))
    marker = run / "executed"
    for folder in (run, logdir):
        (folder / "beside.py").write_text(f"open({str(marker)!r}, 'w')")
    code, _, err = run_evaluate("--logdir", logdir)
    assert code == 2
    (line,) = err.splitlines()
    assert line.startswith(f"planet.scripts.evaluate: error: {message}")
    assert not marker.exists()


def test_help(run_evaluate):
    code, out, _ = run_evaluate("--help")
    assert code == 0
    for flag in ("logdir", "checkpoint", "episodes", "num_agents", "video", "seed"):
        assert f"--{flag}" in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.slow
@pytest.mark.parametrize("observations", ["image", "state"])
def test_tasks_of_a_run_in_processes(observations, run_python, tmp_path):
    params = (
        "{tasks: [cartpole_balance, cheetah_run], dumbnet: true, max_steps: 20, "
        f"observations: {observations}}}"
    )
    command = ("--logdir", tmp_path, "--config", "debug", "--params", params)
    result = run_python("-m", "planet.scripts.train", *command)
    assert result.returncode == 0, result.stderr
    results = []
    for index, arguments in enumerate([(), (), ("--tasks", "cheetah_run")]):
        path = tmp_path / f"{index}.json"
        command = ("--logdir", tmp_path, "--episodes", 3, "--num_agents", 2)
        result = run_python(
            "-m", "planet.scripts.evaluate", *command, "--output", path, *arguments
        )
        assert result.returncode == 0, result.stderr
        results.append(json.loads(path.read_text())["tasks"])
    assert list(results[0]) == ["cartpole_balance", "cheetah_run"]
    assert results[0] == results[1]
    assert results[2] == {"cheetah_run": results[0]["cheetah_run"]}
