"""What one setting does at equal wall time, by `python -m benchmarks.variations`.

Trains a config as it is, and again with each change, for as many minutes of wall time
each. The newest checkpoints are then evaluated and diagnosed, and all numbers written
to a JSON file, a table and a plot. What has been measured is not measured again, so an
interrupted comparison continues; DIR/CHANGE/log.txt tells how a run is getting on.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import pathlib
import queue
import re
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import IO, Any

import ml_collections
import numpy as np
from matplotlib import figure

from benchmarks import learning
from planet.scripts import configs, plot_scores, runs
from planet.tools import (
    atomic_files,
    cli,
    episode_files,
    intervals,
    parameters,
    schedule,
    tables,
)

PROG = "benchmarks.variations"
UNCHANGED = "unchanged"
BASE = {"tasks": ["cartpole_balance"], "seed": 0}
CHANGES: Sequence[Mapping[str, Any]] = (
    {"seed": 1},
    {"image_loss_scale": 1.0, "reward_scale": 10.0},
    {"free_nats": 3.0},
    {"batch_shape": [8, 40]},
    # The same, and as many updates for each episode as before.
    learning.LONGER,
    {"cnn_depth": 32},
    {"cem_amount": 300, "cem_topk": 30},
    {"warm_start": True},
    {"collect_every": 1600, "collect_batch_size": 1},
    {"collect_every": 4000},
    {"collect_every": 16_000},
    {"exploration_noises": [0.1]},
    {"precision": "float32"},
)
NEWEST = 10  # Collected episodes whose returns count.
DISTANCES = ("1", "4", "8", "12")


class EndedError(Exception):
    """A program failed, or was stopped."""


@dataclasses.dataclass
class Case:
    """A run and what was measured of it.

    Attributes:
      folder: where both are.
      change: settings that differ from the unchanged run.
      params: all settings that differ from the config.
      config: all settings.
      found: what was measured so far: `minutes`, then `step`, `updates`, `episodes` and
        `collected` (returns), then `returns`, then `instruments`.
    """

    folder: pathlib.Path
    change: Mapping[str, Any]
    params: Mapping[str, Any]
    config: ml_collections.ConfigDict
    found: dict[str, Any]

    @property
    def run(self) -> pathlib.Path:
        """Folder of the run."""
        return self.folder / "00001"

    def add(self, **values: Any) -> None:
        """Writes down what was measured."""
        self.found |= values
        atomic_files.write_json(self.folder / "case.json", self.found)


@cli.main(PROG)
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    parser = _make_parser()
    args = parser.parse_args(argv)
    try:
        base = BASE | runs.read_params(args.params)
        given = [parameters.read([text], "--vary") for text in args.vary or ()]
        cases = [read_case(args, base, change) for change in ({}, *(given or CHANGES))]
        for first, second in itertools.combinations(cases, 2):
            if first.folder == second.folder:
                raise ValueError(f"two changes would share {first.folder}")
    except ValueError as error:
        parser.error(str(error))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # Stops what it started.
    learning.note_machine(args.logdir)
    complete_all(args, cases)
    measured = [case for case in cases if "instruments" in case.found]
    if measured:
        content = {
            "command": _own_command(args),
            "config": args.config,
            "params": base,
            "minutes": args.minutes,
            "machine": learning.read_machine(cases[0].run),
            "cases": [{"change": case.change, **case.found} for case in measured],
        }
        args.output.parent.mkdir(parents=True, exist_ok=True)
        atomic_files.write_json(args.output, content)
        draw(measured).savefig(args.output.with_suffix(".png"), dpi=100)
        print(table(measured))
        print(f"Wrote {args.output} and {args.output.with_suffix('.png')}")
    return 0 if len(measured) == len(cases) else 1


def describe(change: Mapping[str, Any]) -> str:
    """A change as a reader would write it."""
    texts = [f"{key}: {json.dumps(value)}" for key, value in change.items()]
    return ", ".join(texts).replace('"', "") or UNCHANGED


def read_case(args, base: Mapping[str, Any], change: Mapping[str, Any]) -> Case:
    """A case with what has been measured of it.

    Raises:
      ValueError: Its settings cannot be used, or it was measured with others.
    """
    params = {**base, **change}
    config = configs.load(args.config, params)
    if len(config.tasks) > 1:
        raise ValueError("tasks must be a single one")
    folder = args.logdir / re.sub(r"\W+", "_", describe(change)).strip("_")
    case = Case(folder, change, params, config, {"minutes": args.minutes})
    settings = case.run / "config.yaml"
    if settings.exists():
        differing = runs.differences(config, runs.read_config(settings))
        if differing:
            raise ValueError(f"{case.run} differs in {', '.join(differing)}")
    path = folder / "case.json"
    if path.exists():
        case.found = json.loads(path.read_text(encoding="utf-8"))
        if case.found["minutes"] != args.minutes:
            minutes = f"{case.found['minutes']:g} minutes, not {args.minutes:g}"
            raise ValueError(f"{path} is of {minutes}")
    return case


def complete_all(args, cases: Sequence[Case]) -> None:
    """Trains and measures what cases lack, so many at once as there are jobs."""
    stopping = threading.Event()
    processors = sorted(os.sched_getaffinity(0))
    shares: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
    for job in range(args.jobs):
        shares.put(processors[job :: args.jobs])

    def pin() -> None:  # This thread, and with it the processes that it starts.
        os.sched_setaffinity(0, shares.get())

    with futures.ThreadPoolExecutor(args.jobs, initializer=pin) as pool:
        jobs = [pool.submit(complete, args, case, stopping.is_set) for case in cases]
        try:
            for job in futures.as_completed(jobs):
                job.result()
        finally:
            stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)


def complete(args, case: Case, is_stopping: Callable[[], bool]) -> None:
    """Trains and measures what a case lacks, or tells what failed."""
    name = describe(case.change)
    case.folder.mkdir(exist_ok=True)
    path = case.folder / "log.txt"
    with open(path, "a", encoding="utf-8") as log:
        try:
            for text in _measure(args, case, is_stopping, log):
                print(f"{name}: {text}", flush=True)
        except (EndedError, runs.RunError) as error:
            if not is_stopping():
                message = f"{PROG}: error: {name}: {error}; see {path}"
                print(message, file=sys.stderr, flush=True)


def _measure(args, case: Case, is_stopping, log: IO[str]) -> Iterator[str]:
    """Measures what a case lacks, and yields what is to be said of it."""

    def call(script: str, *arguments: str) -> None:
        command = ["python", "-m", f"planet.scripts.{script}", *arguments]
        code = learning.run_until(command, is_stopping, log)
        if code != 0:
            raise EndedError(f"{script} ended with exit code {code}")

    if "step" not in case.found:
        yield f"training for {args.minutes:g} minutes"
        _train(args, case, is_stopping, log)
        case.add(**_describe_run(case))
        yield f"{case.found['updates']} updates, {case.found['episodes']} episodes"
    run = [str(case.run), "--checkpoint", str(case.found["step"]), "--overwrite"]
    if len(case.found.get("returns", ())) != args.episodes:
        path = case.folder / "evaluation.json"
        agents = str(min(args.episodes, 10))
        played = ["--episodes", str(args.episodes), "--num_agents", agents]
        call(
            "evaluate", "--logdir", *run, *played, "--seed", "1", "--output", str(path)
        )
        (result,) = atomic_files.read_json(path)["tasks"].values()
        case.add(returns=result["returns"])
        yield f"a return of {result['mean']:.0f}"
    if "instruments" not in case.found:
        call("diagnose", *run, "--episodes", "4", "--output", str(case.folder))
        path = case.folder / "instruments.json"
        (result,) = atomic_files.read_json(path).values()
        case.add(instruments=result["measures"])


def _train(args, case: Case, is_stopping, log: IO[str]) -> None:
    """Trains for so many minutes of wall time, less what the run has had before."""
    seed, logdir = case.params.get("seed"), str(case.folder)
    command = learning.training_command(args.config, case.params, seed, logdir)
    left = args.minutes - learning.minutes_of(case.run)
    deadline = time.monotonic() + 60 * left
    code = learning.run_until(
        command, lambda: is_stopping() or time.monotonic() >= deadline, log
    )
    if code or is_stopping():
        raise EndedError(f"training ended with exit code {code}")


def _describe_run(case: Case) -> dict[str, Any]:
    """How far a run came, and the returns of the episodes that it collected last."""
    step, _ = runs.choose_checkpoint(case.run)
    config = case.config
    batch = config.batch_shape[0]
    lengths = schedule.lengths(batch, config.train_steps, config.test_steps)
    episodes = sorted((case.run / "train_episodes").glob(f"*{episode_files.SUFFIX}"))
    collected = episodes[config.num_seed_episodes :][-NEWEST:]
    rewards = [episode_files.read(path, {"reward": ()})["reward"] for path in collected]
    return {
        "step": step,
        "updates": schedule.updates(step, batch, **lengths),
        "episodes": len(episodes),
        "collected": [float(values.sum()) for values in rewards],
    }


def table(cases: Sequence[Case]) -> str:
    """One row for each case: how far it came, returns, and the instruments' numbers."""
    heads = ["change", "updates", "episodes", "collected last", "return", "95%"]
    heads += [f"reward: error / spread after {', '.join(DISTANCES)} steps"]
    heads += ["R² of reward", "imagined return: correlation", "bias", "divergence"]
    rows = []
    for case in cases:
        found = case.found
        low, high = intervals.of_mean(found["returns"])
        reward = found["instruments"]["reward"]
        errors = [_show(reward["error"].get(distance)) for distance in DISTANCES]
        imagined = found["instruments"].get("return", {})
        rows.append(
            (
                describe(case.change),
                f"{found['updates']:,}",
                found["episodes"],
                f"{np.mean(found['collected']):.0f}" if found["collected"] else "–",
                f"{np.mean(found['returns']):.0f}",
                f"{low:.0f} to {high:.0f}",
                ", ".join(errors),
                _show(reward["r2"], 3),
                _show(imagined.get("correlation"), 3),
                _show(imagined.get("bias")),
                _show(found["instruments"]["divergence"]["mean"]),
            )
        )
    return tables.markdown(heads, rows)


