"""Who may import whom."""

import importlib
import pathlib
import pkgutil
import subprocess
import sysconfig

ROOT = pathlib.Path(__file__).parent.parent
ENVIRONMENT_SIDE = (
    "planet.control.batch_env",
    "planet.control.envs",
    "planet.control.random_episodes",
    "planet.control.real_agent",
    "planet.control.wrappers",
    "planet.scripts.ceiling",
    "planet.scripts.evaluate",
    "planet.scripts.random_returns",
    "planet.scripts.tasks",
    "planet.scripts.train",
    "planet.tools.cli",
    "planet.tools.episode_files",
    "planet.tools.tables",
)


def with_submodules(name):
    """The module and, if it is a package, all that is in it."""
    paths = getattr(importlib.import_module(name), "__path__", ())
    found = pkgutil.walk_packages(paths, f"{name}.")
    return [name, *(module.name for module in found)]


def test_import_contracts_are_kept():
    command = pathlib.Path(sysconfig.get_path("scripts")) / "lint-imports"
    result = subprocess.run(
        [command, "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_environment_side_runs_without_tensorflow(run_python):
    modules = ", ".join(x for name in ENVIRONMENT_SIDE for x in with_submodules(name))
    assert "planet.control.envs.adapters" in modules
    heavy = "{'tensorflow', 'keras', 'tensorflow_probability'}"
    program = f"import sys, {modules}; print(*{heavy}.intersection(sys.modules))"
    result = run_python("-c", program)
    assert (result.returncode, result.stdout.strip()) == (0, ""), result.stderr
