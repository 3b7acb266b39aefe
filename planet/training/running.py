"""Runs of an experiment in numbered folders, shared by workers, resumed when stopped.

The files in a run's folder tell its state: `PING` while a worker trains it, renewed for
as long as the worker lives; `DONE` once it is finished; `FAIL`, with a traceback, if it
ended with an error. A run with none of them was interrupted.

A worker that was stalled for so long that another one took its run over notices it by
`interruption.check`, and by `interruption.confirm` before it writes anything.
"""

import contextlib
import itertools
import json
import math
import multiprocessing
import os
import pathlib
import shutil
import socket
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Generator, Iterator
from typing import Any

from planet.tools import cluster, interruption

STALE = 2  # Heartbeats that a worker may miss before its run is taken over.
FULL = 1_000_000  # Bytes, too few to write anything of a run.
FINISHED = "finished"  # Why a run is skipped, unless there is more to say.
LOOKS, PAUSE = 3, 0.05  # How often, and how long apart, a lost heartbeat is looked for.


class RunLostError(RuntimeError):
    """Another worker has taken the run over."""


class Experiment:
    """The runs of a logdir that this worker trains, one after the other.

    Iterating yields the runs, except those that are finished or that another live
    worker is training. Those of which that is in doubt come last. `current` is the last
    one; `failed` holds those that ended with an error.

    Use it as a context manager. In it, this process has a temporary folder of its own,
    for a temporary logdir and for what libraries write, such as the code that
    TensorFlow generates. It is removed at the end, even if that comes at once.
    """

    def __init__(
        self,
        logdir: str | os.PathLike | None,
        process_fn: Callable[[pathlib.Path], Generator[Any]],
        num_runs: int = 1,
        ping_every: float = 0,
        resume_runs: bool = True,
        why_finished: Callable[[pathlib.Path], str | None] = lambda _: FINISHED,
    ):
        """Creates nothing on disk yet.

        Args:
          logdir: Folder of the runs' folders `00001`…; None: a temporary folder.
          process_fn: Function that continues the run in a folder, which may be empty,
              and yields results.
          num_runs: Number of runs, or of new runs if runs are not resumed.
          ping_every: Seconds between heartbeats; 0: no other workers are expected.
          resume_runs: Continue unfinished runs rather than start new ones.
          why_finished: Function that says why a finished run, given by its folder, is
              skipped; None if it is to go on.
        """
        self.failed: list[Run] = []
        self.current: Run | None = None
        self._temporary = logdir is None
        self._scratch = pathlib.Path(tempfile.gettempdir(), f"planet-{_random_name()}")
        self._logdir = pathlib.Path(logdir or self._scratch).expanduser()
        self._process_fn = process_fn
        self._num_runs = num_runs
        self._ping_every = ping_every
        self._resume_runs = resume_runs
        self._why_finished = why_finished
        self._ending = interruption.ending(self._abandon)

    def __enter__(self) -> "Experiment":
        self._ending.__enter__()
        self._scratch.mkdir(mode=0o700)
        self._tempdir, tempfile.tempdir = tempfile.tempdir, str(self._scratch)
        return self

    def __exit__(self, *exception) -> None:
        tempfile.tempdir = self._tempdir
        self._remove_temporary()
        self._ending.__exit__(None, None, None)

    def _abandon(self) -> None:
        """Leaves what an interrupted worker leaves, as the process ends at once."""
        if self.current:
            self.current.abandon()
        if self._temporary:  # Environments write to it as well.
            for process in multiprocessing.active_children():
                process.kill()
                process.join(1)
        self._remove_temporary()

    def _remove_temporary(self) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)
        if self._temporary:
            _say(f"Removed the temporary folder {self._logdir}")

    def __iter__(self) -> Iterator["Run"]:
        doubtful = []
        for folder in self._folders():
            run = Run(folder, self._process_fn, self._ping_every, self._why_finished)
            yield from self._try(run)
            if run.is_in_doubt:
                doubtful.append(run)
        for run in doubtful:
            yield from self._try(run)

    def _try(self, run: "Run") -> Iterator["Run"]:
        """Yields a run if it can be acquired, and notes what became of it."""
        self.current = run
        if run.acquire():
            yield run
            if run.error:
                self.failed.append(run)

    def _folders(self) -> Iterator[pathlib.Path]:
        """Folders of the runs to try; if only new ones count, creating claims them."""
        folders = (self._logdir / f"{number:05}" for number in itertools.count(1))
        if not self._resume_runs:
            folders = filter(_create, folders)
        return itertools.islice(folders, self._num_runs)


