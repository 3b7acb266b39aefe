"""How a command ends that is run in this process."""

import contextlib
import io
import traceback
from collections.abc import Callable, Sequence
from typing import NamedTuple

# How lines begin that name what is left out, before a command goes on or gives up.
WARNINGS = ("Skip ", "Read ", "Keep ")


class End(NamedTuple):
    """How a command ended.

    Attributes:
      code: its exit code; None if it raised an exception.
      problem: what is wrong with that; empty if nothing is.
    """

    code: int | str | None
    problem: str = ""


def end(main: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> End:
    """Runs a command, and judges how it ends.

    It ends well if it returns 0, or 1 or 2 with one line that says why, after lines
    that name what was left out.

    Args:
      main: main function of the command.
      arguments: its arguments.
    """
    with (
        _terminal("strict") as printed,
        contextlib.redirect_stdout(printed),
        _terminal("backslashreplace") as errors,
        contextlib.redirect_stderr(errors),
    ):
        try:
            code = main(arguments)
        except SystemExit as end:
            code = end.code
        except Exception as error:  # Any of them is what we look for.
            *_, last = traceback.extract_tb(error.__traceback__)
            place = f"{last.filename.rpartition('/')[2]}:{last.lineno}"
            return End(None, f"{type(error).__name__} at {place}: {error}")
        errors.flush()
        lines = errors.buffer.getvalue().decode("utf-8").splitlines()
    if code == 0:
        return End(code)
    others = [line for line in lines if not line.startswith(WARNINGS)]
    if code not in (1, 2) or len(others) != 1 or ": error: " not in others[0]:
        text = " / ".join(others)[:300]
        return End(code, f"exit code {code} and {len(others)} lines: {text}")
    return End(code)


def _terminal(errors: str) -> io.TextIOWrapper:
    """A text file in memory that is as strict as standard output, or errors."""
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors=errors)
