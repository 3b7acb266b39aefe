"""A program that makes updates and prints what came of them, alone or with others.

    python -m tests.training.replicated DEVICES PARAMS

DEVICES is how many devices TensorFlow is to make of the processor. With `multi_worker`
in the parameters, it takes TF_CONFIG, and only the chief prints.
"""

import json
import sys

import keras
import numpy as np
import tensorflow as tf

from planet.scripts import configs, train
from planet.training import define_model, distribution, trainer

SPEC = {"state": (7,), "action": (2,), "reward": (), "height": ()}
BATCH, STEPS = 4, 5
SIZES = {
    "tasks": ["dummy"],
    "observations": "state",
    "batch_shape": [BATCH, STEPS],
    "num_layers": 1,
    "num_units": 6,
    "model_size": 8,
    "state_size": 4,
    "free_nats": 0.1,
    "gradient_clipping": 1.0,
}
UPDATES = 3


def make_batch(seed):
    """A batch whose sequences differ in length."""
    random = np.random.default_rng(seed)
    shapes = {**SPEC, "return": ()}
    batch = {
        key: tf.constant(random.uniform(-1, 1, (BATCH, STEPS, *shape)), tf.float32)
        for key, shape in shapes.items()
    }
    return {**batch, "length": tf.constant([5, 2, 1, 4])}


def results(params):
    """Losses and metrics of some updates and of a test, and sums of the weights."""
    config = configs.load("default", {**SIZES, **params})
    replicas = distribution.find(config)
    keras.utils.set_random_seed(0)
    replicas.begin(config, SPEC)
    with replicas.scope():
        model = define_model.define_model(config, SPEC)
    replicas.share(model.state)
    update, evaluate = trainer.compile_steps(model, config)
    outcomes = [
        update(make_batch(number), tf.constant(1e-3), np.array([0, number]))
        for number in range(UPDATES)
    ]
    outcomes.append(evaluate(make_batch(UPDATES), np.array([0, UPDATES])))
    return {
        "replicas": replicas.amount,
        "scalars": [
            {key: float(value) for key, value in (losses | metrics).items()}
            for losses, metrics, finite in outcomes
            if finite
        ],
        "weights": [float(tf.reduce_sum(tf.abs(x))) for x in model.trainable_variables],
        "iterations": [int(x.iterations.numpy()) for x in model.optimizers.values()],
    }


def main():
    """Prints results for each of the parameters, as JSON."""
    devices, params = int(sys.argv[1]), json.loads(sys.argv[2])
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * devices,
    )
    config = configs.load("default", {**SIZES, **params[0]})
    if not train.is_chief(config):
        sys.exit(train.follow(config))
    with train.joined(config):
        print(json.dumps([results(case) for case in params]))


if __name__ == "__main__":
    main()
