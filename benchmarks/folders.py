"""How episode folders scale, by `python -m benchmarks.folders`.

Fills folders with more and more episodes, and measures how long it takes until there is
a first batch, what each further episode costs the loader and the writer, what a phase
costs that counts the episodes, and how much memory the loader takes for it. Each size
has a process and a temporary folder of its own.

TensorFlow is imported inside functions only: it takes most of the memory.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np
import psutil

from planet.tools import cli, episode_files, machine, numpy_episodes, tables

PROG = "benchmarks.folders"
STEPS = 251  # Of an episode of 250 decisions, such as cheetah_run.
SPEC = {"state": (17,), "action": (6,), "reward": ()}
BATCH = (50, 50)
REPEATS = 5
LINKS = 10_000  # To one file; file systems have a limit.
UNITS = {
    "first batch": 1,
    "name": 1000,
    "write": 1000,
    "list": 1000,
    "batch": 1000,
    "count": 1000,
    "memory": 1e-6,
}
HEADER = (
    "episodes, first batch in s, naming one in ms, writing it, noticing it, a batch, "
    "counting all, memory in MB"
)


def main() -> None:
    """Measures all sizes and prints a table."""
    args = _make_parser().parse_args()
    if args.inside:
        print(json.dumps(measure(args.inside, args.amounts[0])))
        return
    rows = []
    for amount in args.amounts:
        with tempfile.TemporaryDirectory(dir=args.where) as folder:
            fill(pathlib.Path(folder), amount)
            command = [sys.executable, "-m", PROG, "--inside", folder, str(amount)]
            output = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
        found = json.loads(output.splitlines()[-1])
        values = (f"{unit * found[key]:.3g}" for key, unit in UNITS.items())
        rows.append((f"{amount:,}", *values))
        print(f"{amount} episodes: done", file=sys.stderr, flush=True)
    print(f"{machine.processor()}; medians of {REPEATS}\n")
    print(tables.markdown(HEADER.split(", "), rows))


def fill(folder: pathlib.Path, amount: int) -> None:
    """Puts episodes into a folder; most of them are links to others."""
    source = None
    for number in range(amount):
        name = episode_files.new_name(folder)
        if number % LINKS == 0:
            source = episode_files.write(folder, episode(number), name)
        else:
            os.link(source, folder / name)


def episode(seed: int) -> dict[str, np.ndarray]:
    """An episode of random numbers."""
    rng = np.random.default_rng(seed)
    shapes = {key: (STEPS, *shape) for key, shape in SPEC.items()}
    return {key: rng.normal(size=x).astype(np.float32) for key, x in shapes.items()}


def measure(path: pathlib.Path, amount: int) -> dict[str, float]:
    """Seconds, and bytes, by what is measured, see `UNITS`."""
    process = psutil.Process()
    before = process.memory_info().rss
    start = time.perf_counter()
    batches = numpy_episodes.Batches(path, "scan", SPEC, BATCH, seed=0)
    next(batches)
    found = {"first batch": time.perf_counter() - start}
    found["memory"] = process.memory_info().rss - before
    time.sleep(1.1)
    found["batch"] = _seconds(lambda: next(batches))
    folder = numpy_episodes.Folder(path, max_episodes=2000)
    folder.names()
    content = episode(0)
    times: dict[str, list[float]] = {"name": [], "write": [], "list": [], "count": []}
    for number in range(amount, amount + REPEATS):
        name = _timed(times["name"], lambda n=number: episode_files.new_name(path, n))
        _timed(times["write"], lambda n=name: episode_files.write(path, content, n))
        _timed(times["list"], folder.names)
        _timed(times["count"], lambda: episode_files.count(path))
    return found | {key: float(np.median(x)) for key, x in times.items()}


def _timed(times: list[float], function: Callable):
    """What a function returns; its seconds are added to a list."""
    start = time.perf_counter()
    result = function()
    times.append(time.perf_counter() - start)
    return result


def _seconds(function: Callable) -> float:
    """Median seconds of a function."""
    times: list[float] = []
    for _ in range(REPEATS):
        _timed(times, function)
    return float(np.median(times))


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROG, description=__doc__.partition("\n")[0])
    parser.add_argument(
        "amounts",
        nargs="*",
        type=cli.number(int, 1),
        default=[1000, 10_000, 100_000],
        metavar="N",
        help="episodes in a folder (default: 1000 10000 100000)",
    )
    parser.add_argument(
        "--where",
        type=cli.existing_folder,
        metavar="FOLDER",
        help="where to put the temporary folders: the file system to measure",
    )
    parser.add_argument("--inside", type=pathlib.Path, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
