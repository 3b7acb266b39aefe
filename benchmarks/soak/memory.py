"""What a process that trains for long needs: memory, files, threads and traces.

Each try is a run of 20 epochs: 500 updates, 50 collections, 2000 decisions and, with
pictures, 20 summaries of either phase. Nothing may grow after the first tenth. What the
C library keeps for its threads is given back to the system before memory is looked at:
when it sets some aside for another thread is a matter of timing.
"""

from __future__ import annotations

import ctypes
import gc
import json
import pathlib
import subprocess
import sys

from benchmarks.soak import outcome
from planet.tools import tensorflow_start

EPOCHS = 20
GROWTH = 0.02
PARAMS = {
    "tasks": ["dummy"],
    "dumbnet": True,
    "overshooting": 0,
    "action_repeat": 25,  # 40 decisions in an episode.
    "train_steps": 125,  # In sequences, of which an update takes five.
    "test_steps": 5,
    "collect_every": 50,
    "max_steps": EPOCHS * 130,
    "max_cache": 0.003,  # GB, so that episodes fill it within the first tenth.
    "seed": 1,
}
PROGRAM = "import sys; from benchmarks.soak import memory; memory.train(sys.argv[1])"


def run(
    tries: int, folder: pathlib.Path, progress: outcome.Progress
) -> outcome.Outcome:
    """Trains in fresh processes and compares what they need early and late."""
    losses = []
    for index in range(tries):
        logdir = folder / str(index)
        command = [sys.executable, "-c", PROGRAM, str(logdir)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        samples = json.loads((logdir / "samples.json").read_text(encoding="utf-8"))
        early, late = samples[len(samples) // 10 - 1], samples[-1]
        growth = late["bytes"] / early["bytes"] - 1
        megabytes = [f"{sample['bytes'] / 1e6:.0f}" for sample in samples]
        print(f"\nmemory: {' '.join(megabytes)} MB, {growth:+.1%}", flush=True)
        if growth > GROWTH:
            losses.append(f"{index}: resident memory grew by {growth:.1%}")
        for key in ("files", "threads", "traces"):
            if late[key] > early[key]:
                losses.append(f"{index}: {key} grew from {early[key]} to {late[key]}")
        progress()
    return outcome.count(tries, losses)


def train(logdir: str) -> None:
    """Trains a run and writes what the process needed after each epoch."""
    tensorflow_start.load()
    import psutil
    from tensorflow.python.eager.polymorphic_function import polymorphic_function

    from planet.scripts import configs, tasks
    from planet.training import trainer

    config = configs.load("debug", PARAMS)
    process = psutil.Process()
    samples = []
    for _ in trainer.train(config, tasks.load(config), logdir):
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        functions = [
            entry
            for entry in gc.get_objects()
            if isinstance(entry, polymorphic_function.Function)
        ]
        samples.append(
            {
                "bytes": process.memory_info().rss,
                "files": process.num_fds(),
                "threads": process.num_threads(),
                "traces": sum(x.experimental_get_tracing_count() for x in functions),
            }
        )
    path = pathlib.Path(logdir, "samples.json")
    path.write_text(json.dumps(samples), encoding="utf-8")
