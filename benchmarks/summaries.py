"""How much time pictures and instruments take, by `python -m benchmarks.summaries`.

Prints, at the sizes of a named config, seconds for what a phase consists of and for
writing its pictures, and their share of a phase of training and of one of testing; and
the same for the instruments.
"""

import argparse
import math
import os
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from benchmarks import speed
from planet.scripts import configs, tasks
from planet.training import define_model, define_summaries, instruments, simulations


def main() -> None:
    """Measures everything and prints a table."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.summaries",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", default="newhp", choices=configs.CONFIGS)
    parser.add_argument("--train_steps", type=int, help="sequences of a train phase")
    parser.add_argument(
        "--repeats", type=int, default=5, help="timed runs of each case"
    )
    args = parser.parse_args()
    params = {"train_steps": args.train_steps} if args.train_steps else {}
    config = configs.load(args.config, {"tasks": ["cheetah_run"], **params})
    seconds = measure(config, args.repeats)
    for name, value in seconds.items():
        print(f"{name}: {value:.3f} s", flush=True)
    (task,) = tasks.load(config)
    episode = task.max_length * seconds["decision"]
    updates = math.ceil(config.train_steps / config.batch_shape[0])
    collected = config.train_steps // config.collect_every
    train = updates * seconds["update"] + collected * episode
    evaluations = math.ceil(config.test_steps / config.batch_shape[0])
    test = evaluations * seconds["evaluation"] + episode
    batch, simulation = seconds["pictures of a batch"], seconds["of an episode"]
    print(f"train phase: {batch / train:.2%} of {train:.0f} s")
    print(f"test phase: {(batch + simulation) / test:.2%} of {test:.0f} s")
    for phase, total in {"train": train, "test": test}.items():
        share = seconds["instruments"] / total
        print(f"instruments in a {phase} phase: {share:.2%}")


def measure(config, repeats: int) -> dict[str, float]:
    """Median seconds of each part of a phase, environments left out."""
    model = define_model.define_model(config, speed.DATA_SPEC)
    random = np.random.default_rng(0)
    data = speed.make_batch(*config.batch_shape)
    update, evaluate = tf.function(model.update), tf.function(model.evaluate)
    pictures = define_summaries.Pictures(model, config.image_bits)
    measured = instruments.Instruments(model, config)
    episode = {
        "image": random.integers(0, 256, (251, *speed.DATA_SPEC["image"]), np.uint8),
        "reward": np.zeros(251, np.float32),
    }
    simulation = simulations.Simulation("cheetah_run", 12, episode)
    rate = tf.constant(1e-3)
    with tempfile.TemporaryDirectory() as folder:
        writer = tf.summary.create_file_writer(folder)

        def write(function, *arguments):
            with writer.as_default(0):
                function(*arguments)
            writer.flush()
            return 0

        cases = {
            "update": lambda n: update(data, rate, tf.constant([0, n]))[0]["total"],
            "evaluation": lambda n: evaluate(data, tf.constant([0, n]))[0]["total"],
            "decision": speed.decide(config, model, speed.DATA_SPEC),
            "pictures of a batch": lambda n: write(pictures.write_batch, data, n),
            "of an episode": lambda _: write(pictures.write_simulations, [simulation]),
            "instruments": lambda n: measured.measure(data, n)["reward"]["r2"],
        }
        return {name: speed.measure(run, repeats) for name, run in cases.items()}


if __name__ == "__main__":
    main()
