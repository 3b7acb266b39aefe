"""A table of what planners return with a perfect model, by how far they look ahead.

    python -m benchmarks.ceilings FOLDER --tasks NAME... --horizons 6 12 24

Each cell is a measurement of `planet.scripts.ceiling`, kept as a file in FOLDER. The
table shows all that the folder holds; an interrupted measurement goes on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from planet.scripts import ceiling, tasks
from planet.tools import cli, parameters, tables

SIZES = {"amount": 100, "topk": 10, "iterations": 5, "episodes": 1}


def report(results: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """A table of the measured tasks and their entries, see `planet.scripts.ceiling`."""
    rows = []
    for name, entry in results:
        (task,) = tasks.load(
            tasks.Selection(
                [name],
                action_repeat=entry["action_repeat"],
                observations="nothing",
            )
        )
        ahead = f"{entry['horizon'] * task.seconds:.2f}" if task.seconds else ""
        columns = (entry[key] for key in ("action_repeat", "horizon"))
        sizes = "×".join(str(entry[key]) for key in ("amount", "topk", "iterations"))
        mean = f"{entry['mean']:.0f}"
        rows.append((name, *columns, ahead, sizes, entry["episodes"], mean))
    rows.sort(key=lambda row: (list(tasks.TASKS).index(row[0]), *row[1:3]))
    header = "task, action repeat, horizon, seconds ahead, search, episodes, mean"
    return tables.markdown(header.split(", "), rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what is missing in the folder, and prints a table of all it holds."""
    parser = _make_parser()
    args = parser.parse_args(argv)
    for name in args.tasks:
        if name not in tasks.TASKS:
            parser.error(parameters.unknown("task", name, tasks.TASKS))
    args.folder.mkdir(parents=True, exist_ok=True)
    sizes = [x for key in SIZES for x in (f"--{key}", str(getattr(args, key)))]
    repeat = []
    if args.action_repeat:
        repeat = ["--action_repeat", str(args.action_repeat)]
    for name in args.tasks:
        for horizon in args.horizons:
            suffix = f"_repeat_{args.action_repeat}" if args.action_repeat else ""
            path = args.folder / f"{name}{suffix}_horizon_{horizon}.json"
            command = ["--task", name, "--horizon", str(horizon), "--output", str(path)]
            command += ["--workers", str(args.workers), *sizes, *repeat]
            if code := ceiling.main(command):
                return code
    files = [json.loads(path.read_text()) for path in args.folder.glob("*.json")]
    print(report([entry for file in files for entry in file.items()]))
    return 0


def _make_parser() -> cli.Parser:
    parser = cli.Parser(
        "benchmarks.ceilings",
        "Returns of planning with a perfect model, for several tasks and horizons.",
    )
    parser.add_argument(
        "folder", type=cli.output_folder, metavar="FOLDER", help="where results are"
    )
    parser.add_argument("--tasks", nargs="*", default=[], metavar="NAME")
    kind = cli.number(int, 1, 1_000_000)
    parser.add_argument(
        "--horizons",
        nargs="+",
        type=kind,
        default=[6, 12, 24],
        metavar="N",
        help="(default: 6 12 24)",
    )
    parser.add_argument("--action_repeat", type=kind, metavar="N")
    for name, default in {**SIZES, "workers": 1}.items():
        parser.add_argument(
            f"--{name}",
            type=kind,
            default=default,
            metavar="N",
            help="(default: %(default)s)",
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
