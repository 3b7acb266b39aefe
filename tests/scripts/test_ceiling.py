import json
import re

import numpy as np
import pytest

from planet.scripts import ceiling, plot_scores
from tests.control.playing import load_one

TINY = ["--amount", 4, "--topk", 2, "--iterations", 1, "--horizon", 2]


@pytest.fixture
def run(run_main, tmp_path):
    """Runs the command on a short task; returns code, text, errors and the file."""
    output = tmp_path / "output.json"

    def run_command(*arguments, task="cartpole_balance_da", repeat=50):
        command = ["--task", task, "--action_repeat", repeat, *TINY, *arguments]
        result = run_main(ceiling.main, *command, "--output", output)
        return *result, json.loads(output.read_text()) if output.exists() else None

    return run_command


def test_prints_and_writes_every_return(run):
    code, out, err, written = run("--episodes", 2, "--workers", 2)
    assert code == 0, err
    ((task, entry),) = written.items()
    assert task == "cartpole_balance_da"
    returns = entry["returns"]
    assert len(set(returns)) == entry["episodes"] == 2
    assert entry["mean"] == pytest.approx(np.mean(returns))
    assert entry["stddev"] == pytest.approx(np.std(returns, ddof=1))
    settings = {key: entry[key] for key in ("action_repeat", "horizon", "amount")}
    assert settings == {"action_repeat": 50, "horizon": 2, "amount": 4}
    assert [float(x) for x in re.findall(r"\d+\.\d+", out)] == pytest.approx(
        [entry["mean"], entry["stddev"], *returns], abs=0.006
    )


def test_returns_do_not_depend_on_workers_and_interruptions(run):
    *_, together = run("--episodes", 2, "--workers", 2)
    *_, first = run("--episodes", 1, "--workers", 1, "--overwrite")
    *_, both = run("--episodes", 2, "--workers", 1)
    task = "cartpole_balance_da"
    assert first[task]["returns"] == together[task]["returns"][:1]
    assert both == together
    code, out, _, same = run("--episodes", 1)
    assert (code, same) == (0, both)
    assert str(round(both[task]["mean"], 2)) in out


@pytest.mark.parametrize("task", ["cup_catch", "gym_freeway", "gym_cheetah"])
def test_other_kinds_of_environments(run, task):
    code, _, err, written = run("--episodes", 1, task=task)
    assert code == 0, err
    assert np.isfinite(written[task]["returns"]).all()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[1]",
        "[" * 100_000,
        "{returns}",
        '{"cartpole_balance_da": 3}',
        '{"cartpole_balance_da": {SETTINGS, "returns": [NaN]}}',
        '{"cartpole_balance_da": {SETTINGS, "returns": [1HUGE]}}',
        '{"cartpole_balance_da": {SETTINGS, "returns": ["word"]}}',
    ],
)
def test_what_cannot_be_continued_is_refused(content, run_main, tmp_path):
    settings = {"action_repeat": 4, "horizon": 12, "amount": 1000, "topk": 100}
    settings |= {"iterations": 10, "warm_start": False, "seed": 0}
    content = content.replace("SETTINGS", json.dumps(settings)[1:-1])
    path = tmp_path / "output.json"
    path.write_text(content.replace("HUGE", "0" * 400))
    before = path.read_bytes()
    command = ("--task", "cartpole_balance_da", "--output", path)
    code, _, err = run_main(ceiling.main, *command)
    assert code == 2
    (line,) = err.splitlines()
    assert f"'{path}' is not what this writes for cartpole_balance_da" in line
    assert path.read_bytes() == before


def test_planning_pays(run):
    settings = ["--episodes", 1, "--overwrite", "--amount", 20, "--iterations"]
    returns = [
        run(*settings, iterations, task="cheetah_run")[-1]["cheetah_run"]["mean"]
        for iterations in (0, 2)
    ]
    assert returns[1] > returns[0] + 10


def test_replicas_stay_together():
    task = load_one("cup_catch", observations="nothing", action_repeat=50)
    with ceiling.Replicas(task, 2) as replicas:
        replicas.reset(3)
        random = np.random.default_rng(0)
        done = False
        while not done:
            plans = random.uniform(-1, 1, [1, 5, 3, 2]).astype(np.float32)
            rewards = replicas.rewards(plans)
            assert rewards.shape == (1, 5, 3)
            same = replicas.rewards(np.repeat(plans[:, :1], 2, 1))
            np.testing.assert_array_equal(same[0, 0], same[0, 1])
            reward, done = replicas.step(plans[0, 0, 0])
            assert reward == np.float32(rewards[0, 0, 0])


def test_can_be_drawn_as_a_line(run, tmp_path):
    run("--episodes", 1)
    label, mean = plot_scores.read_baseline(tmp_path / "output.json", None)
    assert label == "perfect model, horizon 2, cartpole_balance_da"
    written = json.loads((tmp_path / "output.json").read_text())
    assert mean == written["cartpole_balance_da"]["mean"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "reacher"], "unknown task 'reacher'; did you mean 'reacher_easy'?"),
        (
            ["--task", "gym_racecar"],
            "the state of task 'gym_racecar' cannot be saved and restored, unlike that "
            "of dm_control's suite, gymnasium's MuJoCo environments and Atari games",
        ),
        (
            ["--task", "gym:Acrobot-v1"],
            "the state of task 'gym:Acrobot-v1' cannot be saved and restored, unlike "
            "that of dm_control's suite, gymnasium's MuJoCo environments and Atari "
            "games",
        ),
        (
            ["--task", "cup_catch", "--topk", "1001"],
            "--topk must be at most 1000, not 1001",
        ),
        ([], "give NAME, or --task NAME"),
    ],
)
def test_bad_input(run_main, arguments, message, tmp_path):
    command = ("--output", tmp_path / "output.json", *arguments)
    code, out, err = run_main(ceiling.main, *command)
    assert (code, out) == (2, "")
    assert err == f"planet.scripts.ceiling: error: {message}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "error"), [("{}", "KeyError("), ("[", "JSONDecodeError(")]
)
def test_other_files_are_kept(run_main, tmp_path, content, error):
    path = tmp_path / "output.json"
    path.write_text(content)
    command = ["--task", "cup_catch", "--output", path]
    code, _, err = run_main(ceiling.main, *command)
    assert code == 2
    assert f"'{path}' is not what this writes for cup_catch: {error}" in err
    assert err.endswith("; --overwrite replaces it\n")
    assert path.read_text() == content


def test_other_settings_are_not_mixed(run):
    *_, first = run("--episodes", 1)
    code, _, err, kept = run("--episodes", 1, "--seed", 1)
    assert code == 2
    assert "was written with seed 0, not 1; --overwrite replaces it" in err
    assert kept == first
