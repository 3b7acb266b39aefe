import numpy as np
import pytest

import planet
from planet.scripts import configs, runs
from planet.tools import parameters
from tests.api.small import SMALL

KINDS = {
    "rssm": {},
    "warm start": {"warm_start": True, "planner": "icem"},
    "state": {"observations": "state"},
    "choices": {"tasks": ["cartpole_balance_da"], "isolate_envs": "process"},
    "time-agnostic": {"tap_cell": "rssm"},
    "clockwork": {"model_size": [5, 5], "state_size": [3, 3], "cw_tau": [1, 4]},
    "policy": {"planner": "pop_p", "use_policy": True, "warm_start": True},
}


@pytest.fixture(
    scope="module", params=[pytest.param(x, marks=pytest.mark.slow) for x in KINDS]
)
def run(request, tmp_path_factory):
    """Folder of a trained run."""
    folder = tmp_path_factory.mktemp("runs") / "some"
    (train, test) = planet.train("debug", {**SMALL, **KINDS[request.param]}, folder)
    assert (train.name, test.name, test.step) == ("train", "test", 10)
    assert np.isfinite(test.score)
    return folder / "00001"


def play(agent, steps=4):
    """Acts for some steps; returns the actions and the last observation."""
    actions = []
    with agent.make_env() as env:
        observation = env.reset(seed=0)
        for _ in range(steps):
            actions.append(agent.act(observation))
            assert env.action_space.contains(actions[-1])
            observation, reward, done = env.step(actions[-1])
            assert isinstance(reward, float)
            assert isinstance(done, bool)
    return np.stack(actions), observation


def test_agent(run, tmp_path):
    agent = planet.load(run)
    actions, observation = play(agent)
    again, _ = play(planet.load(run))
    np.testing.assert_array_equal(actions, again)
    other, _ = play(planet.load(run, seed=1))
    assert (actions != other).any()

    believed = agent.state
    dream = agent.imagine(actions)
    key = agent.config.observations
    assert dream[key].shape == (4, *observation[key].shape)
    assert dream[key].dtype == observation[key].dtype
    assert dream["reward"].shape == (4,)
    np.testing.assert_array_equal(agent.decode()[key], agent.decode(believed)[key])

    agent.observe(observation, actions[0])
    changed = agent.decode()["reward"]
    agent.state = believed
    assert agent.decode()["reward"] == agent.decode(believed)["reward"] != changed

    agent.export(tmp_path / "agent")
    assert (tmp_path / "agent" / "saved_model.pb").exists()
    with pytest.raises(ValueError, match="exists already"):
        agent.export(tmp_path / "agent")


def test_what_does_not_fit_is_named(run):
    agent = planet.load(run)
    key = agent.config.observations
    with pytest.raises(ValueError, match=f"the agent sees '{key}', which"):
        agent.act({"picture": np.zeros([64, 64, 3], np.uint8)})
    with pytest.raises(ValueError, match=rf"'{key}' has to be .*, not float64 \[3\]"):
        agent.act({key: np.zeros(3)})
    with pytest.raises(ValueError, match=r"actions have to be \[H, \d\], not \(7,\)"):
        agent.imagine(np.zeros(7))
    with pytest.raises(runs.RunError, match="unknown task of the run 'cheetah'"):
        agent.make_env("cheetah")


def test_runs_that_cannot_be_loaded_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"'\S+/missing' is not a folder"):
        planet.load(tmp_path / "missing")
    with pytest.raises(ValueError, match="there is no run in"):
        planet.load(tmp_path)
    runs.save_config(configs.load("debug", SMALL), tmp_path / "config.yaml")
    with pytest.raises(ValueError, match="there is no checkpoint in"):
        planet.load(tmp_path)
    with pytest.raises(parameters.ParameterError, match="did you mean 'planner'"):
        planet.load(tmp_path, params={"plannr": "cem"})
    params = {"planner": "real", "tasks": ["cartpole_balance"]}
    params["isolate_envs"] = "process"
    with pytest.raises(ValueError, match="planner 'real' needs no agent"):
        planet.load(tmp_path, params=params)
