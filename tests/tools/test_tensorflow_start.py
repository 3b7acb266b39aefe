import pytest

PROGRAM = """
import os, sys
from planet.tools import tensorflow_start
assert "tensorflow" not in sys.modules
class Finder:
    def find_spec(self, name, *_):
        if name == "tensorflow":
            os.write(2, b"Illegal instruction.\\n")
            print("A warning of Python's.", file=sys.stderr)
sys.meta_path.insert(0, Finder())
tensorflow_start.load()
print("Afterwards.", file=sys.stderr)
import tensorflow as tf
tf.function(lambda x: x + 1)(tf.zeros(1))
"""


def test_noise_is_left_out_and_nothing_else(run_python):
    result = run_python("-c", PROGRAM, TF_CPP_MIN_LOG_LEVEL="3")
    assert result.returncode == 0, result.stderr
    lines = ["Illegal instruction.", "A warning of Python's.", "Afterwards."]
    assert result.stderr.splitlines() == lines


@pytest.mark.slow
def test_noise_can_be_asked_for(run_python):
    result = run_python("-c", PROGRAM, TF_CPP_MIN_LOG_LEVEL="0")
    assert result.returncode == 0, result.stderr
    assert "cpu_feature_guard" in result.stderr


@pytest.mark.parametrize("failure", ["raise ImportError('broken')", "os.abort()"])
def test_failures_are_shown(failure, run_python):
    program = PROGRAM.replace('os.write(2, b"Illegal instruction.\\n")', failure)
    result = run_python("-c", program, TF_CPP_MIN_LOG_LEVEL="3")
    assert result.returncode
    assert "tensorflow_start.py" in result.stderr
    assert ("ImportError: broken" in result.stderr) != ("Abort" in result.stderr)


@pytest.mark.slow
def test_a_closed_stderr_does_no_harm(run_python):
    program = "import os; os.close(2)\nfrom planet.tools import tensorflow_start\n"
    result = run_python("-c", program + "tensorflow_start.load(); print('done')")
    assert (result.returncode, result.stdout) == (0, "done\n")
