"""Learning curves as data, by `python -m benchmarks.learning NAME`.

Trains a named experiment with one seed after the other, each for some minutes, and
writes what was reported in each epoch to docs/curves/NAME.json and to a plot beside it.
The same command continues what was interrupted.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib.metadata
import itertools
import json
import math
import operator
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

import ml_collections
import numpy as np
from matplotlib import figure

import planet
from planet.scripts import compile_scores, configs, plot_scores, runs
from planet.tools import atomic_files, cli, events, intervals, machine, parameters

PROG = "benchmarks.learning"
ROOT = pathlib.Path(__file__).parent.parent
POLL = 1  # Seconds between looks at a run in training.
TAGS = {
    **compile_scores.AXIS_TAGS,
    "episodes": ("train/episodes",),
    "collected_return": ("train/score",),
    **compile_scores.TAGS,
    "divergence": ("train/zs_divergence",),
}
PANELS = {
    "test_score": "test score",
    "collected_return": "collected return, with exploration",
    "image_loss_te": "observation loss, test episodes",
    "reward_loss_te": "reward loss, test episodes",
}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What to train, and for how long.

    Attributes:
      config: name of the config.
      params: settings that override those of the config.
      minutes: how long each run trains.
      seeds: one run for each.
    """

    config: str
    params: Mapping[str, Any]
    minutes: float
    seeds: Sequence[int] = (0, 1, 2)


def _on_cpu(task: str, minutes: float, **params) -> Experiment:
    return Experiment("cpu", {"tasks": [task], **params}, minutes)


def _as_original(**params) -> Experiment:
    """A run of `newhp`, whose schedule is the original's."""
    settings = {"tasks": ["cartpole_balance"], "precision": "auto", **params}
    return Experiment("newhp", settings, 1440, (0,))


def from_state(task: str, minutes: float = 60, **params) -> Experiment:
    """A task from its state, with small networks and an episode for 25 updates."""
    sizes = {
        "observations": "state",
        "model_size": 64,
        "state_size": 16,
        "cem_amount": 300,
        "cem_topk": 30,
        "cem_iterations": 5,
        "batch_shape": [16, 20],
        "train_steps": 1600,
        "test_steps": 160,
        "collect_every": 400,
        "learning_rate": 0.002,
        "learning_rate_ramp": 0,
        "learning_rate_drop": 32_000,
        "free_nats": 1.0,
        "image_loss_scale": 30,
        "reward_scale": 100,
    }
    return Experiment("newhp", {"tasks": [task], **sizes, **params}, minutes)


def _ahead(horizon: int) -> dict[str, list[int]]:
    return {"collect_horizons": [horizon], "summary_horizons": [horizon]}


