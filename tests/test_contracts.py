"""Who may import whom."""

import pathlib
import subprocess
import sysconfig

ROOT = pathlib.Path(__file__).parent.parent
ENVIRONMENT_SIDE = (
    "planet.control.batch_env",
    "planet.control.dummy_env",
    "planet.control.inspection",
    "planet.control.opengl",
    "planet.control.random_episodes",
    "planet.control.suite",
    *(
        f"planet.control.wrappers.{path.stem}"
        for path in (ROOT / "planet" / "control" / "wrappers").glob("[a-z]*.py")
    ),
    "planet.scripts.evaluate",
    "planet.scripts.random_returns",
    "planet.scripts.tasks",
    "planet.scripts.train",
    "planet.tools.cli",
    "planet.tools.episode_files",
    "planet.tools.tables",
)


def test_import_contracts_are_kept():
    command = pathlib.Path(sysconfig.get_path("scripts")) / "lint-imports"
    result = subprocess.run(
        [command, "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_environment_side_runs_without_tensorflow(run_python):
    modules = ", ".join(ENVIRONMENT_SIDE)
    heavy = "{'tensorflow', 'keras', 'tensorflow_probability'}"
    program = f"import sys, {modules}; print(*{heavy}.intersection(sys.modules))"
    result = run_python("-c", program)
    assert (result.returncode, result.stdout.strip()) == (0, ""), result.stderr
