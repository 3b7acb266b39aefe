"""What collectors elsewhere change, by `python -m benchmarks.collectors`.

Trains the same number of updates without collectors, where the learner waits for each
episode, and with some on a local Ray; prints how many updates that made in a second of
train phases, waiting and collecting included, and the test scores after equal updates,
and writes them to a file. The same command continues what was interrupted.
"""

from __future__ import annotations

import pathlib
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import learning
from planet.tools import atomic_files, cli, json_lines, machine, tables, wording

PROG = "benchmarks.collectors"
EPISODES = 5  # Of a test phase.
SEARCH = {"cem_amount": 100, "cem_topk": 10}  # More does not return more here.
POINTS = 4  # At which scores are compared.


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    args = _make_parser().parse_args(argv)
    results: dict[str, list[dict[str, Any]]] = {}
    for amount in args.collectors:
        results[str(amount)] = []
        for seed in args.seeds:
            logdir = args.logdir / f"collectors{amount}" / f"seed{seed}"
            params = {**settings(args.task, args.updates), "collectors": amount}
            command = learning.training_command("newhp", params, seed, str(logdir))
            print(shlex.join(command), flush=True)
            code = subprocess.run([sys.executable, *command[1:]], cwd=learning.ROOT)
            if code.returncode:
                message = f"{logdir} ended with exit code {code.returncode}"
                print(f"{PROG}: error: {message}", file=sys.stderr)
                return 1
            batch = params["batch_shape"][0]
            results[str(amount)].append(read(logdir / "00001", batch))
    command = ["python", "-m", PROG, "--task", args.task, "--updates"]
    content = {
        "command": shlex.join([*command, str(args.updates)]),
        "machine": machine.processor(),
        "seeds": args.seeds,
        "results": results,
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    atomic_files.write_json(args.output, content)
    print(f"\n{content['machine']}\n\n{table(results)}")
    print(f"Wrote {args.output}")
    return 0


def settings(task: str, updates: int) -> dict[str, Any]:
    """Those of experiments from state observations, for so many updates."""
    params = learning.from_state(task, **SEARCH).params
    steps = params["train_steps"] + params["test_steps"]
    epochs = -(-updates * params["batch_shape"][0] // params["train_steps"])
    return {**params, "max_steps": epochs * steps, "test_episodes": EPISODES}


def read(run: pathlib.Path, batch: int) -> dict[str, Any]:
    """What a run reported, by what it is, a value for each epoch.

    Args:
      run: its folder.
      batch: sequences of an update.
    """
    phases = list(json_lines.read(run / "metrics.jsonl"))
    trained = [phase for phase in phases if phase["phase"] == "train"]
    tested = [phase for phase in phases if phase["phase"] == "test"]
    return {
        "updates": [int(phase["updates"]) for phase in tested],
        "test_score": [round(phase["score"], 3) for phase in tested],
        "episodes": [int(phase["episodes"]) for phase in trained],
        "updates_per_second": [
            round(phase["steps_per_second"] / batch, 4) for phase in trained
        ],
    }


def table(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """A column for each number of collectors, in Markdown.

    Speeds are medians over epochs but the first, which compiles, and then means over
    seeds; scores have their standard deviation over seeds.
    """
    header = ["", *(wording.count(int(amount), "collector") for amount in results)]
    speeds = (
        np.mean([np.median(run["updates_per_second"][1:]) for run in runs])
        for runs in results.values()
    )
    last = (np.mean([run["episodes"][-1] for run in runs]) for runs in results.values())
    rows = [
        ["updates per second", *(f"{speed:.2f}" for speed in speeds)],
        ["episodes at the end", *(f"{episodes:.1f}" for episodes in last)],
    ]
    updates = next(iter(results.values()))[0]["updates"]
    amount = len(updates)
    for point in sorted({-(-amount * x // POINTS) - 1 for x in range(1, POINTS + 1)}):
        row = [f"score after {updates[point]} updates"]
        for runs in results.values():
            scores = [run["test_score"][point] for run in runs]
            row.append(f"{np.mean(scores):.0f} ± {np.std(scores):.0f}")
        rows.append(row)
    return tables.markdown(header, rows)


def _make_parser() -> cli.Parser:
    parser = cli.Parser(PROG, __doc__)
    parser.add_argument(
        "--task",
        default="cartpole_balance",
        metavar="NAME",
        help="(default: %(default)s)",
    )
    parser.add_argument(
        "--collectors",
        nargs="+",
        type=cli.number(int, 0, 1000),
        default=[0, 1, 2],
        metavar="N",
        help="(default: 0 1 2)",
    )
    parser.add_argument(
        "--seeds",
        nargs="+",
        type=cli.number(int, 0, 2**32 - 1),
        default=[0, 1, 2],
        metavar="SEED",
        help="(default: 0 1 2)",
    )
    parser.add_argument(
        "--updates",
        type=cli.number(int, 1, 10**9),
        default=1000,
        metavar="N",
        help="of each run, until the end of an epoch (default: %(default)s)",
    )
    parser.add_argument(
        "--logdir",
        type=cli.output_folder,
        default=pathlib.Path("runs/collectors"),
        metavar="DIR",
        help="the runs are DIR/collectors0/seed0/00001 and so on "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=cli.output_file(".json"),
        default=pathlib.Path("docs/curves/collectors.json"),
        metavar="FILE",
        help="(default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
