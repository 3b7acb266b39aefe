"""What `pip install` brings, and what `make` looks for."""

import ast
import importlib.metadata
import re
import subprocess
import sysconfig

import pytest

from tests import conftest

COMMANDS = {
    point.name: point
    for point in importlib.metadata.entry_points(group="console_scripts")
    if point.dist.name == "planet"
}


def modules_with_main():
    """The modules that `python -m` can start."""
    for path in (conftest.ROOT / "planet" / "scripts").glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name == "main":
                yield f"planet.scripts.{path.stem}"


def test_every_script_is_a_command():
    found = [point.module for point in COMMANDS.values()]
    assert sorted(found) == sorted(modules_with_main())


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_commands_say_what_they_do(command):
    path = f"{sysconfig.get_path('scripts')}/{command}"
    result = subprocess.run([path, "--help"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"usage: {COMMANDS[command].module} ")


def requirements(package):
    """Names and markers of what a package requires, without its extras."""
    for requirement in importlib.metadata.requires(package):
        specifier, _, marker = requirement.partition(";")
        if "extra" not in marker:
            name = re.match("[A-Za-z0-9_.-]+", specifier)[0]
            yield name.lower().replace("_", "-"), marker.strip()


def test_requirements_of_the_control_suite_stand_in_for_it():
    """On Python 3.13, without labmaze; setuptools is only for building."""
    own = set(requirements("planet"))
    assert ("dm-control", 'python_version < "3.13"') in own
    since = {name for name, marker in own if marker in ("", 'python_version >= "3.13"')}
    needed = {name for name, _ in requirements("dm_control")}
    assert needed - since == {"labmaze", "setuptools"}


def test_unsuitable_pythons_are_refused_in_a_line(tmp_path):
    command = ["make", "venv", f"VENV={tmp_path}/venv", "PYTHON=false no-such-python"]
    result = subprocess.run(command, cwd=conftest.ROOT, capture_output=True, text=True)
    assert result.returncode == 2
    line, _ = result.stderr.splitlines()  # And make's own.
    versions, names = "Python 3.10, 3.11, 3.12 or 3.13", "false no-such-python"
    assert line.startswith(
        f"PlaNet needs {versions} (TensorFlow has no wheel for 3.14)"
    )
    assert line.endswith(f"none of these is: {names}. Name one with PYTHON=...")
    assert not any(tmp_path.iterdir())
    assert importlib.metadata.metadata("planet")["Requires-Python"] == ">=3.10,<3.14"
