"""Whether precision changes what is learned, by `python -m benchmarks.precisions`.

Makes the same updates on the same batches of random episodes in each precision, once
for each seed, and prints losses on held-out episodes. A difference between precisions
means something only if it is larger than what the seed makes.

TensorFlow is imported inside functions only: the process that renders the episodes
imports this module too.
"""

import argparse
import pathlib
import tempfile

import numpy as np

from benchmarks import models
from planet.scripts import configs
from planet.tools import tensorflow_start

PRECISIONS = ("float32", "bfloat16")
SHOWN = ("total", "zero_step/image", "zero_step/reward", "zero_step/divergence")


def main() -> None:
    """Trains every model and prints a table."""
    parser = argparse.ArgumentParser(prog="benchmarks.precisions", description=__doc__)
    parser.add_argument(
        "--updates", type=int, default=300, metavar="N", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[0, 1, 2],
        metavar="SEED",
        help="(default: 0 1 2)",
    )
    parser.add_argument(
        "--config", default="newhp", choices=configs.CONFIGS, help="(default: newhp)"
    )
    args = parser.parse_args()
    tensorflow_start.load()
    common = {"tasks": ["cartpole_balance"], "learning_rate_ramp": 0}
    results = {precision: [] for precision in PRECISIONS}
    with tempfile.TemporaryDirectory() as folder:
        loaded = configs.load(args.config, common)
        spec = models.record(loaded, pathlib.Path(folder))
        print(f"| precision | seed | {' | '.join(SHOWN)} |")
        print(f"| --- | {' | '.join(['---:'] * (1 + len(SHOWN)))} |", flush=True)
        for seed in args.seeds:
            for precision in PRECISIONS:
                params = {**common, "seed": seed, "precision": precision}
                config = configs.load(args.config, params)
                learned = models.learn(config, spec, folder, args.updates)
                losses = [learned.after[key] for key in SHOWN]
                results[precision].append(losses)
                print(f"| {precision} | {seed} | {_cells(losses)} |", flush=True)
    for precision, losses in results.items():
        print(f"| {precision} | mean | {_cells(np.mean(losses, 0))} |")
        print(f"| {precision} | standard deviation | {_cells(np.std(losses, 0))} |")


def _cells(values) -> str:
    return " | ".join(f"{value:.3f}" for value in values)


if __name__ == "__main__":
    main()
