from hypothesis import given
from hypothesis import strategies as st

from planet.tools import schedule


@given(st.integers(1, 20), st.integers(1, 50), st.integers(1, 400))
def test_due_once_for_every_multiple(batch, every, updates):
    steps = [batch * (index + 1) for index in range(updates)]
    events = sum(schedule.due(step, batch, every) for step in steps)
    if batch <= every:
        assert events == steps[-1] // every
    else:
        assert events <= steps[-1] // every


def test_linear_schedule():
    assert [schedule.linear(step, 10) for step in (0, 5, 10, 20)] == [0, 0.5, 1, 1]
    assert schedule.linear(0, 0) == 1


@given(st.integers(1, 8), st.integers(1, 9), st.integers(1, 5), st.integers(0, 60))
def test_updates_are_the_batches_of_train_phases(batch, train, test, batches):
    phases = ([True] * train + [False] * test) * batches
    step = batch * batches
    assert schedule.updates(step, batch, train, test) == sum(phases[:batches])
