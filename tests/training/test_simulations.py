import numpy as np
import pytest

from planet.control import batch_env, planners
from planet.scripts import configs, tasks
from planet.tools import episode_files, noise
from planet.training import data, define_model, instruments, simulations


@pytest.mark.parametrize("found", [0, 1])
def test_missing_seed_episodes_are_recorded(tmp_path, capsys, found):
    config = configs.load(
        "debug", {"tasks": ["dummy"], "num_seed_episodes": 3, "isolate_envs": "thread"}
    )
    (task,) = tasks.load(config)
    folders = {phase: tmp_path / phase for phase in data.PHASES}
    episode = {
        "image": np.zeros((2, 64, 64, 3), np.uint8),
        "action": np.zeros((2, 2), np.float32),
        "reward": np.zeros(2, np.float32),
    }
    for _ in range(found):
        episode_files.write(folders["train"], episode)
    with batch_env.BatchEnv([batch_env.make(task.env_ctor, "thread")]) as envs:
        simulations.collect_seed_episodes(config, [task], {"dummy": envs}, folders, 0)
        spec = data.make_data_spec(envs)
    assert [len(episode_files.scan(folder)) for folder in folders.values()] == [3, 3]
    assert f"Recorded {3 - found} random episodes" in capsys.readouterr().out
    assert spec == {"image": (64, 64, 3), "action": (2,), "reward": ()}


def test_a_test_phase_has_as_many_episodes_as_wanted(tmp_path):
    settings = {"tasks": ["dummy"], "dumbnet": True, "isolate_envs": "thread"}
    config = configs.load("debug", {**settings, "test_episodes": 3})
    (task,) = tasks.load(config)
    with batch_env.BatchEnv([batch_env.make(task.env_ctor, "thread")]) as envs:
        spec = data.make_data_spec(envs)
        model = define_model.define_model(config, spec)
        seeds = noise.Seeds(0)
        episodes = simulations.Simulations(config, {"dummy": envs}, model, seeds, {})
        found = episodes.test()
    assert len({simulation.score for simulation in found}) == 3
    assert all(simulation.seconds > 0 for simulation in found)
    assert all(simulation.decisions == task.max_length for simulation in found)


def write(folder, decisions):
    zeros = np.zeros(decisions + 1, np.float32)
    return episode_files.write(folder, {"action": zeros, "reward": zeros})


def test_environment_steps_of_stored_episodes(tmp_path):
    (task,) = tasks.load(configs.load("debug", {"tasks": ["cartpole_balance"]}))
    assert (task.action_repeat, task.max_length) == (50, 20)
    steps = simulations.EnvSteps([task], tmp_path)
    assert steps.count() == 0
    first = write(tmp_path, 20)
    assert steps.count() == 1000
    write(tmp_path, 7)
    (tmp_path / "torn.npz").write_bytes(first.read_bytes()[:-50])
    assert steps.count() == 1350
    assert simulations.EnvSteps([task], tmp_path).count() == 1350


def test_environment_steps_of_tasks_with_action_repeats_of_their_own(tmp_path):
    settings = {"tasks": ["cartpole_balance", "cheetah_run"]}
    found = tasks.load(configs.load("newhp", settings))
    assert [(task.action_repeat, task.max_length) for task in found] == [
        (8, 125),
        (4, 250),
    ]
    write(tmp_path, 125)
    write(tmp_path, 250)
    assert simulations.EnvSteps(found, tmp_path).count() == 2000


def promises(params):
    """Settings, and an episode of the test phase of an untrained agent."""
    settings = {"tasks": ["dummy"], "dumbnet": True, "isolate_envs": "thread"}
    settings |= {"summarise_plan_returns": True}
    config = configs.load("debug", {**settings, **params})
    (task,) = tasks.load(config)
    with batch_env.BatchEnv([batch_env.make(task.env_ctor, "thread")]) as envs:
        model = define_model.define_model(config, data.make_data_spec(envs))
        seeds = noise.Seeds(0)
        episodes = simulations.Simulations(config, {"dummy": envs}, model, seeds, {})
        (simulation,) = episodes.test()
    return config, simulation


@pytest.mark.parametrize(
    "name",
    [
        name
        if name in ("icem", "pop_p")
        else pytest.param(name, marks=pytest.mark.slow)
        for name in sorted(planners.PLANNERS.keys() - {"policy", "real"})
    ],
)
@pytest.mark.parametrize(
    "warm_start", [pytest.param(False, marks=pytest.mark.slow), True]
)
def test_plans_of_every_planner_promise_a_return(name, warm_start):
    guided = planners.PLANNERS[name].guided
    config, simulation = promises(
        {"planner": name, "warm_start": warm_start, "use_policy": guided}
    )
    decisions = simulation.decisions
    assert simulation.promised.shape == (decisions,)
    assert np.all(np.isfinite(simulation.promised))
    assert simulation.plan_returns.shape == (decisions, 2, config.cem_amount)
    assert np.all(np.isfinite(simulation.plan_returns[:, 0]))
    measured = instruments.measure_plans([simulation], config.discount)
    assert np.isfinite(measured["dummy/horizon_12"]["promised"])


def test_a_policy_alone_promises_nothing():
    _, simulation = promises({"planner": "policy", "use_policy": True})
    assert simulation.decisions > 0
    assert simulation.promised is None
    assert simulation.plan_returns is None


@pytest.mark.parametrize("cem_topk", [1, 5])
def test_a_plan_promises_the_mean_of_its_elites(cem_topk):
    _, simulation = promises({"cem_topk": cem_topk})
    imagined = np.sort(simulation.plan_returns[:, 1])
    assert simulation.kind == "dummy/horizon_12"
    assert len(simulation.promised) == len(simulation.episode["reward"]) - 1
    np.testing.assert_allclose(
        simulation.promised, imagined[:, -cem_topk:].mean(1), rtol=1e-6
    )
