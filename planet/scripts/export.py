"""Exports the agent of a run, to pass it on: its settings and weights, nothing else.

    python -m planet.scripts.export --logdir LOGDIR/00001 --output agents/NAME
    python -m planet.scripts.export --logdir LOGDIR/00001 --minari NAMESPACE/NAME-v0

The second form exports the episodes of a run instead, as a dataset of Minari.

TensorFlow is imported only inside functions: spawned workers import this module too.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from planet.scripts import runs, tasks
from planet.tools import (
    cli,
    minari_datasets,
    parameters,
    tensorflow_start,
    weight_files,
    wording,
)
from planet.training import seeding

PROG = "planet.scripts.export"
README = """\
# {name}

Weights of an agent after {step:,} sequences, in half precision. It was trained by

    {train}

To evaluate it, and to film it beside its dream:

    python -m planet.scripts.evaluate --logdir agents/{name} --episodes 1 --video films
"""


@cli.main(PROG)
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    parser = _make_parser()
    args = parser.parse_args(argv)
    if args.minari is not None:
        if args.checkpoint is not None:
            parser.error("--checkpoint is for agents, and --minari for episodes")
        return _export_episodes(parser, args)
    if args.output.exists():
        parser.error(f"{str(args.output)!r} exists already")
    try:
        run = runs.find_one(args.logdir)
        config = runs.read_config(run / "config.yaml")
        step, checkpoint = runs.choose_checkpoint(run, args.checkpoint)
    except (runs.RunError, parameters.ParameterError, OSError) as error:
        parser.error(str(error))
    tensorflow_start.load()
    from planet.tools import tf1_checkpoint

    partial = args.output.with_name(args.output.name + ".tmp")
    try:
        weights = tf1_checkpoint.read(checkpoint)
        weight_files.write(partial / "checkpoints" / f"ckpt-{step}", weights)
        runs.save_config(config, partial / "config.yaml")
        name = args.output.absolute().name
        text = README.format(
            name=name, step=step, train=runs.train_command(config, f"runs/{name}")
        )
        (partial / "README.md").write_text(text, encoding="utf-8")
        partial.rename(args.output)
    except (tf1_checkpoint.CheckpointError, ValueError, OSError) as error:
        parser.error(str(error))
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    files = [path for path in args.output.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 1e6
    count = sum(value.size for value in weights.values())
    text = wording.count(count, "weight")
    print(f"{text} of step {step} in {args.output}: {size:.1f} MB.")
    return 0


def _export_episodes(parser: cli.Parser, args) -> int:
    """Writes the episodes of a run as a dataset; returns the exit code."""
    try:
        minari_datasets.check_new(args.minari)
        run = runs.find_one(args.logdir)
        config = runs.read_config(run / "config.yaml")
        folder, count = seeding.export(
            args.minari, run, tasks.load(config), config.observations
        )
    except (
        runs.RunError,
        parameters.ParameterError,
        minari_datasets.DatasetError,
    ) as error:
        parser.error(str(error))
    print(f"{wording.count(count, 'episode')} of {run} in {folder}.")
    return 0


def _make_parser() -> cli.Parser:
    parser = cli.Parser(
        PROG,
        "Exports the agent of a run to a folder for planet.scripts.evaluate: its "
        "settings, its weights in half precision, and the command that trained it. Or "
        "exports its episodes as a dataset of Minari.",
    )
    runs.add_run(parser)
    runs.add_checkpoint(parser)
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument(
        "--output", type=cli.output_folder, metavar="FOLDER", help="folder to make"
    )
    target.add_argument(
        "--minari",
        metavar="NAME",
        help="dataset to make of all episodes of the run, such as planet/cheetah-v0, "
        "where Minari looks for it; needs the extra minari",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
