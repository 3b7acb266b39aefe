"""What a case of the soak test reports."""

from collections.abc import Callable
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
