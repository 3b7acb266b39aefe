"""Exports the agent of a run, to pass it on: its settings and weights, nothing else.

    python -m planet.scripts.export --logdir LOGDIR/00001 --output agents/NAME

TensorFlow is imported only inside functions: spawned workers import this module too.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from planet.scripts import runs
from planet.tools import cli, parameters, tensorflow_start, weight_files, wording

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


def _make_parser() -> cli.Parser:
    parser = cli.Parser(
        PROG,
        "Exports the agent of a run to a folder for planet.scripts.evaluate: its "
        "settings, its weights in half precision, and the command that trained it.",
    )
    runs.add_run(parser)
    runs.add_checkpoint(parser)
    parser.add_argument(
        "--output",
        type=cli.output_folder,
        required=True,
        metavar="FOLDER",
        help="folder to make",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
