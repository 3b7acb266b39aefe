"""Ctrl-C and SIGTERM: noticed at once, obeyed where nothing is lost.

A program that handles them asks `check` between its steps. Where a step takes long and
there is nothing to save, such as an import, `at_once` lets a signal end the program in
the middle of it. A second signal always does.

Without `handled`, signals do what they always do and `check` never interrupts, so
that whoever calls from a program of their own keeps its habits.

What only its owner may go on with is checked too: `check` calls what `required` was
given, and so does `confirm`, which is for moments before something is written.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PR_SET_PDEATHSIG = 1  # Of linux/prctl.h.


class Interrupted(KeyboardInterrupt):
    """The program was asked to end.

    Attributes:
      code: Exit code that says so: 130 for Ctrl-C, 143 for SIGTERM.
    """

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.code = _code(number)


class _State:
    """The signals of a process are handled in one place, so there is one of these."""

    received: int | None = None
    immediate = 0  # How many `at_once` we are in.
    endings: tuple[Callable[[], None], ...] = ()
    requirements: tuple[Callable[[], None], ...] = ()


_state = _State()


def check() -> None:
    """Interrupts what should not go on; for moments at which that is safe.

    Raises:
      Interrupted: A signal has arrived.
      Exception: What a requirement raises.
    """
    confirm()
    if _state.received is not None:
        raise Interrupted(_state.received)


def confirm() -> None:
    """Raises what a requirement raises; to be called before writing."""
    for requirement in _state.requirements:
        requirement()


def end_on_signals() -> None:
    """Lets signals end the process without a traceback, for as long as it imports."""
    for number in SIGNALS:
        signal.signal(number, lambda number, _: os._exit(_code(number)))


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Handles the signals in this context; does nothing outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _receive) for number in SIGNALS}
    try:
        yield
    finally:
        _state.received = None
        for number, handler in before.items():
            signal.signal(number, handler)


def reclaim() -> None:
    """Handles signals as before where a library has put handlers of its own in place.

    Python does not know of those. It does nothing outside the main thread.
    """
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, signal.getsignal(number))


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """Lets a signal end the process right in this context."""
    _state.immediate += 1
    try:
        check()
        yield
    finally:
        _state.immediate -= 1


@contextlib.contextmanager
def left_to_parent() -> Iterator[None]:
    """Blocks signals in processes that are started in this context."""
    resource_tracker.ensure_running()  # Starting it later would unblock SIGINT.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore() -> None:
    """Leaves signals to the parent of this process, which was started while blocked.

    What it starts in turn can be terminated again.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def end_with_parent(pid: int | None = None) -> None:
    """Has Linux kill this process when the thread that started it ends.

    Args:
      pid: Id of the parent; None: multiprocessing knows it.
    """
    if sys.platform != "linux":
        return
    if pid is None and (parent := multiprocessing.parent_process()):
        pid = parent.pid
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if pid is not None and os.getppid() != pid:  # It has ended before.
        os._exit(1)


@contextlib.contextmanager
def ending(action: Callable[[], None]) -> Iterator[None]:
    """Has an action done if the process ends `at_once`, when no `finally` is reached.

    Args:
      action: Called before those of outer contexts. It must not wait for other threads.
    """
    before = _state.endings
    _state.endings = (action, *before)
    try:
        yield
    finally:
        _state.endings = before


@contextlib.contextmanager
def required(requirement: Callable[[], None]) -> Iterator[None]:
    """Has a requirement checked in this context; it raises what ends the work."""
    before = _state.requirements
    _state.requirements = (*before, requirement)
    try:
        yield
    finally:
        _state.requirements = before


def _receive(number, _):
    """Notes a first signal; ends the process if it was told before, or may end now."""
    if _state.received is None and not _state.immediate:
        _state.received = number
        print("\nStopping; the same again ends at once.", flush=True)
        return
    for action in _state.endings:
        action()
    os._exit(_code(number))


def _code(number: int) -> int:
    return 128 + number
