import json

import numpy as np
import pytest

from benchmarks import ceilings
from tests.control.playing import load_one


def make(name, seed):
    """An environment after some random actions, and its perfect model."""
    task = load_one(name, observations="nothing", action_repeat=1)
    env = task.env_ctor()
    env.reset(seed=seed)
    env.action_space.seed(seed)
    for _ in range(5):
        env.step(env.action_space.sample())
    return env, ceilings.Simulator(env, 1)


@pytest.mark.parametrize(
    "name", ["cartpole_swingup_da", "cup_catch", "finger_spin", "walker_walk"]
)
def test_model_predicts_the_rewards_and_leaves_no_trace(name):
    (env, simulator), (untouched, _) = make(name, 1), make(name, 1)
    plans = [[env.action_space.sample() for _ in range(8)] for _ in range(3)]
    controls = [[simulator.control(action) for action in plan] for plan in plans]
    predicted = simulator.rewards(np.array(controls))
    np.testing.assert_array_equal(predicted, simulator.rewards(np.array(controls)))
    for action, reward in zip(plans[1], predicted[1], strict=True):
        assert env.step(action)[1] == untouched.step(action)[1] == np.float32(reward)


def test_measures_only_what_is_missing(run_main, tmp_path, monkeypatch):
    monkeypatch.setattr(ceilings, "RANDOM_EPISODES", 1)
    path = tmp_path / "ceilings.json"
    command = ["cartpole_balance_da", "--amount", 2, "--topk", 1, "--iterations", 1]
    command += ["--output", path, "--horizons", 1]
    code, out, err = run_main(ceilings.main, *command)
    assert code == 0, err
    first = json.loads(path.read_text())
    task = first["tasks"]["cartpole_balance_da"]
    assert (task["action_repeat"], task["seconds"]) == (4, 0.04)
    assert task["ceilings"]["1"]["episodes"] == 1
    assert 0 < task["ceilings"]["1"]["mean"] < 1000
    assert "| cartpole_balance_da | 4             | 1       | 0.04 " in out

    code, _, err = run_main(ceilings.main, *command, 2, "--episodes", 2)
    assert code == 0, err
    more = json.loads(path.read_text())["tasks"]["cartpole_balance_da"]
    returns = {key: value["returns"] for key, value in more["ceilings"].items()}
    assert list(map(len, returns.values())) == [2, 2]
    assert returns["1"][:1] == task["ceilings"]["1"]["returns"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reacher"], "unknown task 'reacher'; did you mean 'reacher_easy'?"),
        (["gym_qbert"], "task 'gym_qbert' is not one of dm_control's"),
        (["cup_catch", "--topk", 301], "--topk must be at most 300, not 301"),
    ],
)
def test_bad_input(run_main, tmp_path, arguments, message):
    path = tmp_path / "ceilings.json"
    code, out, err = run_main(ceilings.main, *arguments, "--output", path)
    assert (code, out) == (2, "")
    assert err == f"benchmarks.ceilings: error: {message}\n"
    assert not path.exists()


def test_other_sizes_do_not_mix(run_main, tmp_path):
    path = tmp_path / "ceilings.json"
    path.write_text('{"search": {"amount": 7}, "tasks": {}}')
    code, _, err = run_main(ceilings.main, "cup_catch", "--output", path)
    assert code == 2
    assert "holds results of {'amount': 7}" in err
