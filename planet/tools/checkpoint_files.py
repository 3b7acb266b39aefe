"""Checkpoints in a folder, found by their names, without TensorFlow."""

from __future__ import annotations

import os
import pathlib
import re

from planet.tools import weight_files


def find(folder: str | os.PathLike) -> dict[int, str]:
    """Prefixes of the checkpoints in a folder by step, oldest first.

    Those of an exported agent are the folders of its weights.
    """
    found = {}
    for path in pathlib.Path(folder).glob("ckpt-*"):
        number = step(path.with_suffix(""))
        complete = path.suffix == ".index" or weight_files.is_folder(path)
        if number is not None and complete:
            found[number] = str(path.with_suffix(""))
    return dict(sorted(found.items()))


def step(path: str | os.PathLike) -> int | None:
    """Step of a checkpoint, ours or the original's, by the end of its prefix."""
    match = re.search(r"ckpt-(\d+)$", os.fspath(path), re.ASCII)
    return int(match[1]) if match else None
