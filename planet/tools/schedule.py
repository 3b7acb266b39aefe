"""Quantities that depend on the step."""

from __future__ import annotations

import math


def due(step: int, batch_size: int, every: int) -> bool:
    """Whether a multiple of `every`, but not 0, lies in (step - batch_size, step].

    Args:
      step: steps so far.
      batch_size: how much the last update added to them.
      every: distance between events, in steps.
    """
    return step >= every and step % every < batch_size


def linear(step: int, ramp: int) -> float:
    """Rises from 0 at step 0 to 1 at step `ramp` and stays; a ramp of 0 is always 1."""
    return min(step / ramp, 1.0) if ramp else 1.0


def lengths(batch_size: int, train_steps: int, test_steps: int) -> dict[str, int]:
    """Batches of the phases `train` and `test`, given their sequences."""
    return {
        "train": math.ceil(train_steps / batch_size),
        "test": math.ceil(test_steps / batch_size),
    }


def updates(step: int, batch_size: int, train: int, test: int) -> int:
    """Updates made in the first `step` sequences.

    Args:
      step: sequences so far, of all phases.
      batch_size: sequences of a batch.
      train: batches of a train phase, each of which makes an update.
      test: batches of the test phase after it.
    """
    epochs, done = divmod(step // batch_size, train + test)
    return epochs * train + min(done, train)
