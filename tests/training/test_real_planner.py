"""Planning in the true environment, instead of the model that is trained."""

import numpy as np
import pytest

from planet.scripts import configs, tasks
from planet.training import evaluation, trainer


@pytest.mark.slow
def test_is_trained_evaluated_and_filmed(tmp_path):
    params = {"tasks": ["cartpole_balance"], "planner": "real", "warm_start": True}
    params |= {"max_steps": 20, "dumbnet": True, "summarise_plan_returns": True}
    config = configs.load("debug", {**params, "collect_batch_size": 2})
    chosen = tasks.load(config)
    *_, last = trainer.train(config, chosen, tmp_path)
    films = []
    returns = evaluation.evaluate(
        config,
        chosen,
        str(tmp_path / "checkpoints" / "ckpt-20"),
        num_episodes=3,
        num_agents=2,
        horizon=6,
        seed=0,
        show=lambda task, index, film: films.append(film),
    )["cartpole_balance"]
    assert len(films) == len(set(returns)) == 3
    assert min(*returns, last.score) > 150
    assert np.isfinite(returns).all()
