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


@pytest.fixture
def updates(run_python):
    """What came of updates with parameters, by so many devices of a process."""

    def run(devices, *params):
        text = json.dumps(params)
        done = run_python("-m", "tests.training.replicated", devices, text)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

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


def test_a_single_replica_changes_nothing(updates):
    cases = [{"overshooting": 0, "distribute": x} for x in ("none", "mirrored")]
    alone, mirrored = updates(1, *cases)
    assert mirrored == alone


@pytest.mark.slow
def test_replicas_have_noise_of_their_own(updates):
    """If both halves of a batch are alike, their losses differ by noise alone."""
    cases = [{"overshooting": 0, "distribute": x} for x in ("none", "mirrored")]
    alone, mirrored = updates(2, *cases)
    for key in ("total", "zero_step/divergence"):
        assert alone["scalars"][0][key] != pytest.approx(
            mirrored["scalars"][0][key], rel=1e-4
        )
