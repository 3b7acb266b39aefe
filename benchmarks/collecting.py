"""What waits for what in collection, by `python -m benchmarks.collecting`.

Plays with an untrained agent, in one environment and in several at once, and prints the
milliseconds of a decision and those for which the agent then waits for environments, as
they simulate, render and record; and how many environment steps that makes a second.

TensorFlow is imported inside functions only: workers import this module too.
"""

import argparse
import tempfile
import time

import numpy as np

from planet.scripts import configs, tasks

DECISIONS = 40
SKIPPED = 5


def main() -> None:
    """Measures all cases and prints a table."""
    from benchmarks import speed

    parser = argparse.ArgumentParser(prog="benchmarks.collecting", description=__doc__)
    parser.add_argument(
        "--task",
        default="cheetah_run",
        metavar="NAME",
        help="(default: %(default)s)",
    )
    parser.add_argument(
        "--configs",
        nargs="+",
        default=["newhp", "cpu"],
        choices=configs.CONFIGS,
        metavar="NAME",
        help="(default: newhp cpu)",
    )
    parser.add_argument(
        "--envs",
        nargs="+",
        type=int,
        default=[1, 2, 4],
        metavar="N",
        help="environments at once (default: 1 2 4)",
    )
    args = parser.parse_args()
    speed.print_machine(speed.REPEATS)
    print("| config | environments | decision | waits | waiting | steps/s |")
    print("| --- " + "| ---: " * 5 + "|")
    for name in args.configs:
        config = configs.load(name, {"tasks": [args.task]})
        for amount in args.envs:
            decision, waits, repeat = play(config, amount)
            total = decision + waits
            print(
                f"| {name} | {amount} | {1000 * decision:.0f} ms | {1000 * waits:.1f} "
                f"ms | {waits / total:.0%} | {amount * repeat / total:.0f} |",
                flush=True,
            )


def play(config, amount: int) -> tuple[float, float, int]:
    """Median seconds of a decision and of waiting, and the action repeat."""
    from planet.training import data, define_model, simulations

    (task,) = tasks.load(config)
    (horizon,) = config.collect_horizons
    seconds = []
    with (
        simulations.make_batch(task, config, amount) as envs,
        tempfile.TemporaryDirectory() as folder,
    ):
        model = define_model.define_model(config, data.make_data_spec(envs))
        agent = simulations.make_agent(
            config, model, horizon, amount, *envs.action_space.shape
        )
        options = {"record_to": folder}
        observation = envs.reset(seed=list(range(amount)), options=options)
        for number in range(DECISIONS):
            start = time.perf_counter()
            action = agent.act(observation, 0.3, [0, number])
            decided = time.perf_counter()
            observation, *_ = envs.step(action)
            seconds.append((decided - start, time.perf_counter() - decided))
    decision, waits = np.median(seconds[SKIPPED:], 0)
    return float(decision), float(waits), task.action_repeat


if __name__ == "__main__":
    main()
