"""What compile_scores and compile_histograms share: from runs to one file."""

import argparse
import collections
import sys
from collections.abc import Callable

import tqdm

from planet.tools import atomic_files, cli, events, wording

EPILOG = """\
The runs of an experiment are PARENT/LABEL/00001, PARENT/LABEL/00002 and so on;
LABEL may be several folders deep. The key of a run is LABEL if it is the only
one of its experiment that was compiled, otherwise LABEL/00001, LABEL/00002 and
so on. What cannot be compiled is reported, with the reason, and skipped: runs
that failed, empty folders, and runs without a complete epoch. Event files that
are cut, or damaged, are read up to there, and reported too.
"""


def make_parser(prog: str, description: str) -> cli.Parser:
    """Makes the parser of a script that compiles all runs of a folder.

    Args:
      prog: Name of the script.
      description: What it does.
    """
    parser = cli.Parser(prog, description, EPILOG)
    parser.add_word(
        "parent",
        "--logdir",
        type=cli.existing_folder,
        metavar="PARENT",
        help="folder of runs",
    )
    parser.add_word(
        "output",
        "--output",
        type=cli.output_file(".json"),
        metavar="OUT.json",
        help="file to write",
    )
    parser.add_overwrite()
    return parser


def run(
    parser: cli.Parser,
    args: argparse.Namespace,
    compile_run: Callable[[events.Run], dict[str, list]],
) -> int:
    """Compiles all runs of a folder.

    Args:
      parser: What `make_parser` returned.
      args: The arguments that it parsed.
      compile_run: Makes the lists of a run, one entry per epoch, or raises EventsError.

    Returns:
      The exit code: 1 if no run could be compiled.
    """
    if not args.overwrite:
        parser.refuse_existing(args.output)
    compiled = {}
    for run in tqdm.tqdm(events.find_runs(args.parent), disable=None, leave=False):
        try:
            if reason := run.failure():
                raise events.EventsError(f"the run failed: {reason}")
            compiled[run] = compile_run(run)
        except events.EventsError as error:
            tqdm.tqdm.write(f"Skip {run.path}: {error}", file=sys.stderr)
    if not compiled:
        print(
            f"{parser.prog}: error: no run to compile in {args.parent}", file=sys.stderr
        )
        return 1
    runs_of = collections.Counter(run.label for run in compiled)
    result = {
        run.name if runs_of[run.label] > 1 else run.label: content
        for run, content in compiled.items()
    }
    atomic_files.write_json(args.output, result)
    for key, content in result.items():
        epochs = len(next(iter(content.values())))
        print(f"{key}: {wording.count(epochs, 'epoch')}")
    return 0