FURTHER = _ahead(24)
# From state, an update costs as much time as half a decision: many for each episode.
LEARNING_MORE = {
    "train_steps": 8000,
    "collect_every": 8000,
    "collect_batch_size": 4,
    "learning_rate_drop": 80_000,
}
QUICK = {**LEARNING_MORE, "cem_amount": 100, "cem_topk": 10}
RUNNING = {**QUICK, "reward_scale": 1000}  # The rewards of a slow cheetah are small.
GUIDED = {
    "planner": "pop_p",
    "initial_sigma": 0.1,
    "use_policy": True,
    "stoch_policy": True,
    "use_value": True,
    "marwil_kappa": 0.7,
    "policy_lr": 1e-3,
    "value_lr": 2e-3,
}
ACTING = {**GUIDED, "planner": "pop_a2", "initial_sigma": 1.0}
UNGUIDED = {  # Three times as many candidates, without a policy.
    "learning_rate_drop": 112_000,
    "planner": "cem",
    "use_policy": False,
    "use_value": False,
    "cem_amount": 300,
    "cem_topk": 30,
}
# Chunks twice as long, half as many in a batch and so in everything that counts them.
LONGER = {
    "batch_shape": [8, 40],
    "train_steps": 4000,
    "test_steps": 80,
    "collect_every": 4000,
}
ALL_HEADS = ["image", "reward", "position", "velocity"]
# Twice as many decisions that look twice as far ahead: search less for each.
swingup_da = functools.partial(from_state, "cartpole_swingup_da", **QUICK, **FURTHER)
EXPERIMENTS = {
    "cartpole_balance": _on_cpu("cartpole_balance", 60),
    "cartpole_balance_chunks": _on_cpu(
        "cartpole_balance", 60, **LONGER, learning_rate_drop=40_000, max_steps=115_000
    ),
    # Chunks as long in time as those of cartpole_balance, and longer than plans.
    "cartpole_balance_da": _on_cpu(
        "cartpole_balance_da", 120, **FURTHER, batch_shape=[8, 40]
    ),
    "cartpole_swingup": _on_cpu("cartpole_swingup", 75),
    # Random actions catch the ball by chance, which a planner that knows of no reward
    # does not: let there be many to learn from.
    "cup_catch": _on_cpu("cup_catch", 120, **_ahead(12), num_seed_episodes=50),
    "cartpole_balance_unguided": _on_cpu("cartpole_balance", 60, **UNGUIDED),
    "cartpole_swingup_unguided": _on_cpu("cartpole_swingup", 75, **UNGUIDED),
    "cup_catch_unguided": _on_cpu("cup_catch", 120, **UNGUIDED),
    "cartpole_balance_state": from_state("cartpole_balance", **LEARNING_MORE),
    "cartpole_swingup_state": from_state("cartpole_swingup", **LEARNING_MORE),
    "cartpole_swingup_da_state": swingup_da(),
    "cartpole_swingup_da_noise": swingup_da(20, exploration_noises=[0.3]),
    "cartpole_swingup_da_ramp": swingup_da(
        20, exploration_noises=[0.3], exploration_ramps=[80_000]
    ),
    "cartpole_balance_cem": from_state("cartpole_balance", 12, **QUICK),
    "cartpole_balance_pop_a2": from_state("cartpole_balance", 12, **QUICK, **ACTING),
    "cheetah_run_cem": from_state("cheetah_run", 8, **RUNNING),
    "cheetah_run_pop_p": from_state("cheetah_run", 8, **RUNNING, **GUIDED),
    "reacher_easy_cem": from_state("reacher_easy", 8, **QUICK),
    "reacher_easy_pop_p": from_state("reacher_easy", 8, **QUICK, **GUIDED),
    "cartpole_balance_default": _as_original(),
    # In the original, the heads of diagnostics train the model as well.
    "cartpole_balance_all_heads": _as_original(gradient_heads=ALL_HEADS),
    # As many sequences, in less than a sixth of the updates.
    "cartpole_balance_large_batches": _as_original(
        gradient_heads=ALL_HEADS, batch_shape=[50, 50]
    ),
    "debug": Experiment(
        "debug",
        {"tasks": ["dummy"], "dumbnet": True, "isolate_envs": "thread"},
        minutes=0.5,
        seeds=(0, 1),
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    parser = _make_parser()
    args = parser.parse_args(argv)
    try:
        overlay = _read_overlay(args)
        added = {path: read_written(path) for path in args.add or ()}
        experiment = None if args.runs else _choose(args)
        found = [run for folder in args.runs or () for run in runs.find(folder)]
        if args.runs and not found:
            raise ValueError(f"no run in {', '.join(map(str, args.runs))}")
    except ValueError as error:
        parser.error(str(error))
    trained = True
    origin = {"command": None, "minutes": None}
    folder = args.logdir / args.name
    if experiment:
        origin = {"command": _own_command(args), "minutes": experiment.minutes}
        found = [folder / f"seed{seed}" / "00001" for seed in experiment.seeds]
        trained = args.collect_only or _train_all(experiment, folder)
    try:
        curves, config = read_curves(found)
        for path, (others, other_config, _) in added.items():
            _require_same(config, other_config, path)
            curves += others
        curves.sort(key=operator.itemgetter("seed"))
        _require_axis(curves, args.x)
    except ValueError as error:
        print(f"{PROG}: error: {error}", file=sys.stderr)
        return 1
    args.output.mkdir(parents=True, exist_ok=True)
    content = {
        "name": args.name,
        **origin,
        **_describe_settings(config),
        "machine": read_machine(found[0]),
        **({"added": _describe_added(added)} if added else {}),
        "seeds": [curve.pop("seed") for curve in curves],
        "runs": [{key: _rounded(values) for key, values in x.items()} for x in curves],
        "summary": summarise(curves),
    }
    path = args.output / f"{args.name}.json"
    atomic_files.write_json(path, content)
    drawing = plot(curves, args.x, overlay, args.name)
    drawing.savefig(path.with_suffix(".png"), dpi=100)
    print(f"Wrote {path} and {path.with_suffix('.png')}")
    return 0 if trained else 1


def training_command(
    config: str, params: Mapping[str, Any], seed: int | None, logdir: str
) -> list[str]:
    """The command that trains a run, to be started from the root of the project."""
    settings = json.dumps({**params, "seed": seed})
    command = ["python", "-m", "planet.scripts.train", "--logdir", logdir]
    return [*command, "--config", config, "--params", settings]


def train(experiment: Experiment, seed: int, logdir: pathlib.Path) -> bool:
    """Trains or continues a run; returns whether it did not fail.

    It is stopped at the end of the epoch in which its minutes are over.

    Args:
      experiment: what to train.
      seed: its seed.
      logdir: folder of the run's folder `00001`.
    """
    run = logdir / "00001"
    if _is_over(run, experiment.minutes):
        print(f"Skip {run}: its {experiment.minutes:g} minutes are over", flush=True)
        return True
    command = training_command(experiment.config, experiment.params, seed, str(logdir))
    newest = None

    def is_over() -> bool:
        nonlocal newest
        last, newest = newest, max(runs.checkpoints(run), default=None)
        return newest != last and _is_over(run, experiment.minutes)

    code = run_until(command, is_over)
    if code:
        print(f"{PROG}: error: {run} ended with exit code {code}", file=sys.stderr)
    return not code


def run_until(
    command: Sequence[str],
    is_over: Callable[[], bool],
    output: IO[str] | None = None,
) -> int | None:
    """Runs a program of Python until it ends or is stopped.

    Args:
      command: starts with `python`.
      is_over: whether to interrupt it, which is asked once a second.
      output: where it writes; None: where this process does.

    Returns:
      Its exit code; None if it was stopped.
    """
    print(shlex.join(command), file=output, flush=True)
    # In a session of its own, it is interrupted once, and only by us.
    process = subprocess.Popen(
        [sys.executable, *command[1:]],
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        while process.poll() is None:
            time.sleep(POLL)
            if is_over():
                break
        stopped = process.poll() is None
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        code = process.wait()
    return None if stopped else code


def read_curves(
    found: Sequence[pathlib.Path],
) -> tuple[list[dict], ml_collections.ConfigDict]:
    """Reads what runs of the same settings reported.

    Args:
      found: folders of the runs; those that lack a complete epoch are skipped.

    Returns:
      For each run its `seed` and, by metric, a value for each epoch, or None where it
      has none; and the config of the first run, from which others differ in the seed
      only.

    Raises:
      ValueError: there is no complete epoch, or settings differ.
    """
    curves, shared = [], None
    for path in found:
        try:
            config = runs.read_config(path / "config.yaml")
            run = events.Run(path.parent.name, path.name, path)
            epochs = list(compile_scores.read_epochs(run, TAGS))
        except (OSError, events.EventsError) as error:
            print(f"Skip {path}: {error}", file=sys.stderr)
            continue
        shared = shared or config
        _require_same(shared, config, path)
        names = [x for x in ("steps", *TAGS) if any(x in epoch for epoch in epochs)]
        columns = {name: [epoch.get(name) for epoch in epochs] for name in names}
        curves.append({"seed": config.seed, **columns})
    if not curves:
        raise ValueError("no run has a complete epoch")
    return curves, shared


def read_written(
    path: pathlib.Path,
) -> tuple[list[dict], ml_collections.ConfigDict, Any]:
    """Reads the runs of a file that this program wrote, perhaps on another machine.

    Args:
      path: the file.

    Returns:
      The curves and the config, as `read_curves` returns them; and the `machine`.

    Raises:
      ValueError: the file is not what this program writes.
    """
    try:
        content = atomic_files.read_json(path)
        curves = []
        for seed, run in zip(content["seeds"], content["runs"], strict=True):
            plot_scores.to_scores(run)
            curves.append({"seed": int(seed), **run})
        config = configs.load(content["config"], dict(content["params"]))
        return curves, config, content["machine"]
    except plot_scores.FOREIGN as error:
        message = f"{str(path)!r} is not what {PROG} writes: {error}"
        raise ValueError(message) from error


def estimate(table: np.ma.MaskedArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means over runs and their intervals of confidence, by the bootstrap.

    Args:
      table: values [runs, P], masked where a run has none.

    Returns:
      Means, lower and upper limits [P]; limits are NaN where fewer than two runs have
      a value.
    """
    limits = np.full((2, table.shape[1]), np.nan)
    for index, column in enumerate(table.T):
        values = column.compressed()
        if len(values) > 1:
            limits[:, index] = intervals.of_mean(values)
    return table.mean(0).filled(np.nan), *limits


def summarise(curves: Sequence[Mapping]) -> dict[str, dict[str, list]]:
    """Mean and limits of each panel's metric by epoch, of the runs that got so far."""
    result = {}
    for metric in PANELS:
        points = _points(curves, metric, "epochs")
        if points:
            estimates = estimate(plot_scores.align(points)[1])
            names = ("mean", "low", "high") if len(points) > 1 else ("mean",)
            result[metric] = {
                name: _rounded(values)
                for name, values in zip(names, estimates, strict=False)
            }
    return result


def plot(
    curves: Sequence[Mapping],
    x: str,
    overlay: Mapping[str, Mapping[str, np.ndarray]],
    title: str,
) -> figure.Figure:
    """Draws each run, their mean and its interval.

    Args:
      curves: metrics [epochs] of each run.
      x: one of `plot_scores.AXES`.
      overlay: metrics of other runs, by label, whose test scores are drawn as well.
      title: text above.
    """
    drawing = figure.Figure((10, 7), layout="constrained")
    for panel, metric in zip(drawing.subplots(2, 2).flat, PANELS, strict=True):
        points = _points(curves, metric, x)
        for place, values in points:
            panel.plot(place, values, color=plot_scores.COLORS[0], alpha=0.35, lw=0.8)
        if points:
            epochs, table = plot_scores.align(_points(curves, metric, "epochs"))
            places = _mean_places(curves, x, epochs)
            mean, low, high = estimate(table)
            color = plot_scores.COLORS[0]
            dot = "o" if len(places) == 1 else ""  # A line of one epoch is invisible.
            panel.plot(places, mean, marker=dot, color=color, lw=1.8, label=title)
            panel.fill_between(places, low, high, color=color, alpha=0.18, lw=0)
        if metric == "test_score":
            colors = itertools.cycle(plot_scores.COLORS[1:])
            for (label, scores), color in zip(overlay.items(), colors, strict=False):
                for place, values in _points([scores], metric, x):
                    panel.plot(place, values, color=color, lw=1.2, label=label)
            if overlay:
                panel.legend(frameon=False)
        panel.set_title(PANELS[metric], fontsize="medium")
        plot_scores.label_axis(panel, x)
        panel.ticklabel_format(axis="y", useOffset=False)
        plot_scores.tidy(panel)
    count = len(curves)
    spread = f"mean of {count} runs and its {intervals.CONFIDENCE:.0%} interval"
    drawing.suptitle(f"{title}: {spread if count > 1 else 'one run'}")
    return drawing


def _points(curves, metric, x) -> list[tuple[np.ndarray, np.ndarray]]:
    """Places and finite values of a metric in each run that has any."""
    result = []
    for curve in curves:
        values = np.array(curve.get(metric, ()), float)
        places = np.arange(1, len(values) + 1) if x == "epochs" else curve[x]
        valid = np.isfinite(values)
        if valid.any():
            result.append((np.array(places, float)[valid], values[valid]))
    return result


def _mean_places(curves, x, epochs) -> np.ndarray:
    """Where each epoch ended on an axis, as the mean of the runs that got so far."""
    if x == "epochs":
        return epochs
    return plot_scores.align(_points(curves, x, "epochs"), epochs)[1].mean(0)


def _rounded(values: Sequence[float | None]) -> list[float | None]:
    """Six digits of each number that is not whole; None where it is not finite."""
    return [None if x is None or not math.isfinite(x) else _round(x) for x in values]


def _round(value: float) -> float:
    return int(value) if value == int(value) else float(f"{value:.6g}")


def _require_same(first, config, path) -> None:
    """Refuses runs with other settings than the first one's, but for the seed."""
    differing = {*runs.differences(first, config)} - {"seed"}
    if differing:
        names = ", ".join(sorted(differing))
        raise ValueError(f"{path} differs from the first run in {names}")


def _describe_settings(config) -> dict[str, Any]:
    """The command that trains such runs, and what it changes of which config."""
    name = config.config_name
    usual = configs.load(name, {"tasks": config.tasks})
    changed = {key: config[key] for key in runs.differences(usual, config)}
    params = {"tasks": config.tasks, **changed}
    params.pop("seed", None)
    command = shlex.join(training_command(name, params, None, "LOGDIR"))
    train = command.replace('"seed": null', '"seed": SEED')
    return {"train": train, "config": name, "params": params}


def _describe_added(added) -> list[dict[str, Any]]:
    """Which seeds come from which file and machine."""
    return [
        {
            "file": path.name,
            "seeds": [curve["seed"] for curve in curves],
            "machine": machine_of,
        }
        for path, (curves, _, machine_of) in added.items()
    ]


def _require_axis(curves, x) -> None:
    """Refuses runs that cannot be placed on an axis."""
    known = ["epochs", *(axis for axis in plot_scores.AXES if axis in curves[0])]
    if not all(x in ("epochs", *curve) for curve in curves):
        raise ValueError(f"the runs lack {x}; --x may be {', '.join(known)}")


def _is_over(run: pathlib.Path, minutes: float) -> bool:
    """Whether a run is finished, or has a checkpoint of so many minutes."""
    return (run / "DONE").exists() or minutes_of(run) >= minutes


def minutes_of(run: pathlib.Path) -> float:
    """Minutes of training after the newest epoch of which a run has a checkpoint."""
    newest = max(runs.checkpoints(run), default=0)
    try:
        found = events.read(run / "test", "scalars", {"minutes"}.__contains__)
    except events.EventsError:  # None yet, or it is being written to.
        return 0.0
    minutes = found.get("minutes", ())
    return max((event.value for event in minutes if event.step <= newest), default=0.0)


def _train_all(experiment: Experiment, folder: pathlib.Path) -> bool:
    """Trains all runs of an experiment; returns whether none failed."""
    note_machine(folder)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # Stops a run in training.
    succeeded = [
        train(experiment, seed, folder / f"seed{seed}") for seed in experiment.seeds
    ]
    return all(succeeded)


def note_machine(folder: pathlib.Path) -> None:
    """Writes down, before the first of some runs, what trains them."""
    path = folder / "machine.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        atomic_files.write_json(path, _describe_machine("before training"))


def read_machine(run: pathlib.Path) -> dict[str, Any]:
    """What was noted before training, or else what can be said of this machine."""
    path = run.parents[1] / "machine.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    return _describe_machine("after training")


def _describe_machine(measured: str) -> dict[str, Any]:
    """Processor, speed and versions; TensorFlow runs in a process of its own."""
    program = "from benchmarks import speed; print(speed.measure_peak(3))"
    command = [sys.executable, "-c", program]
    peak = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT).stdout
    return {
        "cpu": machine.cpu(),
        "cores": os.cpu_count(),
        "matmul_gflops": round(float(peak)),
        "measured": measured,
        "tensorflow": importlib.metadata.version("tensorflow"),
        "planet": planet.__version__,
        "commit": _commit(),
    }


def _commit() -> str | None:
    """The commit of this checkout, if it is one."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        result = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return result.stdout.strip() or None


def _choose(args: argparse.Namespace) -> Experiment:
    """The named experiment, with the seeds and minutes that the user wants."""
    if args.name not in EXPERIMENTS:
        raise ValueError(parameters.unknown("experiment", args.name, EXPERIMENTS))
    given = {"seeds": args.seeds, "minutes": args.minutes}
    return dataclasses.replace(
        EXPERIMENTS[args.name],
        **{key: value for key, value in given.items() if value is not None},
    )


def _own_command(args: argparse.Namespace) -> str:
    """The command that writes the same file again."""
    command = ["python", "-m", PROG, args.name]
    if args.seeds:
        command += ["--seeds", *map(str, args.seeds)]
    if args.minutes is not None:
        command += ["--minutes", f"{args.minutes:g}"]
    if args.add:
        command += ["--add", *map(str, args.add)]
    return shlex.join(command)


def _read_overlay(args: argparse.Namespace) -> dict[str, plot_scores.Scores]:
    """The runs to draw beside the experiment's, by label."""
    if not args.overlay:
        if args.overlay_labels:
            raise ValueError("--overlay_labels needs --overlay")
        return {}
    found = plot_scores.read_scores(args.overlay)
    for label in args.overlay_labels or ():
        if label not in found:
            raise ValueError(parameters.unknown("label", label, found))
    chosen = {label: found[label] for label in args.overlay_labels or found}
    for label, scores in chosen.items():
        for name in ("test_score", *({args.x} - {"epochs"})):
            if name not in scores:
                hint = "; try --x epochs" if name == args.x else ""
                raise ValueError(f"{label} in {args.overlay} lacks {name}{hint}")
    return chosen


def _make_parser() -> cli.Parser:
    lines = [
        f"  {name:27}--config {experiment.config:6} {experiment.minutes:5g} minutes"
        for name, experiment in EXPERIMENTS.items()
    ]
    parser = cli.Parser(PROG, __doc__, "\n".join(["experiments:", *lines]))
    parser.add_argument(
        "name", metavar="NAME", help="experiment; with --runs, any name for the files"
    )
    parser.add_argument(
        "--logdir",
        type=cli.output_folder,
        default=pathlib.Path("runs"),
        metavar="DIR",
        help="the run of a seed is DIR/NAME/seed0/00001 (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=cli.output_folder,
        default=pathlib.Path("docs/curves"),
        metavar="FOLDER",
        help="folder of NAME.json and NAME.png (default: %(default)s)",
    )
    parser.add_argument(
        "--seeds",
        nargs="+",
        type=cli.number(int, 0, 2**32 - 1),
        metavar="SEED",
        help="seeds to train, instead of those of the experiment",
    )
    parser.add_argument(
        "--minutes",
        type=cli.number(float, 0),
        metavar="MINUTES",
        help="how long each run trains, until the end of an epoch, instead of the "
        "experiment's minutes",
    )
    parser.add_argument(
        "--collect_only",
        action="store_true",
        help="do not train, only write the curves of the runs that there are",
    )
    parser.add_argument(
        "--runs",
        nargs="+",
        type=cli.existing_folder,
        metavar="RUN",
        help="do not train, only write the curves of these runs, or of those in these "
        "folders",
    )
    parser.add_argument(
        "--x",
        choices=plot_scores.AXES,
        default="env_steps",
        metavar="AXIS",
        help=f"horizontal axis of the plot, among {', '.join(plot_scores.AXES)} "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--add",
        nargs="+",
        type=cli.existing_file,
        metavar="NAME.json",
        help="files that this program wrote of more runs with the same settings, e.g. "
        "on another machine, to be joined",
    )
    parser.add_argument(
        "--overlay",
        type=cli.existing_file,
        metavar="SCORES.json",
        help="what planet.scripts.compile_scores wrote of other runs, to be drawn too",
    )
    parser.add_argument(
        "--overlay_labels",
        nargs="+",
        metavar="LABEL",
        help="which of those runs (default: all)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
