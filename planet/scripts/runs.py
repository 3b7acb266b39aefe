"""Runs on disk: where they are, their settings and their checkpoints."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import pathlib
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import ml_collections
from ruamel import yaml

from planet.control.envs import inspection
from planet.scripts import configs, rules
from planet.tools import (
    atomic_files,
    checkpoint_files,
    cli,
    extensions,
    parameters,
    weight_files,
)

MODULE_FOLDERS = "module_folders"  # In config.yaml, beside the parameters.
BEST = "checkpoints/best"


class RunError(ValueError):
    """A run that can't be used as requested; the message is one line for the user."""


def find(folder: pathlib.Path) -> list[pathlib.Path]:
    """The folder itself if it is a run, or else the runs in it, in order."""
    if _is_run(folder):
        return [folder]
    return sorted(child for child in folder.iterdir() if _is_run(child))


def find_one(folder: pathlib.Path) -> pathlib.Path:
    """The folder itself if it is a run, or else the only run in it.

    Raises:
      RunError: There is none, or there are several.
    """
    found = find(folder)
    if not found:
        raise RunError(f"there is no run in {folder}: it has no config.yaml")
    if len(found) > 1:
        names = ", ".join(run.name for run in found)
        raise RunError(f"{folder} holds several runs; choose one: {names}")
    return found[0]


def find_all(folders: Iterable[pathlib.Path]) -> dict[str, pathlib.Path]:
    """The runs that the folders are or hold, by `name`; says which hold none."""
    found = []
    for folder in folders:
        inside = find(folder)
        found += inside
        if not inside:
            print(f"Skip {folder}: there is no run in it", file=sys.stderr, flush=True)
    return name(found)


def name(runs: Iterable[pathlib.Path]) -> dict[str, pathlib.Path]:
    """The distinct runs by their paths from the folder that holds all logdirs."""
    paths = list(dict.fromkeys(run.resolve() for run in runs))
    root = os.path.commonpath([path.parent.parent for path in paths]) if paths else ""
    return {os.path.relpath(path, root): path for path in paths}


def checkpoints(run: pathlib.Path, folder: str = "checkpoints") -> dict[int, str]:
    """Prefixes of a run's checkpoints by step, oldest first.

    Those of an exported agent are the folders of its weights.

    Args:
      run: folder of the run.
      folder: where in it; `BEST` holds the one with the best test score.
    """
    return checkpoint_files.find(run / folder)


def choose_checkpoint(
    run: pathlib.Path, chosen: int | str | None = None
) -> tuple[int, str]:
    """Step and prefix of one of a run's checkpoints.

    Args:
      run: folder of the run.
      chosen: a step; `best`, for the best test score; or None, for the newest.

    Raises:
      RunError: There is no such checkpoint.
    """
    folder = BEST if chosen == "best" else "checkpoints"
    found = checkpoints(run, folder)
    if not found:
        raise RunError(f"there is no checkpoint in {run / folder}")
    step = chosen if isinstance(chosen, int) else max(found)
    if step not in found:
        steps = ", ".join(map(str, found))
        raise RunError(f"no checkpoint of step {step}; there are {steps}")
    return step, found[step]


def add_run(parser: cli.Parser) -> None:
    """Adds the argument for the folder in which `find_one` is to look."""
    parser.add_word(
        "logdir",
        "--logdir",
        type=cli.existing_folder,
        metavar="RUN",
        help="folder of a run, LOGDIR/00001, or LOGDIR if it holds no other run",
    )


def add_runs(parser: cli.Parser, text: str) -> None:
    """Adds the argument for the folders in which `find_all` is to look.

    Args:
      parser: Where to add it.
      text: What they are.
    """
    parser.add_word(
        "runs",
        "--logdir",
        several=True,
        type=cli.existing_folder,
        metavar="RUN",
        help=text,
    )


def add_checkpoint(parser: cli.Parser) -> None:
    """Adds the flag for what `choose_checkpoint` is to choose."""
    parser.add_argument(
        "--checkpoint",
        type=_step_or_best,
        metavar="STEP",
        help="step of the checkpoint, or best, that with the best test score "
        "(default: the newest)",
    )


def _step_or_best(text: str) -> int | str:
    """Kind of an argument: the step of a checkpoint, or the word best."""
    return text if text == "best" else int(cli.number(int, 0, 2**63)(text))


