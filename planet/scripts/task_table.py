"""The command line of `planet.scripts.tasks`: a table of tasks, or all about some."""

import dataclasses
import inspect
import pathlib
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import PIL.Image

from planet.control import batch_env
from planet.control.envs import assembly, by_name, inspection
from planet.control.envs.task import Selection, Task, TaskError, TaskSpec
from planet.control.errors import UnusableEnvError
from planet.tools import atomic_files, cli, parameters, tables

HEADER = ("task", "actions", "decisions", "horizon", "observations", "extra")
DECISIONS = 50  # At most, of what a picture shows.
FRAMES = 5  # Images in it,
SCALE = 4  # and how much larger they are.
TIMEOUT = 120  # Seconds.


def run(
    catalogue: Mapping[str, Callable[[], TaskSpec]],
    epilog: str,
    argv: Sequence[str] | None = None,
) -> int:
    """Runs the command line and returns the exit code.

    Args:
      catalogue: Functions that describe tasks, by name.
      epilog: Text at the end of the help.
      argv: The arguments; None for those of the process.
    """
    parser = _make_parser(epilog)
    args = parser.parse_args(argv)
    names = args.names or []
    if args.picture and len(names) != 1:
        parser.error(f"--picture needs the name of one task, not {len(names)}")
    if args.picture and not args.overwrite:
        parser.refuse_existing(args.picture)
    try:
        params = parameters.read(args.params, "--params")
        selection = _select(names or list(catalogue), params)
        tasks = [by_name.find(x, selection, catalogue) for x in selection.tasks]
        if names:
            texts = [_describe(task, selection, catalogue) for task in tasks]
            print("\n\n".join(texts))
        else:
            rows = (_row(task, selection.observations) for task in tasks)
            print(tables.markdown(HEADER, rows))
        if args.picture:
            _draw(tasks[0], selection, args.picture)
            print(f"\nThe picture is in {args.picture}.")
    except (TaskError, UnusableEnvError, parameters.ParameterError) as error:
        parser.error(str(error))
    except batch_env.EnvError as error:
        parser.error(str(error).splitlines()[0])
    return 0


def _make_parser(epilog):
    parser = cli.Parser(
        "planet.scripts.tasks",
        "Prints a table of all tasks; or, for the given ones, their documentation, "
        "actions, observations and episodes.",
        epilog,
    )
    parser.add_word(
        "names",
        "--tasks",
        several=True,
        required=False,
        metavar="NAME",
        help="a task (default: a table of all of the project's)",
    )
    parser.add_params("the defaults")
    parser.add_argument(
        "--picture",
        type=cli.output_file(".png"),
        metavar="FILE.png",
        help="where to draw what the agent sees of the task while it acts at random",
    )
    parser.add_overwrite()
    return parser


def _select(names: Sequence[str], params: Mapping[str, Any]) -> Selection:
    """The user's choices about tasks, from some of the settings of a run.

    Raises:
      ParameterError: A setting is unknown, has nothing to do with tasks, or has a value
        that cannot be used.
    """
    from planet.scripts import configs  # Which imports this module.

    fields = {field.name for field in dataclasses.fields(Selection)} - {"tasks"}
    table = {key: x for key, x in configs.PARAMETERS.items() if key in fields}
    place = " in --params"
    try:
        given = parameters.by_own_names(table, params, place)
        values = {
            key: parameters.plain(key, table[key], value, place)
            for key, value in given.items()
        }
    except parameters.UnknownWordError as error:
        raise error.at(place) from None
    return Selection(names, **values)


def _row(task: Task, seen: str) -> tuple:
    """A row of the table."""
    horizon, extra = task.horizon or "", task.extra or ""
    shown = ", ".join((_kind(task), *task.state_components))
    shown = "state" if seen == "state" else shown
    return task.name, _actions(task), task.max_length, horizon, shown, extra


