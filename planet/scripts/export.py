"""Exports the agent of a run, to pass it on: its settings and weights, nothing else.

    python -m planet.scripts.export --logdir LOGDIR/00001 --output agents/NAME

TensorFlow is imported only inside functions: spawned workers import this module too.
"""

from __future__ import annotations

import io
import shlex
import shutil
import sys
from collections.abc import Sequence

import ml_collections
from ruamel import yaml

from planet.scripts import configs, runs
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
        text = README.format(name=name, step=step, train=train_command(config, name))
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


def train_command(config: ml_collections.ConfigDict, name: str) -> str:
    """The shortest command that trains a run with these settings."""
    tasks = {"tasks": config.tasks}
    changes = {
        key: runs.differences(configs.load(key, tasks), config)
        for key in configs.CONFIGS
    }
    nearest = min(changes, key=lambda key: len(changes[key]))
    params = tasks | {key: config[key] for key in changes[nearest]}
    writer, text = yaml.YAML(typ="safe", pure=True), io.StringIO()
    writer.default_flow_style, writer.width = True, sys.maxsize
    writer.sort_base_mapping_type_on_output = False
    writer.dump(params, text)
    return (
        f"python -m planet.scripts.train --logdir runs/{name} --config {nearest} "
        f"--params {shlex.quote(text.getvalue().strip())}"
    )


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
