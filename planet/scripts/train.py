"""Trains agents; each run has a folder in the logdir.

    python -m planet.scripts.train --logdir DIR --config NAME --params YAML

TensorFlow is imported only inside functions: spawned workers import this module too.
"""

import argparse
import concurrent.futures
import contextlib
import functools
import json
import os
import pathlib
import sys
import textwrap
from collections.abc import Container, Generator, Iterator, Mapping, Sequence
from typing import Any

from planet.tools import interruption

if __name__ == "__main__":  # All further imports take seconds.
    interruption.end_on_signals()

import ml_collections

from planet.control import batch_env
from planet.control.envs import opengl
from planet.scripts import configs, rules, runs, tasks
from planet.tools import cli, cluster, parameters, tensorflow_start
from planet.training import running, seeding

PROG = "planet.scripts.train"
BY_NAME = (
    "by name: dmc:walker_run, gym:Pendulum-v1, ale:Pong, oldgym:CartPole-v1, "
    "package.module:function; see python -m planet.scripts.tasks"
)


def process(
    logdir: pathlib.Path,
    config: ml_collections.ConfigDict,
    max_steps: int = 0,
    temporary: bool = False,
) -> Generator[Any]:
    """Trains the run in a folder and yields the results of its phases.

    Args:
      logdir: Folder of the run. If it has settings already, they are kept.
      config: Settings of a new run.
      max_steps: Those that the user asked for; 0: none. A run becomes that long.
      temporary: Whether to warn that the folder above is removed at the end.
    """
    with interruption.at_once():
        tensorflow_start.load()
        from planet.training import trainer

    path = logdir / "config.yaml"
    if path.exists():
        given, config = config, runs.read_config(path)
        if max_steps > config.max_steps:
            print(f"Train to step {max_steps}, not {config.max_steps}.", flush=True)
            config = runs.change_settings(path, {"max_steps": max_steps})
        if differing := runs.differences(given, config):
            names = ", ".join(differing)
            print(f"Keep the run's own settings; given otherwise: {names}", flush=True)
    else:
        runs.save_config(config, path, note=True)
        given, config = config, runs.read_config(path)
    with config.unlocked():
        config.distribute = given.distribute
    rules.check_collectors(config)
    note = None
    if temporary:
        note = f"Temporary: {logdir.parent} is removed at the end; --logdir keeps runs."
    yield from trainer.train(config, tasks.load(config), logdir, note)


