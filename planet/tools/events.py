"""Runs in a folder, and what they wrote for TensorBoard, without TensorFlow.

A run is a folder with the event files of its phases in `train` and `test`. Runs of one
experiment are `LABEL/00001`, `LABEL/00002` and so on.

TensorBoard's own reader would import TensorFlow, and takes a damaged file for a short
one in silence. Here, a file is read up to the damage too, but is named on stderr.
"""

import collections
import dataclasses
import fnmatch
import functools
import math
import os
import pathlib
import re
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import google_crc32c
import numpy as np
import tqdm
from tensorboard import data_compat
from tensorboard.compat.proto import event_pb2, tensor_pb2
from tensorboard.util import tensor_util

from planet.tools import parameters

PHASES = ("train", "test")
TRACES = {"config.yaml", "DONE", "FAIL", "PING"}  # Files of a run, whatever its state.
MAX_ENTRIES = 10**6  # Of a value: an event of a few bytes may claim to fill the memory.


class EventsError(ValueError):
    """Events that cannot be read; the message is one line."""


class Event(NamedTuple):
    """A value of a summary.

    Attributes:
      step: Step of the run.
      wall_time: When it was written, in seconds since 1970.
      value: Of scalars, a float; of images, a list of encoded images; of histograms,
        an array [K, 3] of lower limits, upper limits and counts.
    """

    step: int
    wall_time: float
    value: Any


@dataclasses.dataclass(frozen=True, order=True)
class Run:
    """A folder that is a run, or that was taken for one.

    Attributes:
      label: Name of the experiment: path of its folder from where the search began.
      number: Name of the run's folder if that is five digits, else empty.
      path: The run's folder.
    """

    label: str
    number: str
    path: pathlib.Path

    @property
    def name(self) -> str:
        """Name that identifies the run among those of a search."""
        return f"{self.label}/{self.number}" if self.number else self.label

    def failure(self) -> str | None:
        """The last line of the error that ended the run, if one did."""
        file = self.path / "FAIL"
        if not file.is_file():
            return None
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line for line in map(str.strip, lines[::-1]) if line), "no reason")


def find_runs(folder: pathlib.Path) -> list[Run]:
    """Finds the runs in a folder, at any depth, in the order of their names.

    A folder is a run if its name is five digits, or if it has a folder `train` or
    `test`. One without subfolders is taken for a run too if it is empty, or holds what
    runs write, so that reading it reports what is wrong with it. Films and other files
    beside runs are none. Hidden folders are skipped.
    """
    top = pathlib.Path(os.path.abspath(folder))
    runs, seen = [], set()

    def search(path: pathlib.Path) -> None:
        if (real := path.resolve()) in seen:  # Links form a cycle.
            return
        if path.name == "images" and (path.parent / "scalars.json").exists():
            return  # Written by fetch_events, with a folder for each run.
        seen.add(real)
        inside = list(filter(_is_visible_folder, sorted(path.iterdir())))
        numbered = bool(re.fullmatch(r"\d{5}", path.name))
        phases = {entry.name for entry in inside} & set(PHASES)
        if numbered or phases or (not inside and _may_be_run(path)):
            runs.append(_make_run(path, top, numbered))
            return
        for entry in inside:
            search(entry)

    search(top)
    return sorted(runs)


def read(
    folder: pathlib.Path,
    plugin: str,
    select: Callable[[str], bool] = lambda tag: True,
) -> dict[str, list[Event]]:
    """Reads the summaries of a phase, as TensorBoard would show them.

    A resumed run marks as void whatever had been written after the checkpoint that it
    resumed from; that is left out. Of several values at a step, the last one counts.

    A file whose end is cut, as it is while a run writes to it, or that is damaged, is
    read up to there. It is named on stderr, once; so are values of the wrong kind.

    Args:
      folder: Folder of event files.
      plugin: Kind of the summaries: `scalars`, `images` or `histograms`.
      select: Tells by its tag whether a summary is wanted.

    Returns:
      Events in the order of their steps, by tag.

    Raises:
      EventsError: There are no event files, or one of them cannot be opened.
    """
    convert = _CONVERTERS[plugin]
    found, plugins, started = collections.defaultdict(dict), {}, False
    for event in _read_folder(folder):
        if event.session_log.status == event_pb2.SessionLog.START:
            if started:  # Resumed.
                for events in found.values():
                    for step in [step for step in events if step >= event.step]:
                        del events[step]
            started = True
        for value in event.summary.value:
            # Only the first value of a tag has to name its plugin.
            if value.HasField("metadata"):
                plugins.setdefault(value.tag, value.metadata.plugin_data.plugin_name)
            if plugins.get(value.tag) == plugin and select(value.tag):
                try:
                    content = convert(_array(value.tensor))
                except (ValueError, TypeError):
                    _warn_once(f"Skip {value.tag!r} in {folder}: not all are {plugin}")
                    continue
                found[value.tag][event.step] = Event(
                    event.step, event.wall_time, content
                )
    return {
        tag: sorted(events.values(), key=lambda event: event.step)
        for tag, events in sorted(found.items())
        if events
    }


def read_run(
    run: Run, plugin: str, select: Callable[[str], bool] = lambda tag: True
) -> dict[str, list[Event]]:
    """Reads the summaries of both phases of a run; see `read`.

    Args:
      run: The run.
      plugin: Kind of the summaries: `scalars`, `images` or `histograms`.
      select: Tells whether a summary is wanted, by its tag with the phase before it.

    Returns:
      Events by tag, with the phase before it: `test/score`.

    Raises:
      EventsError: There are no event files, or one of them cannot be opened.
    """
    folders = [run.path / phase for phase in PHASES if (run.path / phase).is_dir()]
    if not folders:
        empty = not any(run.path.iterdir())
        reason = "the folder is empty" if empty else "no folder 'train' or 'test' in it"
        raise EventsError(reason)

    def read_phase(folder):
        return read(folder, plugin, lambda tag: select(f"{folder.name}/{tag}"))

    return {
        f"{folder.name}/{tag}": events
        for folder in folders
        for tag, events in read_phase(folder).items()
    }


