"""Follows docs/extending.md to the letter: writes its files, applies its changes."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "extending.md").read_text()
FILES = dict(
    re.findall(r"^`(my_ideas/\S+)`:\n\n```python\n(.*?)```", TEXT, re.M | re.S)
)
CHANGES = re.findall(r"^In `(planet/\S+)`:\n\n```diff\n(.*?)```", TEXT, re.M | re.S)
COMMANDS = re.findall(r"^    python -m planet.scripts.train (.*)$", TEXT, re.M)
# The smallest run that seeds, learns, plans, tests and saves.
SMALL = "dumbnet: true, max_steps: 20"


@pytest.fixture
def package(tmp_path):
    """A folder with the package that the page describes."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def parameters(marker):
    """The parameters of the command that contains a marker."""
    (command,) = [line for line in COMMANDS if marker in line]
    return re.search(r"\{(.*)\}", command)[1]


def train(folder, params, **variables):
    """Runs the debug config in a folder; returns the lines of its log."""
    command = ["--logdir", "logdir", "--config", "debug", "--params", f"{{{params}}}"]
    result = subprocess.run(
        [sys.executable, "-m", "planet.scripts.train", *command],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert (folder / "logdir" / "00001" / "DONE").exists()
    return result.stdout


def test_page_has_all_doors():
    assert len(FILES) == 4
    assert {path for path, _ in CHANGES} == {
        "planet/scripts/configs.py",
        "planet/scripts/tasks.py",
        "planet/training/define_model.py",
    }
    assert len(COMMANDS) == 5


def test_doors_of_a_package_of_ones_own(package):
    doors = map(parameters, ("leaky", "patches", "shooting", "my_ideas.envs"))
    params = ", ".join((*doors, SMALL))
    output = train(package, params, PYTHONPATH=str(ROOT))
    assert "LeakyRNN of belief 10" in output
    assert re.search(r"head_image +\d\S+ +Decoder", output)


@pytest.mark.slow
def test_doors_inside_the_project(package):
    project = package / "project"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "planet", project / "planet", ignore=ignored)
    shutil.copy(package / "my_ideas" / "leaky.py", project / "planet" / "models")
    for name, diff in CHANGES:
        apply(project / name, diff.splitlines(keepends=True))
    params = (
        f"model: leaky, tasks: [pendulum_swingup], {parameters('smoothness')}, {SMALL}"
    )
    output = train(project, params, PYTHONPATH=str(project))
    assert "LeakyRNN of belief 10" in output
    events = b"".join(x.read_bytes() for x in project.glob("logdir/00001/train/*"))
    assert b"loss/zero_step/smoothness" in events


def apply(path, diff):
    """Adds the lines marked with a plus between their context, which occurs once."""
    before = "".join(line[1:] for line in diff if line[0] != "+")
    after = "".join(line[1:] for line in diff if line[0] in "+ ")
    text = path.read_text()
    assert text.count(before) == 1, (path, before)
    path.write_text(text.replace(before, after))
