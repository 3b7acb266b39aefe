"""Every published experiment, every model and every task, by parameters alone.

Each learns for a few updates, collects, is tested and can be continued, on a real
environment at small sizes.
"""

import numpy as np
import pytest

from planet.control import batch_env, planners
from planet.scripts import configs, tasks
from planet.tools import episode_files, noise
from planet.training import data, define_model, trainer
from tests import experiments

CLOCKWORK = {"model_size": [8, 6], "state_size": [4, 3], "cw_tau": [1, 3]}
DISCRETE = {"discrete_action": True, "tasks": ["cartpole_balance_da"]}
# What makes a published experiment small enough to be run here.
SMALLER = {
    "random dataset": {"num_seed_episodes": 2},
    "first public release": {"batch_shape": [5, 10]},
}
PUBLISHED = {
    name: {**configs.CONFIGS[config](), **params}
    for name, (config, params) in experiments.read().items()
}
MORE = {
    "clockwork of ssm": {**CLOCKWORK, "model": "ssm"},
    "clockwork of rssm_ma": {**CLOCKWORK, "model": "rssm_ma", "ma_ppn": 0.5},
    "clockwork of drnn": {**CLOCKWORK, "model": "drnn"},
    "clockwork of rnn": {**CLOCKWORK, "model": "rnn"},
    "time-agnostic clockwork": {**CLOCKWORK, "tap_cell": "rssm_ma", "ma_ppn": 0.5},
    "discrete with warm start": {**DISCRETE, "warm_start": True},
    "discrete by the mode": {**DISCRETE, "discrete_select": "mode"},
    "state observations of several tasks": {
        "observations": "state",
        "tasks": ["cartpole_balance", "finger_spin"],
    },
    "policy and value of discrete actions": {
        **DISCRETE,
        "use_policy": True,
        "use_value": True,
        "detach_policy": False,
    },
    "value beside a time-agnostic clockwork": {
        **CLOCKWORK,
        "tap_cell": "rssm",
        "use_policy": True,
        "use_value": True,
    },
    "by name": {"tasks": ["dmc:pendulum_swingup"]},
    "several discrete tasks": {"tasks": ["gym_qbert", "gym_freeway"]},
    "true simulator": {"planner": "real", "observations": "state"},
    "true simulator with warm start": {"planner": "real", "warm_start": True},
    "true simulator of discrete tasks": {
        "planner": "real",
        "tasks": ["cartpole_balance_da", "gym_freeway"],
    },
}
EXPERIMENTS = PUBLISHED | MORE
QUICK_TASKS = ("cartpole_balance_da",)


def mostly_slow(names, quick):
    return [
        name if name in quick else pytest.param(name, marks=pytest.mark.slow)
        for name in names
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiment(name, tmp_path):
    run({**EXPERIMENTS[name], **SMALLER.get(name, {})}, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(planners.PLANNERS.keys() - {"real"}))
@pytest.mark.parametrize("discrete", [False, True])
def test_planner(name, discrete, tmp_path):
    planner = planners.PLANNERS[name]
    if discrete and not planner.discrete:
        pytest.skip("It is refused, see test_configs.")
    params = {"planner": name, "use_policy": planner.guided, "warm_start": True}
    params |= DISCRETE if discrete else {"tasks": ["dummy"], "isolate_envs": "thread"}
    run({**params, "summarise_plan_returns": True}, tmp_path)


@pytest.mark.parametrize("name", mostly_slow(tasks.names(), QUICK_TASKS))
def test_task(name, tmp_path):
    run({"tasks": [name]}, tmp_path)


def run(params, tmp_path):
    """Seed episodes, training, a collection and a test phase."""
    small = {"tasks": ["cartpole_balance"], "dumbnet": True, "max_steps": 20}
    config = configs.load("debug", {**small, **params})
    chosen = tasks.load(config)
    *_, last = trainer.train(config, chosen, tmp_path)
    assert np.isfinite(last.score)
    collected = episode_files.scan(tmp_path / "train_episodes")
    expected = config.num_seed_episodes + (config.collect_every <= 10)
    assert len(collected) == len(chosen) * expected
    with batch_env.BatchEnv([batch_env.make(chosen[0].env_ctor)]) as envs:
        model = define_model.define_model(config, data.make_data_spec(envs))
    continued = trainer.Trainer(tmp_path, config, model, noise.Seeds(0))
    assert continued.restore()
    assert continued.step == 20
