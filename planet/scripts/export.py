"""Exports the agent of a run, to pass it on: its settings and weights, nothing else.

    python -m planet.scripts.export --logdir LOGDIR/00001 --output agents/NAME
    python -m planet.scripts.export --logdir LOGDIR/00001 --minari NAMESPACE/NAME-v0

The second form exports the episodes of a run instead, as a dataset of Minari.

TensorFlow is imported only inside functions: spawned workers import this module too.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import shutil
import sys
from collections.abc import Sequence

import ml_collections
from ruamel import yaml

from planet.scripts import configs, runs, tasks
from planet.tools import cli, minari_datasets, parameters, weight_files
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
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
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
    print(f"{count:,} weights of step {step} in {args.output}: {size:.1f} MB.")
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
    print(f"{count} episodes of {run} in {folder}.")
    return 0


def train_command(config: ml_collections.ConfigDict, name: str) -> str:
    """The shortest command that trains a run with these settings."""
    needed = {"tasks": config.tasks}
    for key in ("observations", "image_key", "env_params", "episode_steps"):
        if config[key] != configs.PARAMETERS[key].default:
            needed[key] = config[key]
    changes = {config.config_name: list(configs.PARAMETERS)}
    for key in configs.CONFIGS:
        # A task may be too short for the batches of another config.
        with contextlib.suppress(parameters.ParameterError):
            changes[key] = runs.differences(configs.load(key, needed), config)
    nearest = min(changes, key=lambda key: len(changes[key]))
    params = needed | {key: config[key] for key in changes[nearest]}
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
