import os
import subprocess
import sys

import pytest

from tests import conftest


@pytest.mark.parametrize(
    "name", ["compile_scores", "compile_histograms", "plot_scores"]
)
def test_commands_of_the_original(name, tmp_path):
    """They find the package of their checkout, from anywhere, whatever is installed."""
    (tmp_path / "planet").mkdir()
    (tmp_path / "planet" / "__init__.py").write_text("raise AssertionError")
    result = subprocess.run(
        [sys.executable, conftest.ROOT / "results" / "scores" / f"{name}.py", "--help"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"usage: planet.scripts.{name} ")