def why_finished(
    logdir: pathlib.Path, config: ml_collections.ConfigDict, max_steps: int
) -> str | None:
    """Says why a finished run is skipped; None if it is to go on.

    Args:
      logdir: Folder of the run.
      config: Settings that the user asks for.
      max_steps: As for `process`.
    """
    try:
        own = runs.read_config(logdir / "config.yaml")
    except (parameters.ParameterError, OSError):
        return running.FINISHED
    if max_steps > own.max_steps:
        return None
    differing = ", ".join(runs.differences(config, own))
    kept = " with its own settings; given otherwise: "
    return running.FINISHED + (f"{kept}{differing}" if differing else "")


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
                config, given = _read_settings(args, parser)
            if not is_chief(config):
                return follow(config)
            with (
                joined(config),
                make_experiment(
                    config,
                    given,
                    args.logdir,
                    num_runs=args.num_runs,
                    ping_every=args.ping_every,
                    resume_runs=args.resume_runs,
                ) as experiment,
            ):
                for run in experiment:
                    for _ in run:
                        pass
        except cluster.LostError as error:
            if args.logdir:
                print("The same command on all of them continues.", flush=True)
            print(f"{PROG}: error: {error}", file=sys.stderr, flush=True)
            os._exit(1)  # TensorFlow would wait for the process that is gone.
        except OSError as error:  # About folders; errors in a run are recorded there.
            print(f"{PROG}: error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt as interrupt:
            say_goodbye()
            return getattr(interrupt, "code", 130)
    return 1 if experiment.failed else 0


def prepare(
    start: str,
    params: Mapping[str, Any],
    logdir: pathlib.Path | None,
    num_runs: int = 1,
    resume_runs: bool = True,
) -> tuple[ml_collections.ConfigDict, set[str]]:
    """Makes sure that runs can start, or go on, and warns of what they would regret.

    Args:
      start: Name of a config, or path of a run, see `runs.new_config`.
      params: Settings that override those.
      logdir: Folder of the runs; None: a temporary one.
      num_runs: As for `running.Experiment`.
      resume_runs: Likewise.

    Returns:
      The settings of new runs, and the names of those that the user gives.

    Raises:
      ParameterError: Settings, tasks or a checkpoint cannot be used.
      OpenGLError: The tasks render where TensorFlow computes.
    """
    config = runs.new_config(start, params, logdir)
    rules.check_collectors(config)
    given = {*parameters.by_own_names(configs.PARAMETERS, params)}
    if start not in configs.CONFIGS:
        given.add("tasks")
    if logdir and (logdir / "config.yaml").is_file():
        above = logdir.absolute().parent
        message = f"{logdir} is a run; --logdir is the folder of runs, {above}"
        raise parameters.ParameterError(message)
    if logdir and resume_runs and "tasks" in given:
        _check_tasks(logdir, num_runs, config.tasks)
    if config.observations == "image":
        tensorflow_start.favour_convolutions()
    if config.distribute != "none":
        _check_replicas(config)
        if not is_chief(config):
            return config, given
    chosen = tasks.load(config)
    starts = _starts_runs(logdir, num_runs, resume_runs)
    if config.seed_dataset is not None and starts:
        seeding.check(config.seed_dataset, chosen, config.observations)
    if any(task.renders for task in chosen):
        opengl.require_isolation(config.isolate_envs)
    if config.checkpoint_to_load:
        _find_checkpoint(config, chosen, needed=starts)
    for line in rules.warn_of_short_horizons(config, chosen):
        print(line, flush=True)
    for line in rules.describe_episodes(chosen):
        print(line, flush=True)
    return config, given


def is_chief(config: ml_collections.ConfigDict) -> bool:
    """Whether this process trains runs, rather than helping another one."""
    return config.distribute != "multi_worker" or cluster.read().is_chief


@contextlib.contextmanager
def joined(config: ml_collections.ConfigDict) -> Iterator[None]:
    """Context in which the other processes that help with updates are there, if any.

    Args:
      config: The settings.
    """
    if config.distribute != "multi_worker":
        yield
        return
    with interruption.at_once():
        tensorflow_start.load()
        from planet.training import distribution

        replicas = distribution.find(config)
    with replicas.joined():
        yield


def follow(config: ml_collections.ConfigDict) -> int:
    """Helps the chief with updates until it has ended; returns the exit code.

    The first signal is left to the chief; a second one ends the process.

    Args:
      config: The settings.

    Raises:
      LostError: The chief, or another process, has ended.
    """
    with interruption.at_once():
        tensorflow_start.load()
        from planet.training import distribution, trainer

        distribution.find(config)
    # In a thread, so that signals are noticed while it waits for the chief.
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        return executor.submit(trainer.follow, config).result()


def make_experiment(
    config: ml_collections.ConfigDict,
    given: Container[str],
    logdir: pathlib.Path | None,
    **settings,
) -> running.Experiment:
    """The runs of some settings, ready to be iterated.

    Args:
      config: Settings of new runs.
      given: Names of those that the user gives.
      logdir: Folder of the runs; None: a temporary one.
      **settings: Of `running.Experiment`.
    """
    max_steps = config.max_steps if "max_steps" in given else 0
    train = functools.partial(
        process, config=config, max_steps=max_steps, temporary=logdir is None
    )
    reason = functools.partial(why_finished, config=config, max_steps=max_steps)
    return running.Experiment(logdir, train, why_finished=reason, **settings)


def _read_settings(
    args, parser: cli.Parser
) -> tuple[ml_collections.ConfigDict, set[str]]:
    """What `prepare` returns; ends with an error where settings cannot be used."""
    try:
        params = runs.read_params(args.params)
        if args.tasks:
            params |= _read_tasks(args.tasks, params)
        config, given = prepare(
            args.config, params, args.logdir, args.num_runs, args.resume_runs
        )
    except (parameters.ParameterError, opengl.OpenGLError) as error:
        parser.error(str(error))
    if args.config not in configs.CONFIGS:
        settings = f"Settings of {args.config}, but for seed and checkpoint_to_load."
        print(settings, flush=True)
    return config, given


def _read_tasks(names: Sequence[str], params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameter that `--tasks` stands for."""
    if "tasks" in params:
        raise parameters.ParameterError("tasks are given in --tasks and --params")
    try:
        return {"tasks": rules.tasks(names)}
    except parameters.UnknownWordError as error:
        raise error.at(" in --tasks") from None
    except ValueError as error:
        message = f"--tasks must be {error}, not {parameters.show(names)}"
        raise parameters.ParameterError(message) from None


def _check_tasks(logdir: pathlib.Path, num_runs: int, names: Sequence[str]) -> None:
    """Refuses to go on with runs that learn something else."""
    for number in range(1, num_runs + 1):
        path = logdir / f"{number:05}" / "config.yaml"
        if not path.exists():
            continue
        try:
            own = runs.read_config(path).tasks
        except (parameters.ParameterError, OSError):  # Reported when the run starts.
            continue
        if set(own) != set(names):
            raise parameters.ParameterError(
                f"{path.parent} learns {', '.join(own)}, not {', '.join(names)}; "
                "other tasks need another --logdir"
            )


def _check_replicas(config: ml_collections.ConfigDict) -> None:
    """Refuses settings with which the replicas could not share the updates."""
    if config.distribute == "multi_worker":
        cluster.read()
    tensorflow_start.load()
    from planet.training import distribution

    distribution.check(config)


def _find_checkpoint(
    config: ml_collections.ConfigDict, chosen: Sequence[tasks.Task], needed: bool
) -> None:
    """Puts the path of the checkpoint that new runs start from into the settings.

    Args:
      config: The settings.
      chosen: The tasks.
      needed: Whether it has to be there, and to fit the model.
    """
    try:
        with config.unlocked():
            config.checkpoint_to_load = runs.find_checkpoint(config.checkpoint_to_load)
    except parameters.ParameterError:
        if needed:
            raise
    if not needed:
        return
    tensorflow_start.load()
    from planet.tools import tf1_checkpoint
    from planet.training import trainer

    try:
        trainer.check_checkpoint(config, chosen)
    except (tf1_checkpoint.CheckpointError, batch_env.EnvError) as error:
        raise parameters.ParameterError(f"checkpoint_to_load: {error}") from None


def _starts_runs(logdir, num_runs: int, resume_runs: bool) -> bool:
    """Whether a run may be new, so that what it starts from matters."""
    if logdir is None or not resume_runs:
        return True
    folders = (logdir / f"{x:05}" for x in range(1, num_runs + 1))
    marks = ("config.yaml", "DONE")
    return not all(any((x / mark).exists() for mark in marks) for x in folders)


def _logdir(text: str) -> pathlib.Path:
    """A folder that can be written to, neither parameters nor a flag by mistake."""
    key, equals, _ = text.partition("=")
    if text.startswith("{") or (equals and key.isidentifier()):
        raise argparse.ArgumentTypeError(f"{text!r} looks like --params {text}")
    if text.startswith("-"):
        raise argparse.ArgumentTypeError(f"{text!r} looks like a flag")
    return cli.output_folder(text)


def _make_parser() -> cli.Parser:
    parser = cli.Parser(PROG, "Trains PlaNet agents.", _epilog())
    parser.add_word(
        "logdir",
        "--logdir",
        type=_logdir,
        required=False,
        metavar="LOGDIR",
        help="folder of the runs 00001…; without it, a temporary one that is removed",
    )
    parser.add_argument(
        "--tasks",
        nargs="+",
        metavar="NAME",
        help="tasks to learn, see below; the same as --params 'tasks=[NAME, …]'",
    )
    parser.add_argument(
        "--config",
        default="default",
        metavar="NAME",
        help="named set of settings, see below, or another run, or its config.yaml, to "
        "start from its settings without its seed (default: %(default)s)",
    )
    parser.add_params("the config, see below")
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