def draw(cases: Sequence[Case]) -> figure.Figure:
    """Returns of the episodes, their mean and its interval, the best case on top."""
    drawing = figure.Figure((9, 1.2 + 0.32 * len(cases)), layout="constrained")
    panel = drawing.subplots()
    cases = sorted(cases, key=lambda case: np.mean(case.found["returns"]))
    collected = [np.mean(case.found["collected"] or np.nan) for case in cases]
    for place, case in enumerate(cases):
        returns = case.found["returns"]
        color = plot_scores.COLORS[not case.change]
        panel.plot(returns, [place] * len(returns), "|", color=color, alpha=0.5)
        panel.plot(intervals.of_mean(returns), [place] * 2, color=color, lw=2)
        panel.plot(np.mean(returns), place, "o", color=color)
    exploring = panel.plot(collected, range(len(cases)), "x", color="grey")
    label = "mean of the episodes collected last, with exploration"
    drawing.legend(exploring, [label], loc="outside lower right", frameon=False)
    names = [describe(case.change) for case in cases]
    panel.set_yticks(range(len(cases)), names, fontsize="small")
    panel.set_ylim(-0.6, len(cases) - 0.4)
    panel.set_xlabel(f"return, mean and its {intervals.CONFIDENCE:.0%} interval")
    plot_scores.tidy(panel)
    return drawing