def matches(names: Iterable[str], patterns: Iterable[str]) -> bool:
    """Whether any of the names matches any of the shell patterns."""
    return any(
        fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns
    )


def select_runs(runs: Iterable[Run], patterns: Sequence[str]) -> list[Run]:
    """The runs whose name or label matches any of the shell patterns.

    Raises:
      EventsError: There are no runs, or a pattern matches none of them.
    """
    names = {run: (run.name, run.label) for run in runs}
    for pattern in patterns:
        if not any(matches(own, [pattern]) for own in names.values()):
            known = sorted({name for own in names.values() for name in own})
            raise EventsError(parameters.unknown("run", pattern, known))
    return [run for run, own in names.items() if matches(own, patterns)]


def select_tags(patterns: Sequence[str]) -> Callable[[str], bool]:
    """A function that tells whether a tag matches any of the shell patterns.

    Tags begin with the phase, which the patterns may leave out.
    """
    return lambda tag: matches((tag, tag.partition("/")[2]), patterns)


def _scalar(array: np.ndarray) -> float:
    """The number in an array of numbers."""
    return float(_require(array, "fiu", ()))


def _images(array: np.ndarray) -> list[bytes]:
    """The encoded images in an array of byte strings, after width and height."""
    return [bytes(content) for content in _require(array, "O", (None,))[2:]]


def _histogram(array: np.ndarray) -> np.ndarray:
    """Limits and counts, [K, 3]."""
    return _require(array, "fiu", (None, 3))


def _require(array: np.ndarray, kinds: str, shape: Sequence[int | None]) -> np.ndarray:
    """The array, if it has a type of one of the kinds, and the shape; None fits all."""
    fits = len(shape) == array.ndim and all(
        wanted in (None, size) for wanted, size in zip(shape, array.shape, strict=True)
    )
    if array.dtype.kind not in kinds or not fits:
        raise ValueError(f"it is {array.dtype} {list(array.shape)}")
    return array


_CONVERTERS: dict[str, Callable[[np.ndarray], Any]] = {
    "scalars": _scalar,
    "images": _images,
    "histograms": _histogram,
}


def _array(tensor: tensor_pb2.TensorProto) -> np.ndarray:
    """The array of a tensor, if it is small enough."""
    shape = [dimension.size for dimension in tensor.tensor_shape.dim]
    if math.prod(shape) > MAX_ENTRIES:
        raise ValueError(f"its shape is {shape}")
    return tensor_util.make_ndarray(tensor)


def _is_visible_folder(path: pathlib.Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _may_be_run(path: pathlib.Path) -> bool:
    """Whether a folder without subfolders is empty, or holds what runs write."""
    names = {entry.name for entry in path.iterdir()}
    return not names or bool(names & TRACES) or any("tfevents" in x for x in names)


def _make_run(path: pathlib.Path, top: pathlib.Path, numbered: bool) -> Run:
    """The run in a folder, named by its path from where the search began."""
    owner = path.parent if numbered else path
    inside = owner != top and owner.is_relative_to(top)
    label = owner.relative_to(top).as_posix() if inside else owner.name
    return Run(label, path.name if numbered else "", path)


def _read_folder(folder: pathlib.Path) -> Iterator[event_pb2.Event]:
    """The events of a folder, file by file in the order in which they were begun."""
    files = [path for path in folder.glob("*tfevents*") if path.is_file()]
    if not files:
        raise EventsError(f"no event files in {folder}")
    for path in sorted(files, key=_begun):
        yield from _read_file(path)


def _begun(path: pathlib.Path) -> float:
    """When a file was begun; its name and first entry are exact to a second only."""
    times = (e.wall_time for e in _read_file(path) if not e.HasField("file_version"))
    return next(times, 0.0)


def _read_file(path: pathlib.Path) -> Iterator[event_pb2.Event]:
    """The events of a file, up to where it is cut or damaged."""
    try:
        for record in _read_records(path):
            yield _parse(record)
    except _DamageError as damage:
        _warn_once(f"Read {path} only in part: {damage}")
    except OSError as error:
        raise EventsError(str(error)) from error


class _DamageError(Exception):
    """What is wrong with the rest of a file."""


def _parse(record: bytes) -> event_pb2.Event:
    """The event in a record, in today's form."""
    try:
        return data_compat.migrate_event(event_pb2.Event.FromString(record))
    except Exception as error:  # Nothing is known of what else made the record.
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise _DamageError(f"a record is not an event: {reason}") from error


def _read_records(path: pathlib.Path) -> Iterator[bytes]:
    """The records of a file: each is its length and its data, both with checksums."""

    def read(size: int) -> bytes:
        # A damaged size may be larger than the memory, unlike what is in the file.
        content = file.read(min(size + 4, length))
        if len(content) < size + 4:
            raise _DamageError("the last record is cut")
        data, checksum = content[:size], content[size:]
        crc = google_crc32c.value(data)
        masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
        if checksum != struct.pack("<I", masked):
            raise _DamageError("a checksum is wrong")
        return data

    with path.open("rb") as file:
        length = os.fstat(file.fileno()).st_size
        while file.peek(1):
            (size,) = struct.unpack("<Q", read(8))
            yield read(size)


@functools.cache
def _warn_once(text: str) -> None:
    """Prints a line on stderr, above any progress bar; the same one only once."""
    tqdm.tqdm.write(text, file=sys.stderr)
