"""What a full disk leaves of a command that writes: one line, and the old output."""

import os
import resource
import subprocess
import sys

import pytest

from benchmarks.soak import samples
from tests import conftest

COMMANDS = [
    ("compile_scores", "runs", "old.json"),
    ("compile_histograms", "runs", "old.json"),
    ("fetch_events", "--logdir", "runs", "--output", "old.csv"),
    ("fetch_events", "--logdir", "runs", "--output", "old.json"),
    ("create_video", "film.gif", "--output", "old.gif"),
    ("plot_scores", "scores.json", "--output", "old.png"),
    ("plot_scores", "scores.json", "--output", "old.svg"),
]


@pytest.mark.parametrize(("command", "arguments"), [(x, y) for x, *y in COMMANDS])
def test_output_is_complete_or_as_before(command, arguments, tmp_path):
    samples.write(tmp_path)
    old = tmp_path / arguments[-1]
    old.write_text("old")
    before = sorted(tmp_path.rglob("*"))
    result = subprocess.run(
        [sys.executable, "-m", f"planet.scripts.{command}", *arguments, "--overwrite"],
        cwd=tmp_path,
        env=os.environ
        | {"PYTHONPATH": str(conftest.ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50)),
    )
    assert result.returncode == 1, result.stderr
    (line,) = result.stderr.splitlines()
    assert line == f"planet.scripts.{command}: error: [Errno 27] File too large"
    assert old.read_text() == "old"
    assert sorted(tmp_path.rglob("*")) == before
