"""Files of JSON lines: a record a line, added as things happen."""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from planet.tools import atomic_files

Record = dict[str, Any]


def append(path: pathlib.Path, record: Mapping[str, Any]) -> None:
    """Adds a record, without those of its numbers that are not finite."""
    finite = {
        key: value
        for key, value in record.items()
        if not isinstance(value, float) or math.isfinite(value)
    }
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(finite, allow_nan=False) + "\n")


def read(path: pathlib.Path) -> Iterator[Record]:
    """The records of a file, if there is one; lines that are none are left out."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue  # Its writer was killed.
            if isinstance(record, dict):
                yield record


def keep(path: pathlib.Path, is_kept: Callable[[Record], bool]) -> None:
    """Removes all other records from a file, if there is one, and torn lines."""
    if not path.exists():
        return
    records = list(filter(is_kept, read(path)))
    with atomic_files.writing(path) as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
