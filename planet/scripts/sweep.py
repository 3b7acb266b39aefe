"""Trains many runs of what a file says is to be tried, on one machine or a cluster.

    python -m planet.scripts.sweep SPACE.yaml --logdir DIR

Ray is imported only inside a function: nothing else needs it.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import pathlib
import sys
import time
from collections.abc import Iterator, Sequence

from planet.tools import interruption

if __name__ == "__main__":  # All further imports take seconds.
    interruption.end_on_signals()

from planet.scripts import spaces, sweep_plan, sweep_trials
from planet.tools import cli, parameters, ray_cluster
from planet.training import running

PROG = "planet.scripts.sweep"
EXTRA = "sweeps need Ray and optuna: pip install 'planet[sweep]'"
DASHBOARD = "--dashboard needs what Ray shows it with: pip install 'ray[default]'"


@cli.main(PROG)
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    parser = _make_parser()
    args = parser.parse_args(argv)
    try:
        space = spaces.read(args.space)
        plan = sweep_plan.Plan(args.logdir, space)
    except parameters.ParameterError as error:
        parser.error(str(error))
    code = 0 if plan.is_over() else _run(args, parser, plan)
    if code:
        return code
    results = plan.results()
    plan.write(results)
    print(
        f"\n{sweep_plan.table(results)}\n\nWritten to {plan.logdir / sweep_plan.FILE}."
    )
    for label, reason in plan.failures().items():
        print(f"{PROG}: error: {label} failed: {reason}", file=sys.stderr)
    return 1 if plan.failures() else 0


def _run(args: argparse.Namespace, parser: cli.Parser, plan: sweep_plan.Plan) -> int:
    """Runs the trials that have not ended; returns the exit code of what ends it."""
    try:
        from planet.scripts import sweep_ray
    except ImportError as error:
        if str(error.name).partition(".")[0] not in ("ray", "optuna"):
            raise
        parser.error(EXTRA)
    if args.dashboard and not sweep_ray.has_dashboard():
        parser.error(DASHBOARD)
    demand = sweep_ray.Demand(
        args.address,
        args.cpus_per_trial,
        args.gpus_per_trial,
        args.max_concurrent,
        args.dashboard,
    )
    args.logdir.mkdir(parents=True, exist_ok=True)
    with interruption.handled():
        try:
            with _alone(args.logdir):
                todo = _choose(plan)
                with sweep_ray.cluster(demand) as slots:
                    sweep_ray.run(plan.space, todo, plan, demand, slots)
        except (ray_cluster.ClusterError, BusyError) as error:
            print(f"{PROG}: error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt as interrupt:
            print("\nInterrupted; the same command continues.", flush=True)
            return getattr(interrupt, "code", 130)
    return 0


class BusyError(RuntimeError):
    """Another sweep is at work in the same folder; the message is one line."""


@contextlib.contextmanager
def _alone(logdir: pathlib.Path) -> Iterator[None]:
    """Waits until no other sweep is at work in a folder, and keeps others out.

    Raises:
      BusyError: One is.
    """
    every = sweep_trials.PING_EVERY
    deadline = math.inf
    while not (heartbeat := running.Heartbeat(logdir, every)).start():
        owner = heartbeat.owner() or "unknown"
        if deadline == math.inf:
            print(f"Wait for the last heartbeat of worker {owner}.", flush=True)
            deadline = time.monotonic() + (running.STALE + 1) * every
        if time.monotonic() > deadline:
            raise BusyError(f"{logdir} is being swept by worker {owner}")
        interruption.check()
        time.sleep(every / 5)
    with interruption.ending(heartbeat.release):
        try:
            yield
        finally:
            heartbeat.stop()


def _choose(plan: sweep_plan.Plan) -> list[spaces.Trial]:
    """Writes the plan, says where it stands, and returns the trials to be run."""
    plan.read()  # Another sweep may have just ended.
    plan.retry()
    plan.write()
    print(f"{plan.logdir}: {plan.progress()}.", flush=True)
    states = {label: plan.state(label) for label in plan.trials}
    return [plan.trials[x] for x, y in states.items() if y == sweep_plan.UNFINISHED]


def _address(text: str) -> str:
    """Kind of the address of a cluster."""
    try:
        return ray_cluster.check_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be {error}, not {text!r}") from None


def _make_parser() -> cli.Parser:
    parser = cli.Parser(
        PROG,
        "Trains many runs of what a file says is to be tried, on one machine or on a "
        "Ray cluster. The same command continues what was interrupted.",
        spaces.__doc__,
    )
    parser.add_word(
        "space",
        "--space",
        type=cli.existing_file,
        metavar="SPACE.yaml",
        help="what is to be tried, see below",
    )
    parser.add_word(
        "logdir",
        "--logdir",
        type=cli.output_folder,
        metavar="DIR",
        help="folder of the sweep; a trial is the run DIR/LABEL/00001",
    )
    parser.add_argument(
        "--address",
        type=_address,
        metavar="ADDRESS",
        help="Ray cluster to join, auto or HOST:PORT; DIR must be the same folder on "
        "all of its machines (default: one of our own, which ends with the command)",
    )
    parser.add_argument(
        "--cpus_per_trial",
        type=cli.number(float, 0.01, 10_000),
        default=1,
        metavar="N",
        help="processors of a trial, and threads of its learner (default: %(default)s)",
    )
    parser.add_argument(
        "--gpus_per_trial",
        type=cli.number(float, 0, 1000),
        default=0,
        metavar="N",
        help="GPUs of a trial, which may be a part of one (default: %(default)s)",
    )
    parser.add_argument(
        "--max_concurrent",
        type=cli.number(int, 0, 10_000),
        default=0,
        metavar="N",
        help="trials at once; 0: as many as fit (default: %(default)s)",
    )
    parser.add_argument(
        "--dashboard",
        action="store_true",
        help="let a cluster of our own show itself in the browser of this machine",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
