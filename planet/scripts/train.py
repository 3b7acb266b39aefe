"""Trains agents; each run has a folder in the logdir.

    python -m planet.scripts.train --logdir DIR --config NAME --params YAML

TensorFlow is imported only inside functions: spawned workers import this module too.
"""

import functools
import json
import os
import pathlib
import sys
import textwrap
from collections.abc import Generator, Sequence
from typing import Any

from planet.tools import interruption

if __name__ == "__main__":  # All further imports take seconds.
    interruption.end_on_signals()

import ml_collections

from planet.control.envs import opengl
from planet.scripts import configs, rules, runs, tasks
from planet.tools import cli, parameters, weight_files
from planet.training import running, seeding

PROG = "planet.scripts.train"
BY_NAME = (
    "by name: dmc:walker_run, gym:Pendulum-v1, ale:Pong, oldgym:CartPole-v1, "
    "package.module:function; see python -m planet.scripts.tasks"
)


def process(
    logdir: pathlib.Path, config: ml_collections.ConfigDict
) -> Generator[float]:
    """Trains the run in a folder and yields its test scores.

    Args:
      logdir: Folder of the run. If it has settings already, they are kept.
      config: Settings of a new run.
    """
    with interruption.at_once():
        from planet.training import trainer

    path = logdir / "config.yaml"
    if path.exists():
        given, config = config, runs.read_config(path)
        differing = runs.differences(given, config)
        if differing:
            names = ", ".join(differing)
            print(f"Keep the run's own settings; given otherwise: {names}", flush=True)
    else:
        runs.save_config(config, path, note=True)
        config = runs.read_config(path)
    yield from trainer.train(config, tasks.load(config), logdir)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    parser = _make_parser()
    args = parser.parse_args(argv)
    experiment = None

    def say_goodbye():
        run = experiment.current if experiment and args.logdir else None
        steps = runs.checkpoints(run.logdir) if run else []
        saved = f"; step {max(steps)} is saved" if steps else ""
        again = "; the same command continues" if args.logdir else ""
        print(f"\nInterrupted{saved}{again}.", flush=True)

    with interruption.handled(), interruption.ending(say_goodbye):
        try:
            with interruption.at_once():
                config = _read_settings(args, parser)
            with running.Experiment(
                args.logdir,
                functools.partial(process, config=config),
                num_runs=args.num_runs,
                ping_every=args.ping_every,
                resume_runs=args.resume_runs,
            ) as experiment:
                for run in experiment:
                    for _ in run:
                        pass
        except OSError as error:  # About folders; errors in a run are recorded there.
            print(f"{PROG}: error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt as interrupt:
            say_goodbye()
            return getattr(interrupt, "code", 130)
    return 1 if experiment.failed else 0


def _read_settings(args, parser: cli.Parser) -> ml_collections.ConfigDict:
    """The settings of new runs; ends with an error where they cannot be used."""
    try:
        params = parameters.parse(args.params, "--params")
        config = configs.load(args.config, params, args.logdir, source="--params")
        _check_checkpoint(config.checkpoint_to_load)
        chosen = tasks.load(config)
        if config.seed_dataset is not None:
            seeding.check(config.seed_dataset, chosen, config.observations)
        if any(task.renders for task in chosen):
            opengl.require_isolation(config.isolate_envs)
    except (parameters.ParameterError, opengl.OpenGLError) as error:
        parser.error(str(error))
    for line in rules.warn_of_short_horizons(config, chosen):
        print(line, flush=True)
    for line in rules.describe_episodes(chosen):
        print(line, flush=True)
    # Otherwise TensorFlow reports the lack of a GPU as an error.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return config


def _check_checkpoint(path: str | None) -> None:
    """Refuses to load a checkpoint that does not exist."""
    if not path or weight_files.is_folder(path):
        return
    if not any(map(os.path.exists, (f"{path}.index", f"{path}/checkpoint"))):
        raise parameters.ParameterError(
            f"checkpoint_to_load must be a checkpoint, without its suffix .index, or a "
            f"folder of checkpoints or weights, not {path!r}"
        )


def _make_parser() -> cli.Parser:
    parser = cli.Parser(PROG, "Trains PlaNet agents.", _epilog())
    parser.add_argument(
        "--logdir",
        type=cli.output_folder,
        metavar="DIR",
        help="folder of the runs 00001…; without it, a temporary one that is removed",
    )
    parser.add_argument(
        "--config",
        default="default",
        metavar="NAME",
        help="named set of settings, see below (default: %(default)s)",
    )
    parser.add_argument(
        "--params",
        default="{}",
        metavar="YAML",
        help="mapping of settings that override those of the config, see below; "
        "for example '{tasks: [cheetah_run], overshooting: 0}'",
    )
    parser.add_argument(
        "--num_runs",
        type=cli.number(int, 1, 99_999),
        default=1,
        metavar="N",
        help="runs of this experiment (default: %(default)s)",
    )
    parser.add_argument(
        "--resume_runs",
        type=cli.boolean,
        default=True,
        metavar="BOOL",
        help="continue unfinished runs; False: always start the next free run number "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--ping_every",
        type=cli.number(float, 0, 86_400),
        default=0,
        metavar="SECONDS",
        help="time between heartbeats when several workers share one logdir; 0: a "
        "single worker (default: %(default)s)",
    )
    return parser


def _epilog() -> str:
    """Lists the named configs, the tasks and the parameters."""
    lines = ["configs:"]
    lines += [f"  {name:9}{config.__doc__}" for name, config in configs.CONFIGS.items()]
    lines += ["", "tasks:"]
    lines += textwrap.wrap(", ".join(tasks.names()), 78, **_indent(2))
    lines += textwrap.wrap("all: " + ", ".join(tasks.ALL), 78, **_indent(2))
    lines += textwrap.wrap(BY_NAME, 78, **_indent(2))
    lines += ["", "parameters (with aliases) and their defaults:"]
    for name, parameter in configs.PARAMETERS.items():
        aliases = ", ".join(parameter.aliases)
        names = f"{name} ({aliases})" if aliases else name
        value = json.dumps(parameter.default).replace('"', "")
        lines.append(f"  {names}: {value}")
        lines += textwrap.wrap(parameter.text, 78, **_indent(6))
    return "\n".join(lines)


def _indent(width: int) -> dict[str, Any]:
    return {"initial_indent": " " * width, "subsequent_indent": " " * width}


if __name__ == "__main__":
    sys.exit(main())
