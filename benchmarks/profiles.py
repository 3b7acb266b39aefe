"""Where the time of a decision or an update goes, by `python -m benchmarks.profiles`.

Prints the rates of the matrix products of a decision, each alone, and how long each
kind of operation runs, in milliseconds of all threads together, as the profiler of
TensorFlow sees it.
"""

import argparse
import collections
import os
import pathlib
import tempfile
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from benchmarks import speed
from planet.networks import precision as precisions

CASES: dict[str, Callable] = {
    "decision": speed.decision,
    "newhp": lambda precision: speed.update("newhp", precision),
    "default": lambda precision: speed.update("default", precision),
}
PRODUCTS = [
    (4096, 4096, 4096),
    (1000, 400, 400),
    (1000, 400, 200),
    (1000, 200, 200),
    (1000, 200, 30),
]
PRODUCTS += [(1000, 36, 200)]
PROFILED = 3  # Calls.
SHOWN = 20  # Kinds of operations.


def main() -> None:
    """Measures what the command line asks for."""
    parser = argparse.ArgumentParser(prog="benchmarks.profiles", description=__doc__)
    parser.add_argument("case", choices=CASES, help="a decision, or an 8 x 50 update")
    parser.add_argument(
        "--precision",
        choices=precisions.POLICIES,
        default="float32",
        help="of products",
    )
    args = parser.parse_args()
    for shape in PRODUCTS:
        print(
            f"{shape}: {product_rate(args.precision, *shape):.0f} GFLOP/s", flush=True
        )
    run, _ = CASES[args.case](args.precision)
    for name, milliseconds in profile(run).most_common(SHOWN):
        print(f"{name:45} {milliseconds:8.1f} ms")


def product_rate(precision: str, rows: int, inputs: int, outputs: int) -> float:
    """GFLOP/s of a product with a bias, [rows, inputs] times [inputs, outputs]."""
    dtype = tf.as_dtype(precision)
    amount = 20 if rows * inputs * outputs < 1e10 else 1
    lhs = [tf.cast(tf.random.normal([rows, inputs]), dtype) for _ in range(amount)]
    weights, bias = tf.ones([inputs, outputs], dtype), tf.ones([outputs], dtype)

    @tf.function
    def multiply(lhs):
        products = [tf.nn.bias_add(x @ weights, bias) for x in lhs]
        return tf.stack([product[0, 0] for product in products])

    seconds = speed.measure(lambda _: tf.cast(multiply(lhs), tf.float32), 10)
    return 2e-9 * amount * rows * inputs * outputs / seconds


def profile(run: Callable) -> collections.Counter:
    """Milliseconds of each kind of operation in a call, all threads together."""
    speed.measure(run, 3)
    totals: collections.Counter = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            for number in range(PROFILED):
                tf.nest.map_structure(tf.convert_to_tensor, run(number))
        (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                if ":" in name:
                    kind = name.rsplit(":", 1)[1]
                    totals[kind] += event.duration_ps / 1e9 / PROFILED
    return totals


if __name__ == "__main__":
    main()
