import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from planet.scripts import configs
from planet.tools import devices
from planet.training import define_model, simulations
from tests.training.test_define_model import SPEC, make_batch

SETTINGS = {"batch_shape": [2, 3], "planner_horizon": 2, "mean_only": True}
# On a machine without GPUs, a processor stands for one: TensorFlow refuses to settle
# what it may use, too, once the first operation has run.
FIRST = """
import tensorflow as tf

from planet.scripts import configs, tasks
from planet.training import trainer

processors = tf.config.list_physical_devices("CPU")
tf.config.list_physical_devices = lambda kind=None: processors
grown = []

def grow(device, enable):
    tf.config.set_logical_device_configuration(
        device, [tf.config.LogicalDeviceConfiguration()]
    )
    grown.append((device, enable))

tf.config.experimental.set_memory_growth = grow
params = {"tasks": ["dummy"], "isolate_envs": "none", "max_steps": 5, "jit": "never"}
config = configs.load("debug", params)
for _ in trainer.train(config, tasks.load(config), LOGDIR):
    pass
assert grown == [(processors[0], True)], grown
assert not tf.config.experimental.tensor_float_32_execution_enabled()
"""


@pytest.mark.slow
def test_memory_growth_is_set_before_the_first_operation(tmp_path):
    program = FIRST.replace("LOGDIR", repr(str(tmp_path / "00001")))
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.slow
def test_xla_computes_the_same_losses_gradients_and_states():
    """Noise is left out: XLA draws other numbers from the same seed."""
    keras.utils.set_random_seed(0)
    config = configs.load("debug", SETTINGS)
    model = define_model.define_model(config, SPEC)
    data = {
        key: entry[:2, :2] for key, entry in make_batch().items() if key != "length"
    }
    data["length"] = tf.constant([2, 1])
    initial = [variable.numpy() for variable in model.trainable_variables]
    results = {}
    for jit in ("never", "always"):
        for variable, value in zip(model.trainable_variables, initial, strict=True):
            variable.assign(value)
        update = devices.function(model.update, jit)
        losses, metrics = update(data, tf.constant(1e-3), tf.constant([0, 0]))
        assert update.experimental_get_tracing_count() == 1
        results[jit] = losses | metrics
    for key, value in results["never"].items():
        np.testing.assert_allclose(
            results["always"][key], value, rtol=1e-4, atol=1e-4, err_msg=key
        )


@pytest.mark.parametrize(
    ("task", "size"),
    [("dummy", 2), pytest.param("cartpole_balance_da", 5, marks=pytest.mark.slow)],
)
def test_xla_compiles_decisions(task, size):
    params = {**SETTINGS, "tasks": [task]}
    spec = {**SPEC, "action": (size,)}
    model = define_model.define_model(configs.load("debug", params), spec)
    observation = {"image": np.full([2, *SPEC["image"]], 0.1, np.float32)}
    states = []
    for jit in ("never", "always"):
        config = configs.load("debug", {**params, "jit": jit})
        agent = simulations.make_agent(config, model, 2, 2, size)
        action = agent.act(observation, 0.0, [0, 0])
        assert action.shape == (2, size)
        assert np.abs(action).max() <= 1
        states.append(agent.memory["state"])
    for one, other in zip(*map(tf.nest.flatten, states), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_xla_is_for_accelerators():
    assert not tf.config.list_physical_devices("GPU")
    for jit, compiles in (("auto", None), ("never", None), ("always", True)):
        function = devices.function(tf.identity, jit)
        function(tf.constant(1.0))
        assert function._jit_compile is compiles


def test_the_processor_is_named():
    assert devices.describe().startswith("CPU (")
