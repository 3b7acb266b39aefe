"""One try of each case of the soak test that trains; the rest is for `make soak`."""

import pytest

from benchmarks.soak import interrupts, kills


@pytest.mark.parametrize(
    "case", [interrupts, pytest.param(kills, marks=pytest.mark.slow)]
)
def test_nothing_is_lost(case, tmp_path):
    found = case.run(1, tmp_path, lambda: None)
    assert found.losses == []
