"""Evaluates the agent of a run, without exploration.

    python -m planet.scripts.evaluate --logdir LOGDIR/00001 --video FOLDER

TensorFlow is imported only inside functions: spawned workers import this module too.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from planet.control import batch_env
from planet.control.envs import opengl
from planet.scripts import random_returns, runs, tasks
from planet.tools import (
    atomic_files,
    cli,
    parameters,
    tables,
    tensorflow_start,
    video,
)

PROG = "planet.scripts.evaluate"
FPS = 15


@cli.main(PROG)
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    parser = _make_parser()
    args = parser.parse_args(argv)
    try:
        run = runs.find_one(args.logdir)
        params = runs.read_params(args.params)
        config = runs.read_config(run / "config.yaml", params)
        chosen = _choose_tasks(config, args.tasks)
        step, checkpoint = runs.choose_checkpoint(run, args.checkpoint)
        films = _name_films(args, config, chosen)
        if any(task.renders for task in chosen):
            opengl.require_isolation(config.isolate_envs)
    except (
        runs.RunError,
        parameters.ParameterError,
        video.VideoError,
        opengl.OpenGLError,
        OSError,
    ) as error:
        parser.error(str(error))
    output = args.output or run / f"evaluation_{step}.json"
    if not args.overwrite:
        parser.refuse_existing(output, *films.values())
    tensorflow_start.load()
    from planet.tools import tf1_checkpoint
    from planet.training import evaluation

    def show(task, index, frames):
        path = films[task, index]
        path.parent.mkdir(parents=True, exist_ok=True)
        video.write(path, frames, FPS)

    print(f"Evaluate the checkpoint of step {step} of {run}.", flush=True)
    horizon = args.horizon or config.summary_horizons[0]
    try:
        returns = evaluation.evaluate(
            config,
            chosen,
            checkpoint,
            args.episodes,
            args.num_agents,
            horizon,
            args.seed,
            show if films else None,
        )
    except tf1_checkpoint.CheckpointError as error:
        parser.error(str(error))
    except batch_env.EnvError as error:
        print(f"{PROG}: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", flush=True)
        return 130
    results = {
        "run": str(run.absolute()),
        "checkpoint": step,
        "params": params,
        "horizon": horizon,
        "num_agents": args.num_agents,
        "seed": args.seed,
        "tasks": {name: random_returns.summary(x) for name, x in returns.items()},
        "films": [str(path.absolute()) for path in films.values()],
    }
    print(report(results["tasks"]))
    atomic_files.write_json(output, results, indent=2)
    print(f"Written to {output}.")
    return 0


def report(results: Mapping[str, Mapping[str, Any]]) -> str:
    """A table of results by task (see `random_returns.summary`), and all returns."""
    rows = [
        (
            name,
            result["episodes"],
            *(f"{result[key]:.2f}" for key in ("mean", "stddev")),
        )
        for name, result in results.items()
    ]
    paragraphs = [tables.markdown(("task", "episodes", "mean", "stddev"), rows)]
    for name, result in results.items():
        returns = " ".join(f"{value:.2f}" for value in result["returns"])
        paragraphs.append(textwrap.fill(f"{name}: {returns}", 80, **_INDENT))
    return "\n\n".join(paragraphs)


_INDENT: dict[str, Any] = {"subsequent_indent": "  ", "break_on_hyphens": False}


def _choose_tasks(config, names):
    """The tasks of a run, or the named ones among them."""
    known = {task.name: task for task in tasks.load(config)}
    for name in names or ():
        if name not in known:
            raise runs.RunError(parameters.unknown("task of the run", name, known))
    return [task for name, task in known.items() if not names or name in names]


def _name_films(args, config, chosen):
    """Files of the films, by task and index of the episode."""
    if args.video is None:
        if args.format:
            raise runs.RunError("--format is that of films, which take --video FOLDER")
        return {}
    if config.observations != "image":
        raise runs.RunError(
            f"--video needs a model of images; this one sees {config.observations}"
        )
    suffix = args.format or "gif"
    video.check_format(f"film.{suffix}")
    # Names may come from a file: they must not lead out of the folder.
    stems = {task.name: re.sub(r"[^\w.-]", "_", task.name)[:60] for task in chosen}
    return {
        (name, index): args.video / f"{stem}_{index + 1:03}.{suffix}"
        for name, stem in stems.items()
        for index in range(args.episodes)
    }


def _make_parser() -> cli.Parser:
    parser = cli.Parser(
        PROG,
        "Evaluates the agent of a run, finished or not, without exploration. The same "
        "seed gives the same returns, with films or without, alone or among other "
        "tasks; but they depend on --num_agents, because agents that plan in one batch "
        "share random numbers.",
    )
    runs.add_run(parser)
    runs.add_checkpoint(parser)
    parser.add_argument(
        "--tasks", nargs="+", metavar="NAME", help="tasks of the run (default: all)"
    )
    parser.add_argument(
        "--episodes",
        type=cli.number(int, 1, 100_000),
        default=10,
        metavar="N",
        help="episodes of each task (default: %(default)s)",
    )
    parser.add_argument(
        "--num_agents",
        type=cli.number(int, 1, 1000),
        default=4,
        metavar="N",
        help="environments to step at once (default: %(default)s)",
    )
    parser.add_params("the run")
    parser.add_argument(
        "--horizon",
        type=cli.number(int, 1, 1000),
        metavar="STEPS",
        help="steps to plan (default: the first of the run's summary_horizons)",
    )
    parser.add_argument(
        "--seed",
        type=cli.number(int, 0, 2**32 - 1),
        default=0,
        metavar="N",
        help="seed of all randomness (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=cli.output_file(".json"),
        metavar="FILE",
        help="JSON file of the results (default: evaluation_STEP.json in RUN)",
    )
    parser.add_argument(
        "--video",
        type=cli.output_folder,
        metavar="FOLDER",
        help="where to write a film of each episode: the agent's view, its "
        "reconstruction, and a dream, which every 50 steps sees five images and then "
        "continues from the actions alone (default: nowhere)",
    )
    parser.add_argument(
        "--format",
        choices=("gif", "mp4"),
        help="format of the films (default: gif)",
    )
    parser.add_overwrite()
    return parser


if __name__ == "__main__":
    sys.exit(main())
