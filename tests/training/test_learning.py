"""The model learns real images: losses on episodes it never saw fall."""

import numpy as np
import pytest
import tensorflow as tf

from planet.control import batch_env
from planet.control.random_episodes import random_episodes
from planet.scripts import configs, tasks
from planet.training import data, define_model

QUICK = {"batch_shape": [4, 10], "model_size": 50, "action_repeat": 20}
SLOW = {"batch_shape": [8, 50]}


@pytest.mark.parametrize(
    ("params", "updates", "episodes"),
    [
        pytest.param({**QUICK, "learning_rate_ramp": 0}, 40, 2, id="quick"),
        pytest.param(SLOW, 300, 5, id="default_sizes", marks=pytest.mark.slow),
    ],
)
def test_losses_on_held_out_episodes_fall(tmp_path, params, updates, episodes):
    config = configs.load("newhp", {"tasks": ["cheetah_run"], **params, "seed": 0})
    (task,) = tasks.load(config)
    with batch_env.BatchEnv([batch_env.make(task.env_ctor)]) as envs:
        for phase in ("train", "test"):
            random_episodes(envs, episodes, tmp_path / phase, seed=len(phase))
        data_spec = data.make_data_spec(envs)
    model = define_model.define_model(config, data_spec)
    batches = {
        phase: iter(data.make_dataset(config, data_spec, tmp_path / phase, 0))
        for phase in ("train", "test")
    }
    held_out = [next(batches["test"]) for _ in range(3)]
    evaluate, update = tf.function(model.losses), tf.function(model.update)

    def losses():
        results = [evaluate(batch, tf.constant([0, 0])) for batch in held_out]
        return {
            key: np.mean([float(x[f"zero_step/{key}"]) for x in results])
            for key in ("image", "reward")
        }

    before = losses()
    for step in range(updates):
        ramp = min(1.0, step * config.batch_shape[0] / (config.learning_rate_ramp or 1))
        rate = tf.constant(config.learning_rate * ramp)
        update(next(batches["train"]), rate, tf.constant([1, step]))
    after = losses()
    assert after["image"] < before["image"] - 50
    assert after["reward"] < before["reward"]
