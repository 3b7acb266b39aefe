"""Many workers on one logdir, some of which are killed and some stalled.

Their clocks differ by minutes. What they do in a run is to write its steps into a file,
each of which must be there once, and never those of two workers in turn.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import pathlib
import random
import signal
import time

from benchmarks.soak import outcome
from planet.tools import interruption
from planet.training import running

WORKERS = 20
STEPS = 20
BEAT = 0.5  # Seconds between heartbeats.
SKEW = 300  # Seconds by which a clock may be wrong.
CONTEXT = multiprocessing.get_context("spawn")


def run(
    tries: int, folder: pathlib.Path, progress: outcome.Progress
) -> outcome.Outcome:
    """Has workers do that many runs, and looks at what they wrote."""
    random.seed(0)
    logdir = folder / "logdir"
    finished = 0
    workers = [_start(logdir, tries) for _ in range(WORKERS)]
    stopped: dict[int, float] = {}
    while finished < tries:
        time.sleep(0.2)
        for worker in workers:
            if worker.pid in stopped and time.monotonic() > stopped[worker.pid]:
                del stopped[worker.pid]
                os.kill(worker.pid, signal.SIGCONT)
        victim = random.choice(workers)
        if victim.is_alive() and victim.pid not in stopped:
            if random.random() < 0.5:
                victim.kill()
                victim.join()
            else:
                os.kill(victim.pid, signal.SIGSTOP)
                long = random.uniform(2, 8) * BEAT
                stopped[victim.pid] = time.monotonic() + long
        workers = [x if x.is_alive() else _start(logdir, tries) for x in workers]
        done = len(list(logdir.glob("*/DONE")))
        for _ in range(done - finished):
            progress()
        finished = done
    for worker in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGCONT)
        worker.join(60)
        worker.kill()
        worker.join()
    losses = [
        f"{path.name}: {problem}"
        for path in sorted(logdir.iterdir())
        for problem in _problems(path)
    ]
    return outcome.count(tries, losses)


def _start(logdir, runs):
    """Starts a worker whose clock is wrong."""
    skew = random.uniform(-SKEW, SKEW)
    worker = CONTEXT.Process(target=_work, args=(logdir, runs, skew), daemon=True)
    worker.start()
    return worker


def _work(logdir, runs, skew):
    """What a worker does: all runs that no other one does."""
    clock = time.time
    time.time = lambda: clock() + skew
    with running.Experiment(logdir, _write, runs, BEAT) as experiment:
        for work in experiment:
            list(work)


def _write(logdir):
    """Goes on with a run: writes which worker made which of its steps."""
    diary = logdir / "diary"
    made = len(_read(diary)) if diary.exists() else 0
    for step in range(made, STEPS):
        interruption.check()
        time.sleep(random.uniform(0, 0.1))
        interruption.confirm()
        with diary.open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {step}\n")
        yield float(step)


def _read(diary):
    """Pairs of worker and step."""
    text = diary.read_text(encoding="utf-8")
    return [tuple(map(int, line.split())) for line in text.splitlines()]


def _problems(run):
    """What is wrong with what workers wrote of a run."""
    found = [] if (run / "DONE").exists() else ["not done"]
    if (run / "PING").exists():
        found.append("PING is left")
    entries = _read(run / "diary")
    if [step for _, step in entries] != list(range(STEPS)):
        found.append(f"its steps are {[step for _, step in entries]}")
    authors = [worker for worker, _ in itertools.groupby(entries, lambda x: x[0])]
    if len(authors) > len(set(authors)):
        found.append(f"its workers, in turn, are {authors}")
    return found
