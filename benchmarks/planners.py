"""Return against compute of planners, by `python -m benchmarks.planners RUN`.

Plays episodes without exploration with one trained model and every planner, with more
and more candidates, and writes each return, the samples that a decision imagines and
its milliseconds to a JSON file, a table and a plot. What the file holds already is not
played again, so an interrupted comparison continues; `--time_again` measures its
milliseconds again, once nothing else is at work.

TensorFlow is imported inside functions only: workers import this module too.
"""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import figure, ticker

from planet.control import planners
from planet.scripts import plot_scores, runs, tasks
from planet.tools import atomic_files, cli, intervals, parameters, tables

PROG = "benchmarks.planners"
AMOUNTS = (10, 30, 100, 300, 1000, 2000)
REPEATS = 20
LINES = [(line, color) for line in ("o-", "s--") for color in plot_scores.COLORS]
SEARCHES_NOTHING = "policy"
FLAGS = {  # What says so instead of --params.
    "planner": "--planners",
    "cem_amount": "--amounts",
    "cem_topk": "--amounts",
    "cem_iterations": "--iterations",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    parser = _make_parser()
    args = parser.parse_args(argv)
    try:
        params = runs.read_params(args.params)
        for name, flag in FLAGS.items():
            if name in params:
                raise parameters.ParameterError(f"{flag} sets {name}, not --params")
        run = runs.find_one(args.run)
        step, checkpoint = runs.choose_checkpoint(run, args.checkpoint)
        cases = {
            f"{planner}/{amount}": _read(run, params, planner, amount, args.iterations)
            for planner in _choose(args.planners, run)
            for amount in (args.amounts if planner != SEARCHES_NOTHING else [1])
        }
    except (runs.RunError, parameters.ParameterError) as error:
        parser.error(str(error))
    settings = {
        "run": "/".join(run.absolute().parts[-2:]),
        "checkpoint": step,
        "iterations": args.iterations,
        "seed": args.seed,
        "params": params or None,
    }
    try:
        found = _load(args.output, settings)
    except ValueError as error:
        parser.error(str(error))
    for name, config in cases.items():
        case = found.setdefault(name, {"returns": []})
        missing = args.episodes - len(case["returns"])
        if missing > 0:
            seed = args.seed + len(case["returns"])
            case["returns"] += play(config, checkpoint, missing, seed)
        if missing > 0 or args.time_again:
            case |= cost(config)
            content = {**settings, "cases": found}
            atomic_files.write_json(args.output, content)
            print(f"{name}: {describe(case)}", flush=True)
    print(table({name: found[name] for name in cases}))
    draw(found).savefig(args.output.with_suffix(".png"), dpi=100)
    print(f"Wrote {args.output} and {args.output.with_suffix('.png')}")
    return 0


def play(config, checkpoint: str, episodes: int, seed: int) -> list[float]:
    """Returns of episodes.

    Args:
      config: settings of a run, with a planner.
      checkpoint: prefix of its weights.
      episodes: how many to play.
      seed: seed of all randomness.
    """
    from planet.training import evaluation

    (task,) = tasks.load(config)
    (horizon,) = config.summary_horizons
    agents = min(episodes, 2)
    returns = evaluation.evaluate(
        config, [task], checkpoint, episodes, agents, horizon, seed
    )
    return returns[task.name]


def cost(config) -> dict[str, Any]:
    """Samples that a decision imagines, and its milliseconds."""
    from benchmarks import speed
    from planet.training import data, define_model, simulations

    (task,) = tasks.load(config)
    (horizon,) = config.summary_horizons
    with simulations.make_batch(task, config, 1) as envs:
        observation = envs.reset(seed=[0])
        model = define_model.define_model(config, data.make_data_spec(envs))
        agent = simulations.Agents(config, model).find(horizon, envs)
        seconds = speed.measure(
            lambda number: agent.act(observation, 0.0, [0, number]), REPEATS
        )
    return {
        "samples": int(np.isfinite(agent.plan_returns).sum()),
        "milliseconds": round(1000 * seconds, 2),
    }


def describe(case: Mapping[str, Any]) -> str:
    """Mean return and its interval, samples and milliseconds, in a line."""
    low, high = intervals.of_mean(case["returns"])
    return (
        f"{np.mean(case['returns']):.0f} ({low:.0f} to {high:.0f}), "
        f"{case['samples']} samples, {case['milliseconds']:.0f} ms"
    )


def table(cases: Mapping[str, Mapping[str, Any]]) -> str:
    """One row for each planner and number of candidates."""
    rows = []
    for name, case in cases.items():
        planner, amount = name.split("/")
        low, high = intervals.of_mean(case["returns"])
        rows.append(
            (
                f"`{planner}`",
                amount,
                case["samples"],
                f"{case['milliseconds']:.0f}",
                len(case["returns"]),
                f"{np.mean(case['returns']):.0f}",
                f"{low:.0f} to {high:.0f}",
            )
        )
    heads = ("planner", "candidates", "samples", "ms", "episodes", "return", "95%")
    return tables.markdown(heads, rows)


def draw(cases: Mapping[str, Mapping[str, Any]]) -> figure.Figure:
    """Return against samples, and against milliseconds, of a decision."""
    drawing = figure.Figure((11, 4.5), layout="constrained")
    panels = dict(zip(("samples", "milliseconds"), drawing.subplots(1, 2), strict=True))
    names = dict.fromkeys(name.split("/")[0] for name in cases)
    for cost, panel in panels.items():
        for planner, (line, color) in zip(names, LINES, strict=False):
            chosen = [
                case for name, case in cases.items() if name.split("/")[0] == planner
            ]
            chosen.sort(key=lambda case: case[cost])
            places = [max(case[cost], 1) for case in chosen]
            means = [np.mean(case["returns"]) for case in chosen]
            limits = np.array([intervals.of_mean(case["returns"]) for case in chosen]).T
            panel.plot(places, means, line, color=color, label=planner, ms=4)
            panel.fill_between(places, *limits, color=color, alpha=0.12, lw=0)
        panel.set(xscale="log", xlabel=f"{cost} of a decision", ylabel="return")
        panel.xaxis.set_major_formatter(ticker.ScalarFormatter())
        panel.xaxis.set_minor_formatter(ticker.NullFormatter())
        plot_scores.tidy(panel)
    panels["samples"].legend(frameon=False)
    return drawing


def _choose(names: Sequence[str] | None, run: pathlib.Path) -> list[str]:
    """The planners that are wanted, or all that the run's model can be used with."""
    for name in names or ():
        if name not in planners.PLANNERS:
            raise runs.RunError(parameters.unknown("planner", name, planners.PLANNERS))
    if names:
        return list(names)
    able = []
    for name in planners.PLANNERS:
        try:
            runs.read_config(run / "config.yaml", {"planner": name})
        except parameters.ParameterError:
            continue
        able.append(name)
    return able


def _read(run: pathlib.Path, params, planner: str, amount: int, iterations: int):
    """Settings of the run, with others, a planner and the sizes of its search.

    A tenth of the candidates are elites.
    """
    search = {
        **params,
        "planner": planner,
        "cem_amount": amount,
        "cem_topk": min(amount, max(2, amount // 10)),
        "cem_iterations": iterations,
    }
    return runs.read_config(run / "config.yaml", search)


def _load(path: pathlib.Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The cases that a file holds already.

    Raises:
      ValueError: They are those of something else.
    """
    if not path.exists():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    for name, value in settings.items():
        if (found := content.get(name)) != value:
            raise ValueError(f"{str(path)!r} has {name} {found}, not {value}")
    return content["cases"]


def _make_parser() -> cli.Parser:
    parser = cli.Parser(PROG, __doc__)
    parser.add_argument("run", type=cli.existing_folder, metavar="RUN")
    runs.add_checkpoint(parser)
    parser.add_argument(
        "--planners",
        nargs="+",
        metavar="NAME",
        help="(default: all that the run can be used with)",
    )
    parser.add_argument(
        "--amounts",
        nargs="+",
        type=cli.number(int, 2),
        default=AMOUNTS,
        metavar="N",
        help=f"candidates of an iteration (default: {' '.join(map(str, AMOUNTS))})",
    )
    parser.add_argument(
        "--iterations",
        type=cli.number(int, 1),
        default=5,
        metavar="N",
        help="(default: %(default)s)",
    )
    parser.add_argument(
        "--episodes",
        type=cli.number(int, 2),
        default=20,
        metavar="N",
        help="of each planner and number of candidates (default: %(default)s)",
    )
    parser.add_params("the run")
    parser.add_argument(
        "--time_again",
        action="store_true",
        help="measure milliseconds again, even of what has been played",
    )
    parser.add_argument(
        "--seed",
        type=cli.number(int, 0, 2**31),
        default=0,
        help="(default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=cli.output_file(".json"),
        default=pathlib.Path("docs/curves/planners.json"),
        metavar="FILE.json",
        help="results; the plot is beside it (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