def _show(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}g}"


def _own_command(args) -> str:
    """The command that measures the same again."""
    command = ["python", "-m", PROG, "--config", args.config]
    for flag in ("params", "vary"):
        if values := getattr(args, flag):
            command += [f"--{flag}", *values]
    for flag in ("minutes", "episodes", "jobs"):
        command += [f"--{flag}", f"{getattr(args, flag):g}"]
    return shlex.join(command)


def _make_parser() -> cli.Parser:
    listed = [f"  {describe(change)}" for change in CHANGES]
    parser = cli.Parser(PROG, __doc__, "\n".join(["changes by default:", *listed]))
    parser.add_argument(
        "--config", default="cpu", help="name of a config (default: %(default)s)"
    )
    parser.add_params(f"the config and {json.dumps(BASE)}")
    parser.add_argument(
        "--vary",
        nargs="+",
        metavar="CHANGE",
        help="settings that differ in a run: key=value, FILE.yaml or a mapping "
        "(default: the changes below)",
    )
    parser.add_argument(
        "--minutes",
        type=cli.number(float, 0),
        default=16,
        metavar="MINUTES",
        help="for which each run trains, its start included (default: %(default)s)",
    )
    parser.add_argument(
        "--episodes",
        type=cli.number(int, 2, 1000),
        default=10,
        metavar="N",
        help="to play with each agent afterwards (default: %(default)s)",
    )
    parser.add_argument(
        "--jobs",
        type=cli.number(int, 1, len(os.sched_getaffinity(0))),
        default=1,
        metavar="N",
        help="runs at a time, each on its share of the processors (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--logdir",
        type=cli.output_folder,
        default=pathlib.Path("runs/variations"),
        metavar="DIR",
        help="the run of a change is DIR/CHANGE/00001 (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=cli.output_file(".json"),
        default=pathlib.Path("docs/curves/variations.json"),
        metavar="FILE.json",
        help="results; the plot is beside it (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