def _describe(task, selection, catalogue) -> str:
    """All that is known about a task, in lines."""
    assembly.prepare([task], selection)  # Says which library or extra is missing.
    found = inspection.describe(task.env_ctor)
    text = found.documentation
    if task.name in catalogue:
        text = inspect.getdoc(catalogue[task.name]) or ""
    lines = [task.name, *textwrap.wrap(text, 78, **_indent(2)), ""]
    for name, value in _facts(task, found):
        lines += textwrap.wrap(f"{name:17} {value}", 78, **_indent(2, 20))
    return "\n".join(lines)


def _indent(first: int, others: int | None = None) -> dict[str, Any]:
    others = first if others is None else others
    return {"initial_indent": " " * first, "subsequent_indent": " " * others}


def _facts(task: Task, found: inspection.Description) -> Iterator[tuple[str, str]]:
    """What there is to know about a task, by name."""
    yield "actions", _actions(task)
    yield "own actions", found.own_actions
    for name, box in found.observation_space.spaces.items():
        yield "sees", f"{name}, {box.dtype} {list(box.shape or ())}"
    yield "own observations", found.own_observations
    yield "action repeat", f"{task.action_repeat}"
    steps = f"{task.max_length * task.action_repeat} steps of the environment"
    end = f", which itself {task.own_end}; see episode_steps" if task.own_end else ""
    yield "episode", f"at most {task.max_length} decisions, {steps}{end}"
    if task.horizon:
        yield "horizon", f"{task.horizon} decisions, {task.foresight:g} s"
    yield "rendering", "with OpenGL" if task.renders else "without OpenGL"
    if task.extra:
        yield "extra", f"{task.extra}"
    if task.note:
        yield "note", task.note


def _actions(task: Task) -> str:
    size = task.action_size
    if task.discrete:
        return f"one of {size}"
    return f"{size} number{'s'[: size > 1]}"


def _kind(task: Task) -> str:
    return "grey image" if task.channels == 1 else "image"


def _draw(task: Task, selection: Selection, path: pathlib.Path) -> None:
    """Draws what the agent sees in the first decisions of an episode, at random."""
    (task,) = assembly.prepare([task], selection)
    observations = []
    with batch_env.BatchEnv([batch_env.make(task.env_ctor, timeout=TIMEOUT)]) as envs:
        envs.action_space.seed(0)
        observations.append(envs.reset([0]))
        done = np.zeros(1, bool)
        while len(observations) <= DECISIONS and not done.all():
            observation, _, done, _ = envs.step(envs.action_space.sample()[None])
            observations.append(observation)
    with atomic_files.writing(path, "wb") as file:
        if selection.observations == "image":
            frames = [x["image"][0] for x in observations]
            _strip(frames).save(file, "png")
        else:
            _plot(np.stack([x["state"][0] for x in observations]), task.name, file)


def _strip(frames: Sequence[np.ndarray]) -> PIL.Image.Image:
    """Some of the images [H, W, C], beside one another and enlarged."""
    chosen = np.linspace(0, len(frames) - 1, FRAMES).round().astype(int)
    gap = ((0, 0), (0, 1), (0, 0))
    apart = [np.pad(frames[i], gap, constant_values=128) for i in chosen]
    strip = np.concatenate(apart, 1)[:, :-1]
    strip = strip.repeat(SCALE, 0).repeat(SCALE, 1)
    return PIL.Image.fromarray(strip[..., 0] if strip.shape[-1] == 1 else strip)


def _plot(states, title, file) -> None:
    """Plots each number of the states [T, S] over time."""
    from matplotlib import figure  # Which workers need not import.

    picture = figure.Figure(figsize=(8, 4), layout="constrained")
    axes = picture.subplots()
    axes.plot(states)
    axes.set(title=title, xlabel="decision", ylabel=f"state, {states.shape[1]} numbers")
    picture.savefig(file, format="png", dpi=120)
