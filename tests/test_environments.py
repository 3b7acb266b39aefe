"""Follows docs/environments.md to the letter: writes its file, runs its commands."""

import os
import pathlib
import re
import shlex
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from planet.tools import episode_files

ROOT = pathlib.Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "environments.md").read_text()
FILES = dict(re.findall(r"^`(my_envs/\S+)`:\n\n```python\n(.*?)```", TEXT, re.M | re.S))
COMMANDS = re.findall(r"^    python (.*)$", TEXT, re.M)
# The smallest run that seeds, learns, plans, tests and saves.
SMALL = "dumbnet: true, max_steps: 10, "


@pytest.fixture
def run(tmp_path):
    """Runs a command of the page in a folder with its file, and returns its output."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def run(command):
        if "scripts.train" in command:
            command = command.replace('--params "{', f'--params "{{{SMALL}')
        result = subprocess.run(
            [sys.executable, *shlex.split(command)],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "MINARI_DATASETS_PATH": str(tmp_path / "minari"),
            },
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


def named(marker):
    """The command that contains a marker."""
    (command,) = [command for command in COMMANDS if marker in command]
    return command


def test_page_has_its_examples():
    assert list(FILES) == ["my_envs/dot.py"]
    assert len(COMMANDS) == 8


def test_first_look(run, tmp_path):
    out = run(named("dot.png"))
    assert "Pushes a dot that drifts, and is paid for keeping it in the middle." in out
    assert "image, uint8 [64, 64, 3]" in out
    with PIL.Image.open(tmp_path / "dot.png") as picture:
        seen = np.asarray(picture)
    yellow = (seen[..., 0] > 200) & (seen[..., 1] > 200) & (seen[..., 2] < 20)
    assert yellow.any()


@pytest.mark.slow
@pytest.mark.timeout(1800)  # Four runs.
def test_page(run, tmp_path):
    """All commands, in their order; each depends on those before."""
    pytest.importorskip("minari")
    out = {command: run(command) for command in COMMANDS}
    assert "sees              state, float32 [2]" in out[named("observations: state")]
    assert "5000 decisions" in out[named("episode_steps: 5000")]
    assert (
        "Episodes of my_envs.dot:Dot are cut after 1000 "
        in out[named("runs/dot --config")]
    )
    assert "Copied 1 episode of runs/dot/00001 to test" in out[named("runs/again")]
    assert "episodes of runs/dot/00001 in " in out[named("export")]
    assert "Copied 1 episode of minari:me/dot-v0 to test" in out[named("offline")]
    for name in ("dot", "small", "again", "offline"):
        folder = tmp_path / "runs" / name / "00001"
        assert (folder / "DONE").exists()
        episode = episode_files.read(episode_files.scan(folder / "train_episodes")[0])
        assert episode["image"].shape[1:] == (64, 64, 3)
        assert episode["place"].shape[1:] == (2,)
    text = (tmp_path / "runs" / "small" / "00001" / "config.yaml").read_text()
    assert "env_params: {side: 32, drift: 0.1}" in text
    assert "module_folders: " in text
