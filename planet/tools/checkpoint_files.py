"""Checkpoints in a folder, found by their names, without TensorFlow."""

from __future__ import annotations

import os
import pathlib

from planet.tools import weight_files


def find(folder: str | os.PathLike) -> dict[int, str]:
    """Prefixes of the checkpoints in a folder by step, oldest first.

    Those of an exported agent are the folders of its weights.
    """
    found = {}
    for path in pathlib.Path(folder).glob("ckpt-*"):
        step = path.stem.removeprefix("ckpt-")
        complete = path.suffix == ".index" or weight_files.is_folder(path)
        if step.isdecimal() and complete:
            found[int(step)] = str(path.with_suffix(""))
    return dict(sorted(found.items()))
