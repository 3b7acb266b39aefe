"""Imports TensorFlow without the lines that it prints on stderr whatever happens."""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import os
import platform
import re
import sys
from collections.abc import Iterator

LEVEL = "TF_CPP_MIN_LOG_LEVEL"  # Messages of lower levels are left out; 3: all.
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
_NOISE = re.compile(
    rb"[IWE]\d{4} [\d:.]+ +\d+ \S+:\d+\]|To enable the following instructions|"
    rb"WARNING: All log messages before absl::InitializeLog"
)


def load() -> None:
    """Imports TensorFlow; has to come before whatever else imports it.

    Its messages about processor and accelerators are left out, then and later, unless
    the environment variable `TF_CPP_MIN_LOG_LEVEL` asks for them: 0 shows all. What
    Python and others print meanwhile is shown when the import is over.
    """
    shown = os.environ.setdefault(LEVEL, "3") != "3"
    with contextlib.nullcontext() if shown else _without_noise():
        importlib.import_module("tensorflow")


def favour_convolutions() -> None:
    """Has oneDNN compute on x86 processors; has to come before TensorFlow is imported.

    TensorFlow leaves it off on some, such as AMD's before Zen 4. Small products are
    slower by it, but an update of a run that sees images is mostly convolutions, and
    takes two thirds of the time. If the environment variable `TF_ENABLE_ONEDNN_OPTS` is
    set, it decides.
    """
    if platform.machine() == "x86_64":
        os.environ.setdefault(ONEDNN, "1")


@contextlib.contextmanager
def _without_noise() -> Iterator[None]:
    """Holds back what is written to stderr, by C++ as well, to leave out the noise.

    If the process crashes, so that nothing can be shown, Python says where it was.
    """
    try:
        stderr = os.dup(2)
    except OSError:  # It is closed.
        yield
        return
    held = os.memfd_create("stderr")
    watched = faulthandler.is_enabled()
    if not watched:
        faulthandler.enable(stderr)
    _flush()
    os.dup2(held, 2)
    try:
        yield
    finally:
        _flush()
        os.dup2(stderr, 2)
        if not watched:
            faulthandler.disable()
        os.close(stderr)
        with os.fdopen(held, "rb") as lines:
            lines.seek(0)
            for line in lines:
                if not _NOISE.match(line):
                    os.write(2, line)


def _flush() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()
