"""Replicas on devices of one process; tests/scale has those of several processes."""

import json

import pytest

MODELS = {
    "rssm": {"overshooting": 0},
    "overshooting": {"overshooting": 3},
    "behavior": {"use_policy": True, "use_value": True, "marwil_rate": 0.5},
    "joined": {
        "use_policy": True,
        "use_value": True,
        "stoch_policy": True,
        "detach_policy": False,
        "policy_reduce": "sum",
    },
    "clockwork": {
        "model_size": [8, 8],
        "state_size": [4, 4],
        "cw_tau": [1, 2],
        "cell_as_prior": 1.0,
        "overshooting": 0,
    },
    "tap": {"tap_cell": "rssm", "overshooting": 0},
}


START = """
import json
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * {devices},
)
from planet.scripts import configs, train
from planet.training import distribution
"""


@pytest.fixture
def updates(run_python):
    """What came of updates with parameters, by so many devices of a process."""

    def run(devices, *params):
        text = json.dumps(params)
        program = "tests.training.replicated"
        done = run_python("-m", program, devices, text, timeout=600)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture
def run_on_devices(run_python):
    """What a program prints that has so many devices, and names with these values."""

    def run(devices, program, **values):
        given = "".join(f"{name} = {value!r}\n" for name, value in values.items())
        start = START.format(devices=devices)
        done = run_python("-c", start + given + program)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def assert_equal(actual, expected):
    """Compares losses, metrics and weights after some updates."""
    assert len(actual["scalars"]) == len(expected["scalars"]) == 4
    for step, scalars in enumerate(expected["scalars"]):
        for key, value in scalars.items():
            found = actual["scalars"][step][key]
            assert found == pytest.approx(value, rel=1e-5, abs=1e-5), (step, key)
        assert list(actual["scalars"][step]) == list(scalars)
    assert actual["weights"] == pytest.approx(expected["weights"], rel=1e-4)
    assert actual["iterations"] == expected["iterations"]


@pytest.mark.parametrize(
    ("devices", "names"),
    [
        (2, ["rssm"]),
        pytest.param(2, list(MODELS), marks=pytest.mark.slow),
        pytest.param(4, list(MODELS), marks=pytest.mark.slow),
    ],
)
def test_losses_and_gradients_are_those_of_the_joint_batch(updates, devices, names):
    params = [
        {**MODELS[name], "mean_only": True, "distribute": distribute}
        for name in names
        for distribute in ("none", "mirrored")
    ]
    found = updates(devices, *params)
    for alone, mirrored in zip(found[::2], found[1::2], strict=True):
        assert (alone["replicas"], mirrored["replicas"]) == (1, devices)
        assert_equal(mirrored, alone)


@pytest.mark.slow
def test_xla_compiles_what_replicas_do_between_waiting_for_one_another(updates):
    settings = {**MODELS["behavior"], **MODELS["tap"], "mean_only": True}
    params = [
        {**settings, "distribute": "none", "jit": "never"},
        {**settings, "distribute": "mirrored", "jit": "always"},
    ]
    alone, compiled = updates(2, *params)
    assert compiled["replicas"] == 2
    assert_equal(compiled, alone)


@pytest.mark.slow
def test_a_single_replica_changes_nothing(updates):
    cases = [{"overshooting": 0, "distribute": x} for x in ("none", "mirrored")]
    alone, mirrored = updates(1, *cases)
    assert mirrored == alone


# Mean and variance over the replicas of a number that each draws, with two seeds.
DRAWN = """
import tensorflow as tf
from planet.tools import noise, replicas

def draw(batch, seed):
    with noise.stream(seed):
        drawn = noise.normal([])
    mean = replicas.mean(drawn)
    return mean, replicas.mean((drawn - mean) ** 2)

function = distribution.find(configs.load("debug", {"distribute": "mirrored"})).function
compiled = function(draw, "never")
for number in (0, 1, 0):
    batch, seed = {"length": tf.ones([4])}, tf.constant([0, number])
    print(*(float(x) for x in compiled(batch, seed)))
"""


def test_replicas_have_noise_of_their_own(run_on_devices):
    lines = run_on_devices(2, DRAWN).splitlines()
    first, second, again = ([float(x) for x in line.split()] for line in lines)
    assert first == again != second
    assert min(first[1], second[1]) > 0.01


TRAINED = """
for steps, distribute in ((12, "mirrored"), (24, "mirrored"), (36, "none")):
    params = {**PARAMS, "max_steps": steps, "distribute": distribute}
    command = ["--logdir", LOGDIR, "--config", "debug", "--params", json.dumps(params)]
    assert train.main(command) == 0
"""


@pytest.mark.slow
def test_a_run_trains_and_goes_on(run_on_devices, tmp_path):
    params = {
        "tasks": ["dummy"],
        "isolate_envs": "thread",
        "observations": "state",
        "action_repeat": 100,
        "batch_shape": [4, 10],
        "overshooting": 0,
        "train_steps": 8,
        "test_steps": 4,
        "use_policy": True,
        "use_value": True,
        "seed": 1,
    }
    out = run_on_devices(2, TRAINED, PARAMS=params, LOGDIR=str(tmp_path))
    assert out.count("by 2 replicas.") == 2
    assert "Continue from the checkpoint of step 12." in out
    assert "Continue from the checkpoint of step 24." in out
    lines = (tmp_path / "00001" / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert steps == [8, 12, 20, 24, 32, 36]
    assert (tmp_path / "00001" / "DONE").exists()
