"""The command line of `planet.scripts.tasks`: a table of tasks."""

from collections.abc import Callable, Mapping, Sequence

from planet.control.envs import by_name
from planet.control.envs.task import Selection, Task, TaskError, TaskSpec
from planet.tools import cli, tables


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
    parser = cli.Parser(
        prog="planet.scripts.tasks",
        description="Prints a table of tasks.",
        epilog=epilog,
    )
    parser.add_word(
        "names",
        "--tasks",
        several=True,
        required=False,
        metavar="NAME",
        help="a task (default: all of the project's)",
    )
    chosen = parser.parse_args(argv).names or list(catalogue)
    selection = Selection(chosen)
    try:
        tasks = [by_name.find(name, selection, catalogue) for name in chosen]
    except TaskError as error:
        parser.error(str(error))
    header = ("task", "actions", "decisions", "horizon", "observations", "extra")
    print(tables.markdown(header, map(_row, tasks)))
    return 0


def _row(task: Task) -> tuple:
    size = task.action_size
    choices = f"one of {size}" if task.discrete else f"{size} number{'s'[: size > 1]}"
    image = "grey image" if task.channels == 1 else "image"
    seen = ", ".join((image, *task.state_components))
    horizon, extra = task.horizon or "", task.extra or ""
    return task.name, choices, task.max_length, horizon, seen, extra