def save_config(
    config: ml_collections.ConfigDict, path: str | os.PathLike, note: bool = False
) -> None:
    """Writes the settings as plain YAML, completely or not at all.

    Args:
      config: The settings.
      path: The file.
      note: Whether to add the folders of modules that were found in the working
        directory only. They are never imported from there because a file says so.
    """
    values = {key: config[key] for key in ("config_name", *configs.PARAMETERS)}
    if note and (folders := _working_folders(config)):
        values[MODULE_FOLDERS] = folders
    writer = yaml.YAML(typ="safe", pure=True)
    writer.default_flow_style = None  # Lists on one line.
    writer.sort_base_mapping_type_on_output = False
    with atomic_files.writing(pathlib.Path(path)) as stream:
        writer.dump(values, stream)


def read_config(
    path: str | os.PathLike, params: Mapping[str, Any] | None = None
) -> ml_collections.ConfigDict:
    """Settings that `save_config` wrote; the folder becomes `config.logdir`.

    Args:
      path: The file.
      params: Settings that override those of the file, by name or alias.

    Raises:
      ParameterError: The file is not one that `save_config` could have written, or the
        settings that override it cannot be used.
    """
    path = pathlib.Path(path)
    values = parameters.read_file(path)
    name = values.pop("config_name", None)
    folders = values.pop(MODULE_FOLDERS, None)
    try:
        given = parameters.by_own_names(configs.PARAMETERS, params or {})
    except parameters.UnknownWordError as error:
        raise error.at("") from None
    with _naming_modules(folders):
        return configs.load(name, values | given, path.parent, source=str(path))


def _working_folders(config: ml_collections.ConfigDict) -> dict[str, str]:
    """Folders of the user's modules that only the working directory leads to."""
    folders = {
        module.partition(".")[0]: extensions.working_folder(module)
        for module in rules.modules(config)
    }
    return {package: str(folder) for package, folder in folders.items() if folder}


@contextlib.contextmanager
def _naming_modules(folders: Any) -> Iterator[None]:
    """Adds to a ParameterError what `_missing_modules` says."""
    try:
        yield
    except parameters.ParameterError as error:
        raise parameters.ParameterError(f"{error}{_missing_modules(folders)}") from None


def _missing_modules(folders: Any) -> str:
    """Says where modules were that are not found any more.

    Args:
      folders: What a file says about them, which need not make sense.
    """
    hints = []
    for package, folder in folders.items() if isinstance(folders, dict) else ():
        if isinstance(folder, str) and not inspection.is_importable(str(package)):
            quoted = shlex.quote(folder) if folder.isprintable() else repr(folder)
            hints.append(
                f"; when the run began, {parameters.show(package)} was in {quoted}: "
                f"PYTHONPATH={quoted} would help"
            )
    return "".join(hints)


def train_command(config: ml_collections.ConfigDict, logdir: str) -> str:
    """The shortest command that trains a run with these settings in a logdir."""
    needed = {"tasks": config.tasks}
    for key in ("observations", "image_key", "env_params", "episode_steps"):
        if config[key] != configs.PARAMETERS[key].default:
            needed[key] = config[key]
    changes = {config.config_name: list(configs.PARAMETERS)}
    for key in configs.CONFIGS:
        # A task may be too short for the batches of another config.
        with contextlib.suppress(parameters.ParameterError):
            changes[key] = differences(configs.load(key, needed), config)
    nearest = min(changes, key=lambda key: len(changes[key]))
    params = needed | {key: config[key] for key in changes[nearest]}
    writer, text = yaml.YAML(typ="safe", pure=True), io.StringIO()
    writer.default_flow_style, writer.width = True, sys.maxsize
    writer.sort_base_mapping_type_on_output = False
    writer.dump(params, text)
    return (
        f"python -m planet.scripts.train --logdir {shlex.quote(logdir)} "
        f"--config {nearest} --params {shlex.quote(text.getvalue().strip())}"
    )


def new_config(
    start: str,
    params: Mapping[str, Any],
    logdir: str | os.PathLike | None = None,
    source: str = "--params",
) -> ml_collections.ConfigDict:
    """Settings of a new run, which may start from those of another one.

    Args:
      start: Name of a config, or path of a run or of the file with its settings. All
        are taken over but its `seed` and `checkpoint_to_load`; and what was derived
        from the others, such as horizons from the tasks, is derived anew.
      params: Settings that override those, by name or alias.
      logdir: Folder of the run, kept as `config.logdir`.
      source: Where `params` were given, for messages.

    Raises:
      ParameterError: There is no such config, or settings cannot be used.
    """
    if start in configs.CONFIGS:
        return configs.load(start, params, logdir, source)
    name, inherited = _inherit(pathlib.Path(start).expanduser(), start)
    try:
        given = parameters.by_own_names(configs.PARAMETERS, params, f" in {source}")
    except parameters.UnknownWordError as error:
        raise error.at(f" in {source}") from None
    return configs.load(name, inherited | given, logdir, source)