class Run:
    """One run, in a folder of its own; iterating trains it and yields results.

    Attributes:
      logdir: Its folder.
      error: What it ended with, if that was an error.
    """

    def __init__(
        self,
        logdir: pathlib.Path,
        process_fn: Callable[[pathlib.Path], Generator[Any]],
        ping_every: float = 0,
        why_finished: Callable[[pathlib.Path], str | None] = lambda _: FINISHED,
    ):
        """Creates nothing on disk yet.

        Args:
          logdir: Folder of the run.
          process_fn: Function that yields results, given the folder.
          ping_every: Seconds between heartbeats; 0: no other workers are expected.
          why_finished: Says why it is skipped if it is finished; None: it goes on.
        """
        self.logdir = logdir
        self.error: Exception | None = None
        self._process_fn = process_fn
        self._heartbeat = Heartbeat(logdir, ping_every) if ping_every else None
        self._why_finished = why_finished
        self._done = logdir / "DONE"
        self._fail = logdir / "FAIL"

    def acquire(self) -> bool:
        """Claims the run for this worker if it is free, and prints the outcome.

        Returns:
          Whether the run is now this worker's; iterating it releases it at the end.
        """
        if self._is_finished():
            return False
        started = self.logdir.is_dir() and any(self.logdir.iterdir())
        self.logdir.mkdir(parents=True, exist_ok=True)
        if self._heartbeat and not self._heartbeat.start():
            owner = self._heartbeat.owner() or "unknown"
            if self.is_in_doubt:
                _say(f"Put off {self.logdir}: worker {owner} may be at it")
            else:
                _say(f"Skip {self.logdir}: worker {owner} is at it")
            return False
        if self._is_finished():  # Another worker finished it in the meantime.
            self._release()
            return False
        _say(f"{self._intention() if started else 'Start run'} {self.logdir}")
        for mark in (self._fail, self._done):
            mark.unlink(missing_ok=True)
        return True

    @property
    def is_in_doubt(self) -> bool:
        """Whether acquiring it once more would tell if another worker is alive."""
        return self._heartbeat is not None and self._heartbeat.is_in_doubt

    def _is_finished(self) -> bool:
        """Whether it is finished, and not to go on; prints why."""
        reason = self._why_finished(self.logdir) if self._done.exists() else None
        if reason is not None:
            _say(f"Skip {self.logdir}: {reason}")
        return reason is not None

    def _intention(self) -> str:
        if self._done.exists():
            return "Reopen finished run"
        return "Retry failed run" if self._fail.exists() else "Continue run"

    def __iter__(self) -> Iterator[Any]:
        """Trains and yields results; an error is printed and kept in the folder.

        Raises:
          LostError: A process that takes part has ended; the run is interrupted.
        """
        try:
            with (
                interruption.required(self._require_ownership),
                contextlib.closing(self._process_fn(self.logdir)) as results,
            ):
                for result in results:
                    interruption.confirm()
                    yield result
            self._require_ownership()
        except RunLostError as error:
            _say(f"Stop {self.logdir}: {error}")
        except cluster.LostError:  # It is not the run that failed.
            raise
        except Exception as error:
            self.error = error
            trace = traceback.format_exc()
            print(trace, file=sys.stderr, flush=True)
            with contextlib.suppress(OSError):  # The disk may be what failed.
                self._fail.write_text(trace, encoding="utf-8")
            if shutil.disk_usage(self.logdir).free < FULL:
                _say("The disk is full. With more room, the same command continues.")
            _say(f"Failed run {self.logdir}")
        else:
            self._done.touch()
            _say(f"Finished run {self.logdir}")
        finally:
            self._release()

    def abandon(self) -> None:
        """Releases the run without waiting for anything."""
        if self._heartbeat:
            self._heartbeat.release()

    def _require_ownership(self) -> None:
        if self._heartbeat and not self._heartbeat.is_ours():
            owner = self._heartbeat.owner() or "unknown"
            raise RunLostError(f"worker {owner} took it over")

    def _release(self) -> None:
        if self._heartbeat:
            self._heartbeat.stop()


