"""A trial of a sweep: an ordinary run, trained in a process of its own.

The process is `python -m planet.scripts.train`, but for that it ends with the process
that started it. All that is known of a trial is in the folder of its run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from planet.tools import interruption

if __name__ == "__main__":  # All further imports take seconds.
    interruption.end_on_signals()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, interruption.SIGNALS)  # As Ray has not.
    interruption.end_with_parent(int(sys.argv[1]))

import ml_collections

from planet.scripts import runs, train
from planet.tools import json_lines, parameters

RUN = "00001"
LOG = "log.txt"  # What the process prints, beside the run.
COPIES = "copies.jsonl"  # In a run, what pbt did with it.
POLL = 0.5  # Seconds between looks at a run in training.
PING_EVERY = 5  # Seconds between heartbeats; a killed worker is missed after two.
PATIENCE = 20  # Seconds for an interrupted process to write its checkpoint.


class TrainingError(RuntimeError):
    """A trial failed; the message is one line."""


@dataclasses.dataclass(frozen=True)
class Result:
    """What a test phase brought.

    Attributes:
      test_score: Mean return of its episodes.
      step: Sequences seen by the end of it.
      minutes: Minutes of training so far.
    """

    test_score: float
    step: int
    minutes: float


def read_results(run: pathlib.Path) -> list[Result]:
    """The results of a run's test phases, but those without a score."""
    return [
        Result(record["score"], record["step"], record.get("minutes", 0.0))
        for record in json_lines.read(run / "metrics.jsonl")
        if record.get("phase") == "test"
        and _is_number(record.get("score"))
        and _is_number(record.get("step"))
    ]


def read_failure(folder: pathlib.Path) -> str:
    """The last line of what a trial printed, or of its run's traceback."""
    for path in (folder / RUN / "FAIL", folder / LOG):
        with contextlib.suppress(OSError):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            if said := [line.strip() for line in lines if line.strip()]:
                return said[-1][:300]
    return "unknown error"


def is_finished(folder: pathlib.Path) -> bool:
    """Whether the run of a trial is finished."""
    return (folder / RUN / "DONE").exists()


class Training:
    """Trains the run of a trial and yields its results; the process ends with ours."""

    def __init__(
        self,
        folder: pathlib.Path,
        config: str,
        params: Mapping[str, Any],
        stop: pathlib.Path,
        threads: int = 0,
        working_folder: str = "",
        changes: Mapping[str, int | float] | None = None,
    ):
        """Starts nothing yet.

        Args:
          folder: That of the trial, which holds the run.
          config: Name of the config, or path of a run, to start from.
          params: Settings that override those.
          stop: A file that ends the training once it exists.
          threads: Threads of a TensorFlow operation; 0: as many as there are cores.
          working_folder: Where to start, if this machine has such a folder.
          changes: Settings that a run that has begun goes on with.
        """
        self._folder, self._run = folder, folder / RUN
        settings = ["--config", config, "--params", json.dumps(params)]
        self._arguments = ["--logdir", str(folder), *settings]
        self._stop = stop
        self._threads = threads
        self._working_folder = working_folder if os.path.isdir(working_folder) else None
        self._changes = changes or {}
        self._process: subprocess.Popen | None = None

    def results(self, newest_only: bool = False) -> Iterator[Result]:
        """Yields results as they come, after those of before.

        A result is yielded once there is a checkpoint of it.

        Args:
          newest_only: Of the results of before, yield only the newest.

        Raises:
          TrainingError: The process fails.
        """
        _mend(self._run)
        step = -1
        if newest_only:
            step = max((x.step for x in read_results(self._run)[:-1]), default=-1)
        while True:
            ended = is_finished(self._folder) or self._stop.exists()
            over = ended and not self._process
            saved = max(runs.checkpoints(self._run), default=0)
            for result in read_results(self._run):
                if step < result.step <= saved:
                    step = result.step
                    yield result
            if over:
                return
            if self._stop.exists():
                self.end()
            elif not self._process:
                self._start()
            else:
                self._wait()

    def end(self) -> None:
        """Interrupts the process, or kills it if writing a checkpoint takes long."""
        if not self._process:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _start(self) -> None:
        """Starts the process; in a session of its own, only we interrupt it."""
        if self._changes and (self._run / "config.yaml").exists():
            runs.change_settings(self._run / "config.yaml", self._changes)
        environment = dict(os.environ)
        if self._threads:
            environment.setdefault("TF_NUM_INTRAOP_THREADS", str(self._threads))
        command = [
            sys.executable,
            "-m",
            "planet.scripts.sweep_trials",
            str(os.getpid()),
        ]
        command += [*self._arguments, "--ping_every", str(PING_EVERY)]
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / LOG).open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._working_folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _wait(self) -> None:
        """Waits a moment for the process, which may be waiting for another worker."""
        assert self._process
        try:
            code = self._process.wait(POLL)
        except subprocess.TimeoutExpired:
            return
        self._process = None
        if code < 0:
            raise TrainingError(f"killed by {signal.Signals(-code).name}")
        if code:
            raise TrainingError(read_failure(self._folder))
        if not is_finished(self._folder):  # Somebody's heartbeat is still fresh.
            time.sleep(1)


def copy(source: pathlib.Path, step: int, target: pathlib.Path) -> None:
    """Puts a copy of a trial's run in the place of another one's, once for each step.

    The copy goes on from the checkpoint of that step, or else from the newest one.

    Args:
      source: Folder of the trial to copy.
      step: A step of which it has a checkpoint.
      target: Folder of the other one.

    Raises:
      RunError: There is no checkpoint to copy.
      OSError: Files cannot be copied, or vanish meanwhile.
    """
    _mend(target / RUN)
    origin = {"from": source.name, "step": step}
    done = list(json_lines.read(target / RUN / COPIES))
    if done and {key: done[-1].get(key) for key in origin} == origin:
        return
    try:
        found, prefix = runs.choose_checkpoint(source / RUN, step)
    except runs.RunError:
        found, prefix = runs.choose_checkpoint(source / RUN)
    new, old = target / f".{RUN}.new", target / f".{RUN}.old"
    shutil.copytree(source / RUN, new, ignore=_is_not_copied)
    (new / "checkpoints").mkdir()
    for path in (source / RUN / "checkpoints").glob(f"{pathlib.Path(prefix).name}.*"):
        shutil.copy2(path, new / "checkpoints")
    json_lines.append(new / COPIES, {**origin, "checkpoint": found})
    (target / RUN).rename(old)
    new.rename(target / RUN)
    shutil.rmtree(old)


def _is_not_copied(folder: str, names: list[str]) -> set[str]:
    """Files of a run that belong to a worker or to what comes later."""
    return {
        name
        for name in names
        if name in ("DONE", "FAIL", "checkpoints")
        or name.startswith("PING")
        or name.endswith(".tmp")
    }


def _mend(run: pathlib.Path) -> None:
    """Goes back to before a copy that was interrupted."""
    new, old = (run.with_name(f".{run.name}.{end}") for end in ("new", "old"))
    if old.exists() and not run.exists():
        old.rename(run)
    for path in (new, old):
        shutil.rmtree(path, ignore_errors=True)


def read_settings(folder: pathlib.Path) -> ml_collections.ConfigDict | None:
    """The settings of a trial's run as they are now; None if it has not begun."""
    try:
        return runs.read_config(folder / RUN / "config.yaml")
    except (OSError, parameters.ParameterError):
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


if __name__ == "__main__":
    sys.exit(train.main(sys.argv[2:]))
