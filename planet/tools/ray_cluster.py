"""Ray: a cluster that is joined, or one of this process alone, which ends with it.

Ray is an extra, and is imported only inside functions.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import psutil

from planet.tools import interruption

ATTEMPTS = 5  # To start Ray, whose helpers have to start within 15 seconds.
LONGEST_FOLDER = 30  # Letters; the names of Ray's sockets in it have a limit.
# Before Ray is imported: it neither counts how it is used nor measures itself, and
# leaves it to us to say what happens. Its processes are as urgent as ours, where they
# would otherwise give way to all others.
ENVIRONMENT = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_worker_niceness": "0",
}
# Waits until its parent has ended, then ends the processes and removes the folder.
GUARD = 'cat; kill -9 "$@"; rm -rf "$0"'


class ClusterError(RuntimeError):
    """There is no cluster, or it has failed; the message is one line."""


class Cluster(NamedTuple):
    """What this process is connected to.

    Attributes:
      description: where that is, in words that follow a verb.
      folder: that of a Ray of our own, for files that end with it, or None.
      dashboard: address of the dashboard, without the scheme, or "".
    """

    description: str
    folder: str | None = None
    dashboard: str = ""


def check_address(value: Any) -> str:
    """Where a cluster is, HOST:PORT, or `auto`, which leaves it to Ray.

    Raises:
      ValueError: It is something else; the message says what is allowed.
    """
    if isinstance(value, str) and re.fullmatch(r"auto|[\w.:\[\]-]+:\d{1,5}", value):
        return value
    raise ValueError("auto or HOST:PORT")


@contextlib.contextmanager
def connected(address: str | None, **settings: Any) -> Iterator[Cluster]:
    """The Ray of this process, or one that it is connected to in this context.

    Args:
      address: of the cluster to join, see `check_address`; None: a Ray of our own,
        which ends with the context, or with this process, even if that is killed.
      settings: of a Ray of our own, see `ray.init`.

    Raises:
      ClusterError: There is no such cluster, or Ray does not start.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with contextlib.ExitStack() as stack:
        with _signals_kept(), interruption.at_once():
            import ray

            if ray.is_initialized():
                cluster = Cluster("on the Ray of this process")
            elif address is None:
                cluster = stack.enter_context(_own(settings))
            else:
                stack.callback(ray.shutdown)
                place = f"on the Ray cluster at {address}"
                failure = f"no Ray cluster at {address}"
                cluster = Cluster(place, dashboard=_start(failure, address=address))
        yield cluster


@contextlib.contextmanager
def _own(settings: Mapping[str, Any]) -> Iterator[Cluster]:
    """A Ray of this process alone, whose folder is removed at the end."""
    import ray

    above = tempfile.gettempdir()
    if len(above) > LONGEST_FOLDER:
        above = "/tmp"
    folder = tempfile.mkdtemp(prefix="r-", dir=above)
    here = psutil.Process()
    before = set(here.children(recursive=True))
    started: set[psutil.Process] = set()  # Once all of them are there.

    def abandon():
        for process in started or set(here.children(recursive=True)) - before:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        shutil.rmtree(folder, ignore_errors=True)

    def end():
        ray.shutdown()
        abandon()

    with interruption.ending(abandon), contextlib.ExitStack() as stack:
        stack.callback(end)
        for left in reversed(range(ATTEMPTS)):
            try:
                dashboard = _start(
                    "Ray does not start", address="local", _temp_dir=folder, **settings
                )
                break
            except ClusterError:
                end()
                if not left:
                    raise
                print("Ray does not start; try it again.", flush=True)
        started |= set(here.children(recursive=True)) - before
        stack.enter_context(_guarded(folder, started))
        yield Cluster("on a local Ray", folder, dashboard)


def _start(failure: str, **settings: Any) -> str:
    """Starts or joins Ray without its messages.

    Args:
      failure: what an error says, before its reason.
      settings: those of `ray.init`.

    Returns:
      The address of its dashboard, or "".

    Raises:
      ClusterError: That fails.
    """
    import ray

    try:
        context = ray.init(
            **settings, log_to_driver=False, logging_level=logging.CRITICAL
        )
    except Exception as error:  # Ray raises that very class, among others.
        reason = " ".join(str(error).split())
        raise ClusterError(f"{failure}: {reason}") from error
    return context.dashboard_url or ""


@contextlib.contextmanager
def _guarded(folder: str, processes: Iterable[psutil.Process]) -> Iterator[None]:
    """Has a folder removed and processes killed if this process is killed itself.

    Otherwise, some of Ray's would stay for another minute.
    """
    with subprocess.Popen(
        ["sh", "-c", GUARD, folder, *(str(process.pid) for process in processes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as guard:
        try:
            yield
        finally:
            guard.kill()


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Keeps how signals are handled, which Ray would change."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in interruption.SIGNALS}
    try:
        yield
    except SystemExit:  # What Ray makes of SIGTERM as long as it starts.
        raise interruption.Interrupted(signal.SIGTERM) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
