import json

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Dict
from gymnasium.wrappers import TransformObservation

from planet.control import batch_env
from planet.control.random_episodes import random_episodes
from planet.scripts import random_returns, tasks


@pytest.fixture
def run(run_python, tmp_path):
    """Runs the command and reads the file that it writes to `output`."""
    output = tmp_path / "output.json"

    def run_command(*arguments):
        command = ("-m", "planet.scripts.random_returns", "--output", output)
        result = run_python(*command, *arguments)
        return result, json.loads(output.read_text()) if output.exists() else None

    return run_command


def test_returns_are_those_of_recorded_episodes(run, tmp_path):
    names = ["gym_qbert", "tests.control.user_envs:drawn"]
    arguments = ["--episodes", "3", "--action_repeat", "50", "--seed", "7"]
    result, results = run("--tasks", *names, *arguments)
    assert result.returncode == 0, result.stderr
    assert list(results) == names
    for name in names:
        statistics, returns = results[name], results[name]["returns"]
        (task,) = tasks.load(tasks.Selection([name], action_repeat=50))
        envs = [batch_env.make(task.env_ctor) for _ in range(2)]
        with batch_env.BatchEnv(envs) as batch:
            recorded = random_episodes(batch, 3, tmp_path / name, seed=7)
        np.testing.assert_allclose(returns, recorded, rtol=1e-6)
        assert statistics == {
            "episodes": 3,
            "mean": pytest.approx(np.mean(returns)),
            "stddev": pytest.approx(np.std(returns, ddof=1)),
            "percentile_99": pytest.approx(np.percentile(returns, 99)),
            "returns": returns,
        }
    header, _, *rows = result.stdout.splitlines()
    assert "mean ± standard error" in header
    assert [row.split()[1] for row in rows] == names


def test_one_episode_has_no_deviation():
    statistics = random_returns.summary([2.5])
    assert statistics["stddev"] == 0
    assert statistics["mean"] == statistics["percentile_99"] == 2.5


def test_existing_file_is_kept_unless_told(run, tmp_path):
    (tmp_path / "output.json").write_text('"precious"')
    command = ("--tasks", "dummy", "--episodes", "1", "--action_repeat", "500")
    result, results = run(*command)
    assert (result.returncode, result.stdout) == (2, "")
    message = f"'{tmp_path / 'output.json'}' exists; --overwrite replaces it"
    assert result.stderr == f"planet.scripts.random_returns: error: {message}\n"
    assert results == "precious"
    result, results = run(*command, "--overwrite")
    assert result.returncode == 0, result.stderr
    assert list(results) == ["dummy"]
    assert [path.name for path in tmp_path.iterdir()] == ["output.json"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tasks", "dumy"], "unknown task 'dumy'; did you mean 'dummy'?"),
        ([], "give NAME, or --tasks NAME"),
        (
            ["--tasks", "dummy", "--episodes", "0"],
            "argument --episodes: must be a whole number from 1 to 1000000, not '0'",
        ),
        (
            ["--tasks", "dummy", "--seed", "x"],
            "argument --seed: must be a whole number from 0 to 4294967295, not 'x'",
        ),
        (
            ["--tasks", "dummy", "--output", "results.txt"],
            "argument --output: 'results.txt' must end with .json",
        ),
    ],
)
def test_bad_input(run_main, arguments, message, tmp_path):
    command = ("--output", tmp_path / "output.json", *arguments)
    code, out, err = run_main(random_returns.main, *command)
    assert (code, out) == (2, "")
    assert err == f"planet.scripts.random_returns: error: {message}\n"
    assert list(tmp_path.iterdir()) == []


def test_failing_environment_is_an_error(run, tmp_path):
    command = ("--tasks", "tests.control.user_envs:raising_on_step", "--episodes", "1")
    result, _ = run(*command)
    assert result.returncode == 1
    line, *_, last = result.stderr.strip().splitlines()
    assert line == "planet.scripts.random_returns: error: ValueError: broken step"
    assert last == "ValueError: broken step"
    assert list(tmp_path.iterdir()) == []


def test_help(run_main):
    code, out, _ = run_main(random_returns.main, "--help")
    assert code == 0
    for flag in ("tasks", "episodes", "output", "overwrite", "num_envs", "seed"):
        assert f"--{flag}" in out


def test_nothing_is_rendered(run_python):
    program = """
from planet.control.envs import opengl
from planet.scripts import tasks
(task,) = tasks.load(tasks.Selection(["cheetah_run"], observations="nothing"))
env = task.env_ctor()
assert env.reset(seed=0)[0] == {}
assert not opengl.is_loaded()
"""
    result = run_python("-c", program)
    assert result.returncode == 0, result.stderr


def whole_game(game):
    """A game with sticky actions, of which each step takes 2 to 4 frames."""
    import ale_py

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    gymnasium.register_envs(ale_py)
    settings = {"frameskip": (2, 5), "repeat_action_probability": 0.25}
    env = gymnasium.make(f"ALE/{game}-v5", disable_env_checker=True, **settings)
    return TransformObservation(env, lambda _: {}, Dict())


def breakout():
    return whole_game("Breakout")


def qbert():
    return whole_game("Qbert")


def game_task(name):
    (task,) = tasks.load(tasks.Selection([name], observations="nothing"))
    return task.env_ctor


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env_ctor", "mean", "error"),
    [
        # What the original's environments pay, measured in about 200 episodes.
        (game_task("gym_breakout"), 0.97, 0.07),
        (game_task("gym_qbert"), 120, 9),
        (breakout, 1.28, 0.09),
        (qbert, 153.8, 10.5),
    ],
    ids=["gym_breakout", "gym_qbert", "whole Breakout", "whole Qbert"],
)
def test_random_play_of_games_is_paid_as_in_the_original(env_ctor, mean, error):
    with batch_env.BatchEnv([batch_env.make(env_ctor) for _ in range(2)]) as envs:
        returns = random_episodes(envs, 200, folder=None, seed=0)
    own_error = np.std(returns, ddof=1) / np.sqrt(len(returns))
    print(f"{np.mean(returns):.4g} ± {own_error:.2g}")
    assert abs(np.mean(returns) - mean) < 3 * np.hypot(error, own_error)