def _inherit(path: pathlib.Path, start: str) -> tuple[str, dict[str, Any]]:
    """Name of the config, and settings, that a new run takes over from another one."""
    try:
        if path.is_dir():
            path = find_one(path) / "config.yaml"
        elif not path.is_file() and not {"/", "."} & set(start):
            error = parameters.UnknownWordError("config", start, configs.CONFIGS)
            raise error.at("")
        values = parameters.read_file(path)
    except (RunError, OSError, ValueError) as error:
        if isinstance(error, parameters.ParameterError):
            raise
        reason = getattr(error, "strerror", None) or error
        message = f"--config {parameters.show(start)} cannot be read: {reason}"
        raise parameters.ParameterError(message) from None
    name, source = values.pop("config_name", "default"), str(path)
    with _naming_modules(values.pop(MODULE_FOLDERS, None)):
        config = configs.load(name, values, source=source)
    values = {
        key: config[key]
        for key in parameters.by_own_names(configs.PARAMETERS, values)
        if key not in ("seed", "checkpoint_to_load")
    }
    others = {key: values[key] for key in values.keys() - {*rules.DERIVED}}
    derived = configs.load(name, others, source=source)
    for key in rules.DERIVED:
        if key in values and values[key] == derived[key]:
            del values[key]
    return name, values


def read_params(texts: Sequence[str]) -> dict[str, Any]:
    """Settings of the flag that `add_params` adds, by the names that the user gives.

    Raises:
      ParameterError: They are none.
    """
    params = parameters.read(texts, "--params")
    if "config_name" in params:
        message = "settings of a run, with config_name, are for --config, not --params"
        raise parameters.ParameterError(message)
    return params


def find_checkpoint(text: str) -> str:
    """Prefix of the checkpoint that `checkpoint_to_load` names.

    Args:
      text: Folder of a run, whose newest checkpoint is meant; the same with `@STEP` or
        `@best` for another; prefix of a checkpoint; or a folder of checkpoints or of
        weights, which is left as it is.

    Raises:
      ParameterError: There is no such checkpoint.
    """
    path = os.path.expanduser(text)
    files = (f"{path}.index", f"{path}/checkpoint")
    if weight_files.is_folder(path) or any(map(os.path.exists, files)):
        return path
    run, chosen = path, None
    if "@" in text and not os.path.isdir(path):
        run, _, chosen = path.rpartition("@")
    if not os.path.isdir(run):
        raise parameters.ParameterError(
            "checkpoint_to_load must be a run, RUN@STEP, RUN@best, a checkpoint "
            "without its suffix .index, or a folder of checkpoints or weights, not "
            f"{parameters.show(text)}"
        )
    place = f"checkpoint_to_load {parameters.show(text)}:"
    try:
        step = None if chosen is None else _step_or_best(chosen)
        return choose_checkpoint(find_one(pathlib.Path(run)), step)[1]
    except argparse.ArgumentTypeError as error:
        raise parameters.ParameterError(f"{place} the step {error}") from None
    except (RunError, OSError) as error:
        raise parameters.ParameterError(f"{place} {error}") from None


def change_settings(
    path: str | os.PathLike, values: Mapping[str, int | float]
) -> ml_collections.ConfigDict:
    """Changes numbers among the settings in a file, and returns all settings."""
    path = pathlib.Path(path)
    text = path.read_text(encoding="utf-8")
    for key, value in values.items():
        line = f"{key}: {value}"
        text, count = re.subn(rf"^{key}:.*$", line, text, flags=re.M)
        text = text if count else f"{text.rstrip()}\n{line}\n"
    with atomic_files.writing(path) as file:
        file.write(text)
    return read_config(path)


def differences(
    lhs: ml_collections.ConfigDict, rhs: ml_collections.ConfigDict
) -> list[str]:
    """Names of the parameters that differ between the configs of two runs."""
    kept = (key for key in configs.PARAMETERS if key != "distribute")
    return [key for key in kept if lhs[key] != rhs[key]]


def _is_run(folder: pathlib.Path) -> bool:
    return (folder / "config.yaml").is_file()
