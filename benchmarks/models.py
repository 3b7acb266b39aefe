"""What each latent model costs and learns, by `python -m benchmarks.models`.

Every model makes the same number of updates on the same random episodes of one task.
The table shows its parameters, seconds per update and per planning decision with their
ratios to those of the first model, and the total loss on held-out episodes before and
after. Losses compare within a row only: models differ in the terms they have.

TensorFlow is imported inside functions only: the process that renders the episodes
imports this module too.
"""

import argparse
import math
import pathlib
import tempfile
import time
from typing import Any, NamedTuple

import numpy as np
import tqdm

from planet.control import batch_env
from planet.control.random_episodes import random_episodes
from planet.scripts import configs, runs, tasks

CLOCKWORK = {"model_size": [100, 100], "state_size": [15, 15], "cw_tau": [1, 4]}
MODELS = {
    "rssm": {},
    "rssm, overshooting": {"overshooting": None},
    "ssm": {"model": "ssm"},
    "rssm_ma": {"model": "rssm_ma"},
    "clockwork": CLOCKWORK,
    "clockwork, cell_as_prior": {**CLOCKWORK, "cell_as_prior": 0.1},
    "rssm, tap_cell": {"tap_cell": "rssm"},
    "drnn": {"model": "drnn"},
    "rnn": {"model": "rnn"},
}
HELD_OUT = 3


def main() -> None:
    """Measures every model and prints a table."""
    from benchmarks import speed

    parser = argparse.ArgumentParser(
        prog="benchmarks.models",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--updates", type=int, default=200, metavar="N", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--task",
        default="cartpole_balance",
        metavar="NAME",
        help="(default: %(default)s)",
    )
    runs.add_params(parser, "all models")
    args = parser.parse_args()
    common = {"tasks": [args.task], "learning_rate_ramp": 0, "seed": 0}
    common |= runs.read_params(args.params)
    speed.print_machine(speed.REPEATS)
    with tempfile.TemporaryDirectory() as folder:
        spec = record(configs.load("newhp", common), pathlib.Path(folder))
        print(
            "| model | parameters | s/update | ratio | s/decision | ratio "
            "| loss before | after |\n| --- " + "| ---: " * 7 + "|"
        )
        first = None
        for name, params in MODELS.items():
            config = configs.load("newhp", {**common, **params})
            learned = learn(config, spec, folder, args.updates)
            decide = speed.decide(config, learned.model, spec)
            seconds = learned.seconds, speed.measure(decide, speed.REPEATS)
            first = first or seconds
            update, decision = (
                f"{here:.3f} | {here / there:.2f}"
                for here, there in zip(seconds, first, strict=True)
            )
            count = sum(math.prod(x.shape) for x in learned.model.trainable_variables)
            before, after = learned.before["total"], learned.after["total"]
            print(
                f"| {name} | {count:,} | {update} | {decision} | {before:.0f} "
                f"| {after:.0f} |",
                flush=True,
            )


def record(config, folder: pathlib.Path) -> dict[str, tuple[int, ...]]:
    """Records random episodes; returns the shapes of their entries."""
    from planet.training import data

    (task,) = tasks.load(config)
    with batch_env.BatchEnv([batch_env.make(task.env_ctor)]) as envs:
        for seed, phase in enumerate(data.PHASES):
            random_episodes(envs, config.num_seed_episodes, folder / phase, seed)
        return data.make_data_spec(envs)


class Learned(NamedTuple):
    """A model after some updates.

    Attributes:
      model: the model.
      seconds: median time of an update.
      before: losses on held-out episodes before the first update, by name.
      after: those after the last one.
    """

    model: Any
    seconds: float
    before: dict[str, float]
    after: dict[str, float]


def learn(
    config, spec: dict[str, tuple[int, ...]], folder: str, updates: int
) -> Learned:
    """Trains a model on recorded episodes.

    Args:
      config: what `planet.scripts.configs.load` returns; its seed says where weights
        start, which batches are drawn, and with which noise.
      spec: shapes of the entries of the episodes.
      folder: where `record` put them.
      updates: how many updates to make.
    """
    import keras
    import tensorflow as tf

    from planet.training import data, define_model

    keras.utils.set_random_seed(config.seed)
    model = define_model.define_model(config, spec)
    batches = {
        phase: iter(
            data.make_dataset(config, spec, pathlib.Path(folder, phase), config.seed)
        )
        for phase in data.PHASES
    }
    held_out = [next(batches["test"]) for _ in range(HELD_OUT)]
    evaluate, update = tf.function(model.losses), tf.function(model.update)

    def evaluated() -> dict[str, float]:
        losses = [evaluate(batch, tf.constant([0, 0])) for batch in held_out]
        return {key: float(np.mean([x[key] for x in losses])) for key in losses[0]}

    before, seconds, rate = evaluated(), [], tf.constant(config.learning_rate)
    for step in tqdm.trange(updates, desc=config.model, leave=False, disable=None):
        batch = next(batches["train"])
        start = time.perf_counter()
        losses, _ = update(batch, rate, tf.constant([1 + config.seed, step]))
        float(losses["total"])
        seconds.append(time.perf_counter() - start)
    return Learned(model, float(np.median(seconds[1:])), before, evaluated())


if __name__ == "__main__":
    main()
