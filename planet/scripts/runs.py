"""Finds runs on disk, and what they left there."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable


def find(folder: pathlib.Path) -> list[pathlib.Path]:
    """The folder itself if it is that of a run, else the runs in it, in order."""
    if _is_run(folder):
        return [folder]
    return sorted(child for child in folder.iterdir() if _is_run(child))


def name(runs: Iterable[pathlib.Path]) -> dict[str, pathlib.Path]:
    """The different runs by their paths from the folder that holds all logdirs."""
    paths = list(dict.fromkeys(run.resolve() for run in runs))
    root = os.path.commonpath([path.parent.parent for path in paths]) if paths else ""
    return {os.path.relpath(path, root): path for path in paths}


def checkpoints(run: pathlib.Path) -> dict[int, str]:
    """Checkpoints of a run by step, oldest first, as TensorFlow wants them named."""
    found = {}
    for path in (run / "checkpoints").glob("ckpt-*.index"):
        step = path.stem.removeprefix("ckpt-")
        if step.isdecimal():
            found[int(step)] = str(path.with_suffix(""))
    return dict(sorted(found.items()))


def _is_run(folder: pathlib.Path) -> bool:
    return (folder / "config.yaml").is_file()
