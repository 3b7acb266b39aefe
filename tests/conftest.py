"""Fixtures that several packages of tests share."""

import concurrent.futures
import multiprocessing
import os
import pathlib
import subprocess
import sys

import hypothesis
import pytest

pytest.register_assert_rewrite("tests.control.playing")
ROOT = pathlib.Path(__file__).parent.parent
# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


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


@pytest.fixture(scope="module")
def process():
    """A process that may render."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as executor:
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