class Heartbeat:
    """Tells the workers that share a logdir which of them is training a run.

    The file `PING` names the worker and the time. To claim a run without one, a worker
    hard-links its own file to that name, which fails if another worker was faster. It
    renews it through the file that it holds open, which does no harm where another
    worker has put its own in its place. A stale `PING` is moved away first, and put
    back if it turns out to have been renewed in the meantime.

    Hosts' clocks may differ by minutes. Whether a `PING` is stale is told by the clock
    of the file system: by the age of the file compared with one that was just written.
    If a time in the file contradicts it, a worker leaves the run alone at first. When
    it comes back, it sees, or waits for, whether the file has been renewed since.

    Attributes:
      is_in_doubt: Whether the run was left alone for that reason.
    """

    def __init__(self, folder: pathlib.Path, every: float):
        """Creates nothing on disk yet.

        Args:
          folder: Folder of the run.
          every: Seconds between heartbeats.
        """
        self.worker = f"{socket.gethostname()}-{os.getpid()}-{_random_name()}"
        self._ping = folder / "PING"
        self._own = folder / f"PING-{self.worker}"
        self._every = every
        self._doubted: bytes | None = None
        self._doubted_at = 0.0
        self.is_in_doubt = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def start(self) -> bool:
        """Claims the run unless another worker is alive; returns whether it is ours."""
        self._file = self._own.open("w+b", buffering=0)
        try:
            is_ours = self._claim()
        finally:
            self._own.unlink(missing_ok=True)
        if is_ours:
            self._thread.start()
        else:
            self._file.close()
        return is_ours

    def _claim(self) -> bool:
        """Puts this worker's file in the place of none, or of a stale one."""
        self._beat()
        ping = self._read()
        if ping is not None:
            if self._is_alive(ping):
                return False
            self._remove(ping.__eq__)
            self._beat()
        try:
            os.link(self._own, self._ping)
        except FileExistsError:
            return False
        return True

    def stop(self) -> None:
        """Ends the heartbeat and releases the run."""
        self._stopped.set()
        self._thread.join()
        self.release()
        self._file.close()

    def release(self) -> None:
        """Lets other workers claim the run, if it still is ours."""
        if not self.is_ours():
            return
        now = self._ping.stat().st_mtime
        for path in self._ping.parent.glob("PING-*"):  # Of workers that were killed.
            with contextlib.suppress(FileNotFoundError):
                if now - path.stat().st_mtime > STALE * self._every:
                    path.unlink()
        self._remove(lambda ping: _parse(ping)[0] == self.worker)

    def owner(self) -> str | None:
        """Name of the worker that is training the run."""
        ping = self._read()
        return None if ping is None else _parse(ping)[0]

    def is_ours(self) -> bool:
        """Whether the run still is this worker's."""
        for _ in range(LOOKS):
            owner = self.owner()
            if owner is not None:
                break
            time.sleep(PAUSE)  # Another worker may have moved it away by mistake.
        return owner == self.worker

    def _renew(self) -> None:
        while not self._stopped.wait(self._every):
            with contextlib.suppress(OSError):  # One missed beat does no harm.
                self._beat()

    def _beat(self) -> None:
        """Writes the time to this worker's file; its length never changes."""
        values = {"worker": self.worker, "time": round(time.time(), 6)}
        text = f"{json.dumps(values):<{len(self.worker) + 60}}"
        os.pwrite(self._file.fileno(), text.encode(), 0)
        os.fsync(self._file.fileno())

    def _remove(self, is_meant: Callable[[bytes], bool]) -> None:
        """Removes the heartbeat, or puts it back if it was another one than meant."""
        moved = self._own.with_suffix(".moved")
        with contextlib.suppress(FileNotFoundError):
            self._ping.replace(moved)
            if not is_meant(moved.read_bytes()):
                with contextlib.suppress(FileExistsError):
                    os.link(moved, self._ping)
            moved.unlink()

    def _is_alive(self, ping: bytes) -> bool:
        """Whether a worker renews the heartbeat, or may, if it is not plain to see."""
        worker, written = _parse(ping)
        if worker is None:
            return False
        patience = STALE * self._every
        with contextlib.suppress(FileNotFoundError):
            age = self._own.stat().st_mtime - self._ping.stat().st_mtime
            if age >= patience:
                return False
        if abs(time.time() - written) < patience:
            return True
        if self._doubted is None:
            self._doubted, self._doubted_at = ping, time.monotonic()
            self.is_in_doubt = True
            return True
        self.is_in_doubt = False
        deadline = self._doubted_at + patience
        while self._read() == self._doubted and time.monotonic() < deadline:
            time.sleep(min(self._every / 10, 1))
            interruption.check()
        return self._read() != self._doubted

    def _read(self) -> bytes | None:
        try:
            return self._ping.read_bytes()
        except FileNotFoundError:
            return None


def _random_name() -> str:
    return uuid.uuid4().hex[:8]


def _parse(ping: bytes) -> tuple[str | None, float]:
    """Worker and time of a heartbeat; no worker if it is damaged."""
    try:
        values = json.loads(ping)
        worker, written = str(values["worker"]), float(values["time"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None, 0.0
    return worker, written if math.isfinite(written) else 0.0


def _create(folder: pathlib.Path) -> bool:
    """Creates a folder; returns whether it is new."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def _say(text: str) -> None:
    print(text, flush=True)
