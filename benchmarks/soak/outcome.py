"""What a case of the soak test reports."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

Progress = Callable[[], None]


class Outcome(NamedTuple):
    """How often something was tried, and how often nothing was lost.

    Attributes:
      tried: number of attempts.
      survived: number of those after which everything was as promised.
      losses: one line for each attempt that failed.
    """

    tried: int
    survived: int
    losses: list[str]


def count(tries: int, losses: Sequence[str]) -> Outcome:
    """The outcome of attempts, of which each loss names one before its first colon."""
    failed = {line.partition(":")[0] for line in losses}
    return Outcome(tries, tries - len(failed), list(losses))
