"""How fast the agent decides and learns, by `python -m benchmarks.speed`.

Prints, at the sizes of the named configs, seconds per planning decision and per model
update, the floating-point operations these need by count, the rate achieved, and its
share of what one large float32 matrix product achieves on the same machine in the same
run. Only that share compares between machines; seconds compare within one run.
"""

import argparse
import functools
import math
import os
import platform
import time
from collections.abc import Callable, Mapping

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from planet.scripts import configs
from planet.tools import devices, tf1_checkpoint
from planet.training import define_model, simulations

DATA_SPEC = {  # Of cheetah_run.
    "image": (64, 64, 3),
    "action": (6,),
    "reward": (),
    "position": (8,),
    "velocity": (9,),
}
REPEATS = 10


def main() -> None:
    """Measures everything and prints a table."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--repeats",
        type=int,
        default=REPEATS,
        metavar="N",
        help="timed runs of each case; their median counts (default: %(default)s)",
    )
    parser.add_argument(
        "--cases",
        nargs="+",
        choices=CASES,
        default=list(CASES),
        metavar="NAME",
        help=f"(default: all: {'; '.join(CASES)})",
    )
    args = parser.parse_args()
    repeats = max(1, args.repeats)
    devices.prepare(tf32=False)
    peak = print_machine(repeats)
    print("| case | seconds | GFLOP | GFLOP/s | share of matmul |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name in args.cases:
        run, flop = CASES[name]()
        seconds = measure(run, repeats)
        rate = flop / seconds / 1e9
        print(
            f"| {name} | {seconds:.3f} | {flop / 1e9:.1f} | {rate:.0f} "
            f"| {rate / peak:.0%} |",
            flush=True,
        )
    print(f"\nThe matrix product again: {measure_peak(repeats):.0f} GFLOP/s")


def print_machine(repeats: int) -> float:
    """Prints what the machine is; returns its GFLOP/s of a large matrix product."""
    print(f"{os.cpu_count()} cores, {platform.machine()}, TensorFlow {tf.__version__}")
    peak = measure_peak(repeats)
    print(f"float32 matrix product of 4096 x 4096: {peak:.0f} GFLOP/s\n", flush=True)
    return peak


def measure(run: Callable[[int], tf.Tensor | np.ndarray], repeats: int) -> float:
    """Median seconds of a call, after one that compiles and one that warms up.

    Args:
      run: what to time; takes the number of the call and returns a result that is
        ready when it is read.
      repeats: timed calls.
    """
    seconds = []
    for number in range(repeats + 2):
        start = time.perf_counter()
        np.array(run(number))
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[2:]))


def measure_peak(repeats: int, size: int = 4096) -> float:
    """GFLOP/s of a float32 matrix product."""
    lhs, rhs = tf.random.normal([size, size]), tf.random.normal([size, size])
    product = tf.function(lambda: tf.reduce_sum(lhs @ rhs))
    return 2e-9 * size**3 / measure(lambda _: product(), repeats)


def decision(
    precision: str, envs: int = 1, discrete: bool = False, **params
) -> tuple[Callable, float]:
    """A planning decision for some environments at once, and its operations.

    Args:
      precision: of products.
      envs: environments to plan for.
      discrete: whether to choose among five actions.
      **params: settings that differ from the defaults.
    """
    params |= {"precision": precision, "discrete_action": discrete}
    if discrete:
        params["tasks"] = ["cartpole_balance_da"]
    config = configs.load("default", params)
    spec = {**DATA_SPEC, "action": (5,)} if discrete else DATA_SPEC
    model = define_model.define_model(config, spec)
    count, (horizon,) = Count(model), config.collect_horizons
    imagined = config.cem_iterations * config.cem_amount * horizon
    flop = count.encoder() + count.cell() + count.head("reward") * imagined
    flop += count.cell("transition") * imagined
    return decide(config, model, spec, envs), envs * flop


def decide(config, model: define_model.Model, spec: Mapping, envs: int = 1) -> Callable:
    """What makes one decision, for some environments, of an agent with that model."""
    (horizon,) = config.collect_horizons
    agent = simulations.make_agent(config, model, horizon, envs, *spec["action"])
    image = np.random.default_rng(0).integers(0, 256, (envs, *spec["image"]), np.uint8)
    return lambda number: agent.act({"image": image}, 0.3, [0, number])


def update(config_name: str, precision: str, **params) -> tuple[Callable, float]:
    """A model update on one batch, and its operations.

    The backward pass of a linear layer takes twice the operations of the forward pass.

    Args:
      config_name: name of the config.
      precision: of products.
      **params: settings that differ from those of the config.
    """
    config = configs.load(config_name, {"precision": precision, **params})
    model = define_model.define_model(config, DATA_SPEC)
    batch, steps = config.batch_shape
    data = make_batch(batch, steps)
    compiled = tf.function(model.update)
    count = Count(model)
    heads = {key: count.head(key) for key in model.heads if key != "image"}
    forward = count.encoder() + count.cell() + count.decoder() + sum(heads.values())
    forward *= batch * steps
    if config.overshooting > 1:
        predicted = sum(steps - d for d in range(config.overshooting + 1))
        forward += batch * predicted * count.cell("transition")
        forward += batch * steps * sum(heads.values())
    rate = tf.constant(1e-3)

    def run(number):
        return compiled(data, rate, tf.constant([0, number]))[0]["total"]

    return run, 3 * forward


def make_batch(batch: int, steps: int) -> dict[str, tf.Tensor]:
    """Noise in the place of a batch of whole chunks, returns of the value included."""
    random = np.random.default_rng(0)
    data = {
        key: tf.constant(random.uniform(-0.5, 0.5, (batch, steps, *shape)), tf.float32)
        for key, shape in {**DATA_SPEC, "return": ()}.items()
    }
    return {**data, "length": tf.fill([batch], steps)}


class Count:
    """Floating-point operations of one forward pass for one step of one sequence.

    Counts a multiplication and an addition for each use of a weight of a matrix or
    kernel; what is done element by element does not count.
    """

    def __init__(self, model: define_model.Model):
        self._model = model

    def encoder(self) -> float:
        """Operations for an image."""
        flop, size = 0, DATA_SPEC["image"][0]
        for layer in self._model.encoder.convolutions:
            size = (size - layer.kernel_size[0]) // layer.strides[0] + 1
            flop += size**2 * _weights(layer)
        return flop

    def decoder(self) -> float:
        """Operations for an image."""
        decoder = self._model.heads["image"]
        point, *transposed = decoder.transposed
        flop, size = _weights(decoder.dense, point), point.kernel.shape[0]
        for layer in transposed:
            flop += size**2 * _weights(layer)
            size = (size - 1) * layer.strides[0] + layer.kernel_size[0]
        return flop

    def cell(self, part: str = "") -> float:
        """Operations of the transition model, or of a part of it, for a state."""
        named = tf1_checkpoint.names(self._model.cell).items()
        return _operations(variable for name, variable in named if part in name)

    def head(self, key: str) -> float:
        """Operations of a feed-forward head for a state."""
        return _weights(self._model.heads[key])


def _weights(*layers) -> float:
    """Operations of layers whose weights are used once each."""
    return _operations(x for layer in layers for x in layer.trainable_variables)


def _operations(variables) -> float:
    """Twice the entries of matrices and kernels."""
    shapes = [variable.shape for variable in variables]
    return 2 * sum(math.prod(shape) for shape in shapes if len(shape) > 1)


CASES = {
    f"{name}, {precision}": functools.partial(prepare, precision=precision)
    for name, prepare in {
        "decision": decision,
        "decision, 4 environments at once": functools.partial(decision, envs=4),
        "decision, 16 environments at once": functools.partial(decision, envs=16),
        "decision, 5 discrete actions": functools.partial(decision, discrete=True),
        "update 16 x 20, cpu": functools.partial(update, "cpu"),
        "update 8 x 50, newhp": functools.partial(update, "newhp"),
        "update 8 x 50, default": functools.partial(update, "default"),
        "update 50 x 50, icml": functools.partial(update, "icml"),
    }.items()
    for precision in ("float32", "bfloat16")
}


if __name__ == "__main__":
    main()
