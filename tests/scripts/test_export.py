import functools
import json
import shlex

import numpy as np
import pytest

from planet.scripts import configs, evaluate, export, runs, train
from planet.tools import tf1_checkpoint
from tests import conftest


@pytest.fixture
def trained(finished_runs):
    """Folder of a finished run."""
    return finished_runs[0] / "00001"


@pytest.fixture
def run_export(run_main):
    """Runs the command; returns exit code, standard output and errors."""
    return functools.partial(run_main, export.main)


def settings_of(text):
    """The settings of the training command in a text."""
    (line,) = (line for line in text.splitlines() if "scripts.train" in line)
    args = train._make_parser().parse_args(shlex.split(line)[3:])
    params = runs.read_params(args.params)
    return args.config, params, configs.load(args.config, params)


@pytest.mark.slow
def test_exported_agent_is_evaluated_like_its_run(
    trained, run_export, run_main, tmp_path
):
    agent = tmp_path / "agents" / "noise"
    code, out, err = run_export("--logdir", trained, "--output", agent)
    assert code == 0, err
    names = ["README.md", "checkpoints/ckpt-40/001.npz", "config.yaml"]
    paths = sorted(path for path in agent.rglob("*") if path.is_file())
    assert [str(path.relative_to(agent)) for path in paths] == names
    assert f"weights of step 40 in {agent}: " in out

    weights = tf1_checkpoint.read(runs.checkpoints(trained)[40])
    halves = tf1_checkpoint.read(runs.checkpoints(agent)[40])
    assert halves.keys() == weights.keys()
    for name, value in weights.items():
        np.testing.assert_array_equal(halves[name], value.astype(np.float16))

    command = ("--logdir", agent, "--episodes", 1, "--video", tmp_path / "films")
    code, out, err = run_main(evaluate.main, *command)
    assert code == 0, err
    assert (tmp_path / "films" / "dummy_001.gif").exists()
    assert json.loads((agent / "evaluation_40.json").read_text())["checkpoint"] == 40


def test_readme_holds_the_command_that_trained_it(trained, run_export, tmp_path):
    assert run_export("--logdir", trained, "--output", tmp_path / "agent")[0] == 0
    text = (tmp_path / "agent" / "README.md").read_text()
    assert text.startswith("# agent\n\nWeights of an agent after 40 sequences, ")
    name, _, config = settings_of(text)
    assert name == "debug"
    assert runs.differences(config, runs.read_config(trained / "config.yaml")) == []


def test_command_is_the_shortest():
    params = {"tasks": ["cartpole_balance_da"], "seed": 3}
    config = configs.load("cpu", params)
    settings = {key: config[key] for key in configs.PARAMETERS}
    written = configs.load("newhp", settings)
    name, found, _ = settings_of(runs.train_command(written, "runs/x"))
    assert (name, found) == ("cpu", params)


def test_command_has_what_the_environment_needs():
    params = {
        "tasks": ["tests.control.user_envs:camera"],
        "image_key": "eye",
        "env_params": {"size": 9},
        "episode_steps": 300,
    }
    config = configs.load("newhp", params)
    name, found, loaded = settings_of(runs.train_command(config, "runs/x"))
    assert (name, found) == ("newhp", params)
    assert runs.differences(loaded, config) == []


def test_chosen_checkpoint(trained, run_export, tmp_path):
    command = ("--logdir", trained, "--output", tmp_path / "agent")
    assert run_export(*command, "--checkpoint", 20)[0] == 0
    assert list(runs.checkpoints(tmp_path / "agent")) == [20]


def test_bad_input(trained, run_export, tmp_path):
    (tmp_path / "full").mkdir()
    for arguments, message in [
        (("--logdir", trained, "--output", tmp_path / "full"), "exists already"),
        (
            ("--logdir", tmp_path / "full", "--output", tmp_path / "agent"),
            f"there is no run in {tmp_path}/full: it has no config.yaml",
        ),
        (
            ("--logdir", trained, "--output", tmp_path / "agent", "--checkpoint", 7),
            "no checkpoint of step 7; there are 20, 40",
        ),
    ]:
        code, out, err = run_export(*arguments)
        assert (code, out) == (2, "")
        (line,) = err.splitlines()
        assert line.startswith("planet.scripts.export: error: ")
        assert message in line
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_unreadable_checkpoint_leaves_nothing(trained, run_export, tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.yaml").write_bytes((trained / "config.yaml").read_bytes())
    (run / "checkpoints" / "ckpt-5.index").write_text("damaged")
    code, out, err = run_export("--logdir", run, "--output", tmp_path / "agent")
    assert (code, out) == (2, "")
    assert err.startswith("planet.scripts.export: error: cannot read checkpoint ")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_weights_can_be_started_from(trained, run_export, tmp_path):
    """`train` takes them for a checkpoint; loading them is like evaluating them."""
    assert run_export(trained, "--output", tmp_path / "agent")[0] == 0
    path = str(tmp_path / "agent" / "checkpoints" / "ckpt-40")
    for start in (path, tmp_path / "agent", f"{tmp_path}/agent@40"):
        assert runs.find_checkpoint(str(start)) == path


def test_keras_uses_tensorflow_whatever_its_settings_say(run_python, tmp_path):
    agent = conftest.ROOT / "agents" / "cartpole_balance"
    arguments = ("--logdir", agent, "--output", tmp_path / "agent")
    result = run_python(
        "-m", "planet.scripts.export", *arguments, KERAS_BACKEND="torch"
    )
    assert result.returncode == 0, result.stderr
    (step,) = runs.checkpoints(agent)
    assert (tmp_path / "agent" / "checkpoints" / f"ckpt-{step}").is_dir()
