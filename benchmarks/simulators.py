"""Time of a step of the environment when plans are tried in it.

python -m benchmarks.simulators TASK...
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import numpy as np

from planet.scripts import tasks
from planet.tools import cli, parameters, tables

AMOUNT, HORIZON, TRIALS = 20, 12, 7


def measure(name: str) -> tuple[float, float | None]:
    """Microseconds of a processor for a step, in the environment and in rollouts.

    Each is the median of several trials; None where a task has no rollouts.
    """
    (task,) = tasks.load(tasks.Selection([name], observations="nothing"))
    env = task.env_ctor()
    env.reset(seed=0)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(AMOUNT * HORIZON)]
    candidates = np.reshape(actions, [AMOUNT, HORIZON, -1])

    def microseconds():
        times = []
        for _ in range(TRIALS):
            start = time.process_time()
            env.rewards(candidates)
            times.append(time.process_time() - start)
        steps = AMOUNT * HORIZON * task.action_repeat
        return float(np.median(times)) / steps * 1e6

    rolled_out = microseconds() if env._rollouts else None
    env._rollouts = None
    return microseconds(), rolled_out


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a table."""
    parser = cli.Parser("benchmarks.simulators", "Time of a step of trying plans.")
    parser.add_argument("tasks", nargs="+", metavar="TASK")
    names = parser.parse_args(argv).tasks
    for name in names:
        if name not in tasks.TASKS:
            parser.error(parameters.unknown("task", name, tasks.TASKS))
    rows = []
    for name in names:
        times = (f"{value:.0f}" if value else "" for value in measure(name))
        rows.append((name, *times))
    print(tables.markdown(("task", "environment", "rollouts"), rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
