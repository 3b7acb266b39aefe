"""Runs the program on docs/api.md, as a script of a user."""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs" / "api.md").read_text()
# The exported agent also acts where this package cannot be imported.
ALONE = """
import sys
sys.modules["planet"] = None
import numpy as np
import tensorflow as tf

exported = tf.saved_model.load("balance_agent")
actions = []
for _ in range(2):
    memory = exported.signatures["reset"](seed=tf.constant(3))
    for level in (0, 100, 200):
        image = tf.fill([64, 64, 3], tf.constant(level, tf.uint8))
        memory = exported.signatures["act"](image=image, **memory)
        actions.append(memory.pop("action").numpy())
first, second = np.split(np.stack(actions), 2)
assert first.shape == (3, 1)
assert np.array_equal(first, second)
assert len(np.unique(first)) == 3
assert not any(name.startswith("planet.") for name in sys.modules)
"""


def run(folder, program):
    """Runs a script in a folder; returns its output."""
    script = folder / "script.py"
    script.write_text(program)
    result = subprocess.run(
        [sys.executable, script],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_program_of_the_page(tmp_path):
    program = "\n".join(re.findall(r"```python\n(.*?)```", TEXT, re.S))
    output = run(tmp_path, program)
    assert re.search(r"^train 1 10 ", output, re.M)
    assert re.search(r"^test 1 20 \d", output, re.M)
    assert "(10, 64, 64, 3)" in output
    assert re.search(r"^cheetah_run \(17,\) \S+ False$", output, re.M)
    run(tmp_path, ALONE)


def test_importing_is_light(tmp_path):
    heavy = "tensorflow keras numpy gymnasium matplotlib ml_collections planet.api"
    program = f"""
import sys
import planet
assert set(planet.__all__) <= set(dir(planet))
assert not set({heavy.split()}) & set(sys.modules)
try:
    planet.lod
except AttributeError as error:
    print(error)
"""
    assert run(tmp_path, program) == "module 'planet' has no attribute 'lod'\n"
