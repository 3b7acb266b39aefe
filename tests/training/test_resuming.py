"""Runs that are interrupted in earnest; `make soak` tries it more often."""

import pytest

from benchmarks.soak import resuming


@pytest.mark.slow
def test_interruptions_change_nothing(tmp_path):
    found = resuming.run(1, tmp_path, lambda: None)
    assert found.losses == []
