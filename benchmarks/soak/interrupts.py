"""Ctrl-C and SIGTERM at random moments of a run that is resumed each time."""

from __future__ import annotations

import pathlib
import random
import signal

from benchmarks.soak import outcome, trainings

PATIENCE = 10  # Seconds in which an interrupted run has to end.
LATEST = 20  # Seconds after which it is interrupted at the latest.
KINDS = ((signal.SIGINT, True), (signal.SIGTERM, False), (signal.SIGTERM, True))


def run(
    tries: int, folder: pathlib.Path, progress: outcome.Progress
) -> outcome.Outcome:
    """Interrupts runs; a new one begins when one has made a hundred epochs."""
    random.seed(0)
    losses = []
    number = before = 0
    for index in range(tries):
        logdir = folder / str(number)
        training = trainings.Training(logdir, {"max_steps": 12_000})
        delay = random.uniform(0, LATEST)
        if training.wait(delay):
            losses.append(
                f"{index}: ended by itself with {training.process.returncode}"
            )
            number, before = number + 1, 0
            progress()
            continue
        step = training.step()
        kind, group = KINDS[index % len(KINDS)]
        seconds = training.end(kind, group)
        wrong = _problems(training, logdir / "00001", kind, seconds, max(step, before))
        losses += [f"{index}: {kind.name} after {delay:.1f} s: {x}" for x in wrong]
        before = trainings.saved(logdir / "00001")
        if before > 6_000:
            number, before = number + 1, 0
        progress()
    return outcome.count(tries, losses)


def _problems(training, run, kind, seconds, step) -> list[str]:
    """What went wrong as a training was interrupted at a step."""
    code, lines = training.process.returncode, training.lines()
    last = lines[-1] if lines else ""
    found = trainings.problems(run)
    # Before it runs any code of ours, a signal ends Python in its own way.
    if code != 128 + kind and not (code == -kind and not lines):
        found.append(f"exit code {code}")
    if seconds > PATIENCE:
        found.append(f"took {seconds:.1f} s")
    if (run / "DONE").exists():
        found.append("went on to the end")
    if any("Traceback" in line for line in lines) and code != -kind:
        found.append("a traceback")
    saved = trainings.saved(run)
    if trainings.updates(saved) < trainings.updates(step):
        found.append(f"step {saved} is saved, but {step} was reached")
    if lines and saved and f"step {saved} is saved" not in last:
        found.append(f"the last line is {last!r}, with step {saved} saved")
    if orphans := training.orphans():
        found.append(f"processes {orphans} are left")
    return found
