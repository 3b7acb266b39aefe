"""How many workers can share the runs of a logdir, by `python -m benchmarks.sharing`.

A discrete-event simulation: workers claim, renew and release runs by the code of
`planet.training.running`, as it is, in an in-memory file system whose every operation
takes a while. Their clocks are wrong, they are killed and started again, and stalled
for so long that others take their runs over. Only the training is replaced, by waiting.

It prints what became of the runs, how many file operations the file system sees, and
how long the run of a killed worker waits until another takes it over.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import heapq
import itertools
import os
import random
import sys
import time
import types
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import greenlet
import numpy as np
import tqdm

from planet.tools import cli, tables
from planet.training import running

PROG = "benchmarks.sharing"
MINUTE, HOUR = 60.0, 3600.0


class World:
    """Simulated time, the greenlets that wait in it, and a file system.

    Args:
      latency: seconds that an operation of the file system takes.
      seed: of all that is random.
    """

    def __init__(self, latency: float, seed: int):
        self.now = 0.0
        self.rng = random.Random(seed)
        self.folders: dict[str, dict[str, File]] = {}
        self.operations: Counter[str] = Counter()
        self.by_minute: Counter[int] = Counter()
        self._latency = latency
        self._waiting: list[tuple[float, int, Task, int]] = []
        self._order = itertools.count()
        self._hub = greenlet.getcurrent()
        self._tasks: list[Task] = []
        self._closed = False
        self.touched: Counter[str] = Counter()

    def spawn(self, worker: Worker, work: Callable[[], None], after: float = 0) -> Task:
        """Starts a thread of a worker."""
        task = Task(worker, work, self._hub)
        self._tasks.append(task)
        self.wake(task, after)
        return task

    def wake(self, task: Task, after: float = 0) -> None:
        """Has a task go on, instead of whatever it has waited for."""
        task.turn += 1
        entry = (self.now + after, next(self._order), task, task.turn)
        heapq.heappush(self._waiting, entry)

    def sleep(self, seconds: float) -> None:
        """Has the current task wait."""
        if self._closed:
            raise greenlet.GreenletExit
        if self._waiting and self._waiting[0][0] > self.now + seconds:
            self.now += seconds  # Nobody else would do anything meanwhile.
            return
        self.wake(greenlet.getcurrent(), seconds)
        self._hub.switch()

    def operate(self, kind: str) -> None:
        """Counts an operation of the file system, and waits for it."""
        self.operations[kind] += 1
        self.by_minute[int(self.now / MINUTE)] += 1
        self.sleep(self._latency)

    def run(self, until: Callable[[], bool]) -> None:
        """Lets time pass until a condition holds, or nobody waits for anything."""
        while self._waiting and not until():
            now, _, task, turn = heapq.heappop(self._waiting)
            worker = task.worker
            if turn != task.turn or worker.dead:
                continue
            if worker.stalled_until > now:
                late = (worker.stalled_until, next(self._order), task, turn)
                heapq.heappush(self._waiting, late)
                continue
            self.now = now
            task.switch()

    def close(self) -> None:
        """Ends what still waits."""
        self._closed = True
        for task in self._tasks:
            task.throw()


class Task(greenlet.greenlet):
    """A thread of a worker; `turn` tells the last thing that it waits for."""

    def __init__(
        self, worker: Worker, work: Callable[[], None], hub: greenlet.greenlet
    ):
        super().__init__(work, hub)
        self.worker = worker
        self.turn = 0
        self.requirements: list[Callable[[], None]] = []


class Worker:
    """A process on a host whose clock is wrong by `skew` seconds."""

    def __init__(self, skew: float):
        self.skew = skew
        self.dead = False
        self.stalled_until = 0.0
        self.run: str | None = None


class File:
    """Content of a file, which several names may have."""

    def __init__(self, content: bytes, changed: float):
        self.content = content
        self.st_mtime = changed


class _Path:
    """What `running` needs of `pathlib.Path`, in the file system of a world."""

    def __init__(self, world: World, folder: str = "", name: str = ""):
        self._world = world
        self._folder = folder
        self.name = name

    def __truediv__(self, name: str) -> _Path:
        return _Path(self._world, str(self), name)

    def __str__(self) -> str:
        return "/".join(filter(None, (self._folder, self.name)))

    @property
    def parent(self) -> _Path:
        return _Path(self._world, name=self._folder)

    def expanduser(self) -> _Path:
        return self

    def with_suffix(self, suffix: str) -> _Path:
        return _Path(self._world, self._folder, f"{self.name}{suffix}")

    def exists(self) -> bool:
        self._world.operate("stat")
        return self.name in self._world.folders.get(self._folder, ())

    def is_dir(self) -> bool:
        self._world.operate("stat")
        return str(self) in self._world.folders

    def mkdir(self, parents: bool, exist_ok: bool) -> None:
        assert parents
        assert exist_ok
        self._world.operate("mkdir")
        self._world.folders.setdefault(str(self), {})

    def iterdir(self) -> Iterator[_Path]:
        self._world.operate("list")
        return iter([self / name for name in self._world.folders[str(self)]])

    def glob(self, pattern: str) -> Iterator[_Path]:
        start = pattern.removesuffix("*")
        return (path for path in self.iterdir() if path.name.startswith(start))

    def stat(self) -> File:
        with self.found("stat") as files:
            return files[self.name]

    def read_bytes(self) -> bytes:
        with self.found("read") as files:
            return files[self.name].content

    def write_bytes(self, content: bytes) -> None:
        with self.found("write") as files:
            files[self.name] = File(content, self._world.now)

    def touch(self) -> None:
        self.write_bytes(b"")
        self._world.touched[str(self)] += 1

    def unlink(self, missing_ok: bool = False) -> None:
        with self.found("unlink") as files:
            if not missing_ok or self.name in files:
                del files[self.name]

    def replace(self, target: _Path) -> None:
        with self.found("rename") as files:
            files[target.name] = files.pop(self.name)

    def open(self, mode: str, buffering: int) -> _Handle:
        assert (mode, buffering) == ("w+b", 0)
        self.write_bytes(b"")
        return _Handle(self._world.folders[self._folder][self.name])

    @contextlib.contextmanager
    def found(self, kind: str) -> Iterator[dict[str, File]]:
        """The files of its folder, after an operation."""
        try:
            self._world.operate(kind)
            yield self._world.folders[self._folder]
        except KeyError:
            raise FileNotFoundError(str(self)) from None


class _Handle:
    """A file that is held open, which lasts even if its name does not."""

    def __init__(self, file: File):
        self._file = file

    def fileno(self) -> File:
        return self._file

    def close(self) -> None:
        pass


def modules(world: World) -> dict[str, Any]:
    """What takes the place of modules that `running` has imported, by their names."""

    def link(source: _Path, target: _Path) -> None:
        with source.found("link") as files:
            if target.name in files:
                raise FileExistsError(str(target))
            files[target.name] = files[source.name]

    def pwrite(file: File, content: bytes, offset: int) -> None:
        world.operate("write")
        end = offset + len(content)
        file.content = file.content[:offset] + content + file.content[end:]
        file.st_mtime = world.now

    @contextlib.contextmanager
    def required(requirement: Callable[[], None]) -> Iterator[None]:
        task = greenlet.getcurrent()
        task.requirements.append(requirement)
        try:
            yield
        finally:
            task.requirements.pop()

    def confirm() -> None:
        for requirement in greenlet.getcurrent().requirements:
            requirement()

    return {
        "os": types.SimpleNamespace(
            link=link,
            pwrite=pwrite,
            fsync=lambda _: world.operate("sync"),
            getpid=os.getpid,
        ),
        "time": types.SimpleNamespace(
            time=lambda: world.now + greenlet.getcurrent().worker.skew,
            monotonic=lambda: world.now,
            sleep=world.sleep,
        ),
        "threading": types.SimpleNamespace(
            Event=functools.partial(_Event, world),
            Thread=functools.partial(_Thread, world),
        ),
        "interruption": types.SimpleNamespace(
            check=confirm,
            confirm=confirm,
            ending=contextlib.nullcontext,
            required=required,
        ),
        "pathlib": types.SimpleNamespace(Path=lambda path, *_: path),
        "_say": lambda text: None,
    }


class _Event:
    """What `running` needs of `threading.Event`, with one thread that waits."""

    def __init__(self, world: World):
        self._world = world
        self._is_set = False
        self._waiter: Task | None = None

    def set(self) -> None:
        self._is_set = True
        if self._waiter:
            self._world.wake(self._waiter)

    def wait(self, seconds: float) -> bool:
        if not self._is_set:
            self._waiter = greenlet.getcurrent()
            self._world.sleep(seconds)
            self._waiter = None
        return self._is_set


class _Thread:
    """What `running` needs of `threading.Thread`."""

    def __init__(self, world: World, target: Callable[[], None], daemon: bool):
        assert daemon
        self._world = world
        self._target = target

    def start(self) -> None:
        worker = greenlet.getcurrent().worker
        self._task = self._world.spawn(worker, self._target)

    def join(self) -> None:
        while not self._task.dead:
            self._world.sleep(0)


class Simulation:
    """Workers that train all runs, and what goes wrong meanwhile."""

    def __init__(self, args: argparse.Namespace):
        self._args = args
        self.world = World(args.latency / 1000, args.seed)
        self.killed = self.stalled = 0
        self.lost = 0  # Runs that a stalled worker noticed it had lost.
        self.written = 0  # Phases.
        self.waits: list[float] = []  # Seconds, of the runs of killed workers.
        self._orphans: dict[str, float] = {}
        self._live: list[Worker] = []

    def start(self) -> None:
        """Starts the workers, all within a minute, and what stops them."""
        world, args = self.world, self._args
        for _ in range(args.workers):
            self._start_worker(world.rng.uniform(0, MINUTE))
        nobody = Worker(0)
        for fault, every in ((self._kill, args.kills), (self._stall, args.stalls)):
            if every:
                mean = every * HOUR / args.workers
                world.spawn(nobody, functools.partial(self._do, fault, mean))

    def is_over(self) -> bool:
        """Whether all runs are finished."""
        return len(self.world.touched) == self._args.runs

    def _start_worker(self, after: float) -> None:
        skew = self.world.rng.uniform(-1, 1) * self._args.skew
        worker = Worker(skew)
        self._live.append(worker)
        self.world.spawn(worker, lambda: self._work(worker), after)

    def _work(self, worker: Worker) -> None:
        """Trains all runs that are free, as `planet.scripts.train` does."""
        logdir = _Path(self.world)
        settings = {"num_runs": self._args.runs, "ping_every": self._args.ping_every}
        experiment = running.Experiment(logdir, self._train, **settings)
        for run in experiment:
            worker.run = str(run.logdir)
            if orphaned := self._orphans.pop(worker.run, None):
                self.waits.append(self.world.now - orphaned)
            for _ in run:
                pass
            if run.error:
                raise run.error
            worker.run = None
        self._live.remove(worker)

    def _train(self, folder: _Path) -> Iterator[int]:
        """Waits, phase by phase; a file says which is next, as a checkpoint does."""
        world, args = self.world, self._args
        saved = folder / "checkpoint"
        start = int(saved.read_bytes()) if saved.exists() else 0
        for phase in range(start, args.phases):
            mean = args.hours * HOUR / args.phases
            world.sleep(world.rng.uniform(0.5, 1.5) * mean)
            try:
                running.interruption.confirm()
            except running.RunLostError:
                self.lost += 1
                raise
            saved.write_bytes(str(phase + 1).encode())
            self.written += 1
            yield phase

    def _do(self, fault: Callable[[Worker], None], mean: float) -> None:
        """Does something to an arbitrary worker, again and again, while there are any.

        The fewer are left, the more rarely it hits one of them.
        """
        while self._live:
            self.world.sleep(self.world.rng.expovariate(1 / mean))
            number = self.world.rng.randrange(self._args.workers)
            if number < len(self._live):
                fault(self._live[number])

    def _kill(self, worker: Worker) -> None:
        """Kills a worker; another one is started some minutes later."""
        self.killed += 1
        worker.dead = True
        self._live.remove(worker)
        if worker.run and f"{worker.run}/DONE" not in self.world.touched:
            self._orphans[worker.run] = self.world.now
        self._start_worker(self.world.rng.uniform(1, 10) * MINUTE)

    def _stall(self, worker: Worker) -> None:
        """Stops a worker for longer than its heartbeat lasts."""
        self.stalled += 1
        missed = self.world.rng.uniform(2, 20) * self._args.ping_every
        worker.stalled_until = self.world.now + missed

    def results(self) -> dict[str, Any]:
        """What became of it, by names that say what it is."""
        world, args = self.world, self._args
        finished = Counter(world.touched.values())
        minutes = list(world.by_minute.values())
        waits = np.array(self.waits) / args.ping_every
        return {
            "runs": args.runs,
            "finished once": finished.pop(1, 0),
            "finished twice or more": sum(finished.values()),
            "phases written": self.written,
            "phases of all runs": args.runs * args.phases,
            "workers killed": self.killed,
            "workers stalled": self.stalled,
            "stalled workers that noticed they had lost their run": self.lost,
            "hours": round(world.now / HOUR, 1),
            "file operations per second, mean": round(sum(minutes) / world.now, 1),
            "in the busiest minute": round(max(minutes) / MINUTE),
            "runs of killed workers taken over": len(waits),
            "after heartbeats, median": _rounded(waits, 50),
            "after heartbeats, 95 %": _rounded(waits, 95),
        }


def _rounded(values: np.ndarray, percentile: float) -> float | None:
    return round(float(np.percentile(values, percentile)), 1) if len(values) else None


def simulate(args: argparse.Namespace, progress: tqdm.tqdm | None = None) -> Simulation:
    """Has workers train all runs; arguments as on the command line."""
    simulation = Simulation(args)
    world = simulation.world

    def is_over():
        if progress is not None and len(world.touched) > progress.n:
            progress.update(len(world.touched) - progress.n)
        return simulation.is_over()

    with mock.patch.multiple(running, **modules(world)):
        simulation.start()
        world.run(is_over)
        world.close()
    return simulation


def main() -> int:
    """Runs a simulation and prints a table."""
    args = make_parser().parse_args()
    start = time.perf_counter()
    with tqdm.tqdm(total=args.runs, unit=" runs", disable=None) as progress:
        simulation = simulate(args, progress)
    print(tables.markdown(("", "simulated"), simulation.results().items()))
    counts = simulation.world.operations.most_common()
    print("Operations: " + ", ".join(f"{count:,} {kind}" for kind, count in counts))
    print(f"Simulated in {time.perf_counter() - start:.0f} s.")
    return 0 if simulation.is_over() else 1


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog=PROG, description=__doc__.partition("\n")[0])
    add = parser.add_argument
    whole, seconds = cli.number(int, 1), cli.number(float, 0)
    add("--workers", type=whole, default=1000, help="(default: %(default)s)")
    add("--runs", type=whole, default=5000, help="(default: %(default)s)")
    add("--hours", type=seconds, default=2, help="of a run (default: %(default)s)")
    add("--phases", type=whole, default=10, help="of a run (default: %(default)s)")
    text = "seconds between heartbeats, as for training (default: %(default)s)"
    add("--ping_every", type=cli.number(float, 1), default=60, help=text)
    text = "milliseconds of a file operation (default: %(default)s)"
    add("--latency", type=seconds, default=1, help=text)
    text = "by how many seconds clocks are wrong, at most (default: %(default)s)"
    add("--skew", type=seconds, default=300, help=text)
    text = "hours after which a worker is killed, on average (default: %(default)s)"
    add("--kills", type=seconds, default=50, help=f"{text}; 0: never")
    text = "hours after which a worker is stalled, on average (default: %(default)s)"
    add("--stalls", type=seconds, default=20, help=f"{text}; 0: never")
    add("--seed", type=cli.number(int, 0), default=0, help="(default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
