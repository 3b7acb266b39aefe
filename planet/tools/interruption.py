"""Ctrl-C and SIGTERM: noticed at once, obeyed where nothing is lost.

A program that handles them asks `check` between its steps. Where a step takes long and
there is nothing to save, such as an import, `at_once` lets a signal end the program in
the middle of it. A second signal always does.

Without `handled`, signals do what they always do and `check` never interrupts, so
that whoever calls from a program of their own keeps its habits.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)


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
    endings: tuple[Callable[[], None], ...] = ()
    patience = 0  # How many `at_once` we are in.


_state = _State()


def check() -> None:
    """Raises Interrupted if a signal has arrived; for moments when that is safe."""
    if _state.received is not None:
        raise Interrupted(_state.received)


@contextlib.contextmanager
def handled(ending: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Handles the signals in this context, which must be in the main thread.

    Args:
      ending: Called before the process ends in the middle of `at_once`, where no
          `finally` is reached. It must not wait for other threads.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("signals can be handled in the main thread only")
    _state.received, _state.endings = None, (ending,)
    before = {number: signal.signal(number, _receive) for number in SIGNALS}
    try:
        yield
    finally:
        _state.received, _state.endings = None, ()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def at_once(ending: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Lets a signal end the process right in this context.

    Args:
      ending: Called before, in addition to that of `handled`.
    """
    check()
    endings = _state.endings
    _state.endings = (ending, *endings)
    _state.patience += 1
    try:
        yield
    finally:
        _state.patience -= 1
        _state.endings = endings


def _receive(number, _):
    """Notes a first signal; ends the process if it was told before, or may end now."""
    if _state.received is None and not _state.patience:
        _state.received = number
        print("\nStopping; the same again ends at once.", flush=True)
        return
    for ending in _state.endings if _state.received is None else ():
        ending()
    os._exit(_code(number))


def _code(number: int) -> int:
    return 128 + number
