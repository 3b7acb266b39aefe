"""The processes that train together, as `TF_CONFIG` describes them to TensorFlow.

    TF_CONFIG='{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker",
    "index": 0}}'

The list is the same for all, the task is each one's own.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from planet.tools import parameters

VARIABLE = "TF_CONFIG"
JOBS = ("chief", "worker")
EXAMPLE = (
    '{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


class LostError(Exception):
    """Another process has ended, or cannot be reached; the message is for the user."""


class Cluster(NamedTuple):
    """The processes that train together.

    Attributes:
      addresses: where each listens, HOST:PORT, by its job and its index there; first
        that of the chief, which is the job `chief`, or the first `worker` where there
        is none.
      rank: which of them this process is, from 0.
    """

    addresses: dict[tuple[str, int], str]
    rank: int

    @property
    def is_chief(self) -> bool:
        """Whether this process trains, and the others help with updates."""
        return self.rank == 0

    def lost(self, reason: str) -> LostError:
        """An error that names the processes that what TensorFlow says is about."""
        named = re.findall(r"/job:(\w+)/(?:replica:0/)?task:(\d+)", reason)
        found = {self.addresses.get((job, int(index))) for job, index in named}
        names = sorted(name for name in found if name) or [*self.addresses.values()]
        cause = re.search(r"(?s:.*)aborted by: ([^\n]{,200})", reason)
        said = cause[1] if cause else " ".join(reason.split())[:200]
        return LostError(
            f"another process, {' or '.join(names)}, has ended or cannot be reached "
            f"({said})"
        )


def read() -> Cluster:
    """The cluster in the environment variable.

    Raises:
      ParameterError: it is missing, or does not describe a cluster.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        raise parameters.ParameterError(
            f"distribute: multi_worker takes the environment variable {VARIABLE}, such "
            f"as {EXAMPLE}"
        )
    try:
        return _parse(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise parameters.ParameterError(
            f"{VARIABLE} must be like {EXAMPLE}: {error}"
        ) from None


def _parse(values: Any) -> Cluster:
    """The cluster in what JSON says; ValueError where it says something else."""
    jobs = _mapping(_mapping(values, VARIABLE).get("cluster"), "cluster")
    for job, addresses in jobs.items():
        if job not in JOBS:
            raise ValueError(f"jobs are {' and '.join(JOBS)}, not {job!r}")
        if not isinstance(addresses, list) or not addresses:
            raise ValueError(f"{job} must be a list of addresses, not {addresses!r}")
    if len(jobs.get("chief", [])) > 1:
        raise ValueError("there can be only one chief")
    addresses = {
        (job, index): address
        for job in JOBS
        for index, address in enumerate(jobs.get(job, []))
    }
    for address in addresses.values():
        if not isinstance(address, str) or not re.fullmatch(r".+:[0-9]{1,5}", address):
            raise ValueError(f"an address is HOST:PORT, not {address!r}")
    if len(set(addresses.values())) < len(addresses):
        raise ValueError("two of the addresses are the same")
    task = _mapping(values.get("task"), "task")
    job, index = str(task.get("type")), task.get("index")
    if job not in jobs:
        raise ValueError(
            f"the type of the task must be {' or '.join(jobs)}, not {job!r}"
        )
    amount = len(jobs[job])
    if type(index) is not int or not 0 <= index < amount:
        raise ValueError(
            f"the index of the task must be from 0 to {amount - 1}, not {index!r}"
        )
    return Cluster(addresses, [*addresses].index((job, index)))


def _mapping(value: Any, what: str) -> Mapping[Any, Any]:
    if not isinstance(value, dict) or not value:
        raise ValueError(f"{what} must be a mapping, not {value!r}")
    return value
