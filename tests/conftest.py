"""Fixtures that several packages of tests share."""

import concurrent.futures
import contextlib
import ctypes
import fcntl
import gc
import multiprocessing
import os
import pathlib
import pty
import struct
import subprocess
import sys
import termios

import hypothesis
import psutil
import pytest

pytest.register_assert_rewrite("tests.control.playing")
ROOT = pathlib.Path(__file__).parent.parent
# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
SMALL = (
    "{tasks: [dummy], isolate_envs: thread, dumbnet: true, action_repeat: 100, "
    "overshooting: 0, learning_rate_ramp: 0, max_steps: 40, "
    "summarise_plan_returns: true}"
)
MODELS = 300e6  # Bytes in which models may wait to be freed.


if "PYTEST_XDIST_WORKER" in os.environ:  # Workers share the processors.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")


def pytest_collection_finish():
    """Spares the garbage collector all that was imported, which makes it quick."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def in_use():
    """Bytes that the process had after models were last freed."""
    return {"bytes": 0}


@pytest.fixture(autouse=True)
def free_models(in_use):
    """Frees models, whose layers and graphs refer to one another, once they are many.

    Looking for them takes a while, so that it is not done after each test.
    """
    yield
    process = psutil.Process()
    if process.memory_info().rss > in_use["bytes"] + MODELS:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # Back to the system, which C would not do.
        in_use["bytes"] = process.memory_info().rss


@pytest.fixture
def run_python():
    """Runs Python with the given arguments from the root of the project."""

    def run(*arguments, timeout=300, **variables):
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


@contextlib.contextmanager
def spawned():
    """A process that may render, unless it imports dm_control without OpenGL."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as executor:
        yield executor


@pytest.fixture(scope="module")
def process():
    """A process that the tests of a module share."""
    with spawned() as executor:
        yield executor


@pytest.fixture
def fresh_process():
    """A process of the test's own."""
    with spawned() as executor:
        yield executor


@pytest.fixture
def run_main(capsys):
    """Calls the main function of a script with the given arguments.

    Returns exit code, standard output and errors.
    """

    def run(main, *arguments):
        capsys.readouterr()
        try:
            code = main([*map(str, arguments)])
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="session")
def finished_runs(tmp_path_factory):
    """Logdir of two runs of two epochs each, and what their terminal received.

    Only to be read: several modules look at it. The first process of the tests that
    needs them trains them, for the others as well.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # That of all processes.
    received = folder / "finished_runs.txt"
    with open(folder / "finished_runs.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not received.exists():
            received.write_bytes(_train_two_runs(folder / "finished_runs"))
    return folder / "finished_runs", received.read_bytes().decode()


def _train_two_runs(logdir):
    """Trains two runs and returns what their terminal received."""
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("4H", 30, 100, 0, 0))
    command = [sys.executable, "-m", "planet.scripts.train", "--config", "debug"]
    command += ["--params", SMALL, "--logdir", str(logdir), "--num_runs", "2"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=end, stderr=end)
    os.close(end)
    received = []
    with contextlib.suppress(OSError):  # The other end is closed.
        while part := os.read(terminal, 4096):
            received.append(part)
    os.close(terminal)
    assert process.wait() == 0
    return b"".join(received)
