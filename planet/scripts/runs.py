"""Runs on disk: where they are, their settings and their checkpoints."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable

import ml_collections
from ruamel import yaml

from planet.scripts import configs
from planet.tools import atomic_files, parameters

BEST = "checkpoints/best"


def find(folder: pathlib.Path) -> list[pathlib.Path]:
    """The folder itself if it is a run, or else the runs in it, in order."""
    if _is_run(folder):
        return [folder]
    return sorted(child for child in folder.iterdir() if _is_run(child))


def name(runs: Iterable[pathlib.Path]) -> dict[str, pathlib.Path]:
    """The distinct runs by their paths from the folder that holds all logdirs."""
    paths = list(dict.fromkeys(run.resolve() for run in runs))
    root = os.path.commonpath([path.parent.parent for path in paths]) if paths else ""
    return {os.path.relpath(path, root): path for path in paths}


def checkpoints(run: pathlib.Path, folder: str = "checkpoints") -> dict[int, str]:
    """Prefixes of a run's checkpoints by step, oldest first.

    Args:
      run: folder of the run.
      folder: where in it; `BEST` holds the one with the best test score.
    """
    found = {}
    for path in (run / folder).glob("ckpt-*.index"):
        step = path.stem.removeprefix("ckpt-")
        if step.isdecimal():
            found[int(step)] = str(path.with_suffix(""))
    return dict(sorted(found.items()))


def save_config(config: ml_collections.ConfigDict, path: str | os.PathLike) -> None:
    """Writes the settings as plain YAML, completely or not at all."""
    values = {key: config[key] for key in ("config_name", *configs.PARAMETERS)}
    writer = yaml.YAML(typ="safe", pure=True)
    writer.default_flow_style = None  # Lists on one line.
    writer.sort_base_mapping_type_on_output = False
    with atomic_files.writing(pathlib.Path(path)) as stream:
        writer.dump(values, stream)


def read_config(path: str | os.PathLike) -> ml_collections.ConfigDict:
    """Settings that `save_config` wrote; the folder becomes `config.logdir`.

    Raises:
      ParameterError: The file is not one that `save_config` could have written.
    """
    path = pathlib.Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise parameters.ParameterError(f"{path} is not a text file") from None
    values = parameters.parse(text, str(path))
    name = values.pop("config_name", None)
    return configs.load(name, values, path.parent, source=str(path))


def differences(
    lhs: ml_collections.ConfigDict, rhs: ml_collections.ConfigDict
) -> list[str]:
    """Names of the parameters that differ between two configs."""
    return [key for key in configs.PARAMETERS if lhs[key] != rhs[key]]


def _is_run(folder: pathlib.Path) -> bool:
    return (folder / "config.yaml").is_file()
