"""The agents that come with the project."""

import numpy as np
import pytest

from planet.scripts import runs, tasks
from planet.tools import tf1_checkpoint
from planet.training import define_model, simulations
from tests import conftest

AGENTS = sorted(path.parent for path in conftest.ROOT.glob("agents/*/config.yaml"))


def test_there_is_the_one_of_make_demo():
    assert (
        "--logdir agents/cartpole_balance " in (conftest.ROOT / "Makefile").read_text()
    )
    assert conftest.ROOT / "agents" / "cartpole_balance" in AGENTS


@pytest.mark.parametrize("folder", AGENTS, ids=lambda folder: folder.name)
def test_agent_is_small_loads_and_acts(folder):
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    assert max(sizes) < 1e6
    assert sum(sizes) < 5e6
    config = runs.read_config(folder / "config.yaml")
    (task,) = tasks.load(config)
    sizes = tasks.TASKS[task.name]().state_sizes
    spec = {key: (sizes[key],) for key in task.state_components}
    spec |= {"image": (64, 64, task.channels), "action": (task.action_size,)}
    model = define_model.define_model(config, spec | {"reward": ()})
    ((_, checkpoint),) = runs.checkpoints(folder).items()
    tf1_checkpoint.load(model, checkpoint)
    (horizon,) = config.summary_horizons
    agent = simulations.make_agent(config, model, horizon, 1, task.action_size)
    image = np.random.default_rng(0).integers(0, 256, (1, *spec["image"]), np.uint8)
    action = agent.act({"image": image}, 0, [0, 0])
    assert action.shape == (1, task.action_size)
    assert np.abs(action).max() <= 1
    assert action.any()
