import numpy as np
import pytest

from planet.tools import readout


def make_data(noise=0.0, size=500):
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(size, 3))
    inputs = np.concatenate([hidden * [10, 5, 2], 0.1 * rng.normal(size=(size, 4))], 1)
    inputs = inputs @ np.linalg.qr(rng.normal(size=(7, 7)))[0] + 3
    targets = hidden @ rng.normal(size=(3, 2))
    targets /= targets.std(0)
    targets += noise * rng.normal(size=targets.shape)
    half = size // 2
    return (inputs[:half], targets[:half]), (inputs[half:], targets[half:])


def test_linear_functions_are_read():
    np.testing.assert_allclose(readout.r2(*make_data()), 1, atol=1e-3)
    noisy = readout.r2(*make_data(noise=1.0))
    np.testing.assert_allclose(noisy, 0.5, atol=0.1)


def test_what_is_not_there_is_not_read():
    (inputs, _), (others, _) = make_data()
    rng = np.random.default_rng(1)
    scores = readout.r2(
        (inputs, rng.normal(size=(250, 2))), (others, rng.normal(size=(250, 2)))
    )
    assert scores.max() < 0.1


def test_principal_components_are_those_that_vary_most():
    data = make_data()
    np.testing.assert_allclose(readout.r2(*data, components=3), 1, atol=0.01)
    assert readout.r2(*data, components=1).mean() < 0.9


@pytest.mark.parametrize("components", [None, 2])
def test_constant_targets_have_no_score(components):
    train, (inputs, targets) = make_data()
    constant = targets * [1, 0] + [0, 2]
    scores = readout.r2(train, (inputs, constant), components)
    assert np.isnan(scores).tolist() == [False, True]


def test_single_targets_keep_their_shape():
    (inputs, targets), (others, wanted) = make_data()
    scores = readout.r2((inputs, targets[:, :1]), (others, wanted[:, :1]))
    assert scores.shape == (1,)
