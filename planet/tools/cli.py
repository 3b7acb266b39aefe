"""What the scripts' command lines share: one-line errors and kinds of arguments.

The kinds are for `type=` of `add_argument`; they create no files.
"""

import argparse
import dataclasses
import functools
import io
import math
import os
import pathlib
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Protocol

from planet.tools import parameters


class Main(Protocol):
    """The main function of a script, which returns the exit code."""

    def __call__(self, argv: Sequence[str] | None = None) -> int:
        """Takes the arguments; None for those of the process."""
        ...


@dataclasses.dataclass(frozen=True)
class _Word:
    """An argument that is given by itself or after a flag."""

    action: argparse.Action
    dest: str
    flag: str
    kind: Callable[[str], Any]
    several: bool
    required: bool


class Parser(argparse.ArgumentParser):
    """Argument parser whose errors are one line and end with exit code 2.

    Flags and other arguments may come in any order.

    Args:
      prog: Name that errors begin with.
      description: What the script does.
      epilog: Further text of `--help`, whose lines are kept as they are.
    """

    def __init__(self, prog: str, description: str, epilog: str | None = None):
        super().__init__(
            prog=prog,
            description=textwrap.fill(description, 78),
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self._words: list[_Word] = []
        # Names of files may hold bytes that are no text; stderr shows them already.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")

    def error(self, message: str) -> NoReturn:
        """Prints the message as one line and exits."""
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}\n")

    def add_word(
        self,
        dest: str,
        *flags: str,
        metavar: str,
        help: str,  # noqa: A002 - as in `add_argument`.
        type: Callable[[str], Any] = str,  # noqa: A002
        several: bool = False,
        required: bool = True,
    ) -> None:
        """Adds an argument that is given by itself or, the same, after a flag.

        Args:
          dest: Name of the attribute.
          *flags: The flag, and others that mean the same.
          metavar: What it is called in messages.
          help: What it is.
          type: Kind of the argument.
          several: Whether there may be more than one; the attribute is a list then.
          required: Whether there has to be one.
        """
        amount = "*" if several else "?"
        action = self.add_argument(
            f"{dest} by itself", nargs=amount, metavar=metavar, help=help
        )
        self._words.append(_Word(action, dest, flags[0], type, several, required))
        self.add_argument(
            *flags,
            dest=dest,
            type=type,
            nargs="+" if several else None,
            action="extend" if several else "store",
            metavar=metavar,
            help=f"the same as {metavar} by itself",
        )

    def parse_args(self, args=None, namespace=None):
        """Takes the arguments, also between flags; None for those of the process."""
        namespace, unknown = self.parse_known_intermixed_args(args, namespace)
        for text in unknown:
            if text.startswith("-"):
                known = self._option_string_actions
                flag = text.partition("=")[0]
                self.error(parameters.unknown("flag", flag, known))
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        self._take_words(namespace)
        return namespace

    def _take_words(self, namespace: argparse.Namespace) -> None:
        """Gives each argument its words, unless its flag was given."""
        words = []
        for word in self._words:
            found = getattr(namespace, word.action.dest)
            delattr(namespace, word.action.dest)
            words += found if word.several else [found] * (found is not None)
        for word in self._words:
            if getattr(namespace, word.dest) is None and words:
                amount = len(words) if word.several else 1
                values = [self._convert(word, text) for text in words[:amount]]
                setattr(namespace, word.dest, values if word.several else values[0])
                del words[:amount]
        if words:
            self.error(f"unrecognized arguments: {' '.join(words)}")
        for word in self._words:
            if getattr(namespace, word.dest) is None and word.required:
                name = word.action.metavar
                self.error(f"give {name}, or {word.flag} {name}")

    def _convert(self, word: _Word, text: str) -> Any:
        try:
            return word.kind(text)
        except argparse.ArgumentTypeError as error:
            self.error(f"argument {word.action.metavar}: {error}")

    def add_params(self, others: str) -> None:
        """Adds the flag for settings that `parameters.read` is to read.

        Args:
          others: What they override.
        """
        self.add_argument(
            "--params",
            nargs="+",
            action="extend",
            default=[],
            metavar="PARAMS",
            help=f"settings that override those of {others}: key=value, FILE.yaml or a "
            "mapping such as '{tasks: [cheetah_run], overshooting: 0}'; of several, "
            "later ones count",
        )

    def add_overwrite(self) -> None:
        """Adds the flag without which no existing output is replaced."""
        self.add_argument(
            "--overwrite", action="store_true", help="replace existing output"
        )

    def refuse_existing(self, *paths: pathlib.Path) -> None:
        """Ends with an error if there is such a file, or a folder that is not empty."""
        for path in paths:
            if path.is_dir() and not any(path.iterdir()):
                continue
            if os.path.lexists(path):
                self.error(f"{str(path)!r} exists; --overwrite replaces it")


def main(prog: str) -> Callable[[Main], Main]:
    """Decorates the main function of a script, whose last errors become one line.

    An OSError, such as of a full disk, ends it with exit code 1, and Ctrl-C with 130.

    Args:
      prog: Name that the line begins with.
    """

    def decorate(function: Main) -> Main:
        @functools.wraps(function)
        def run(argv: Sequence[str] | None = None) -> int:
            try:
                return function(argv)
            except OSError as error:
                print(f"{prog}: error: {error}", file=sys.stderr)
                return 1
            except KeyboardInterrupt:
                print(f"\n{prog}: interrupted", file=sys.stderr)
                return 130

        return run

    return decorate


def existing_folder(text: str) -> pathlib.Path:
    """A folder that exists."""
    path = _path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not a folder")
    return path


def existing_file(text: str) -> pathlib.Path:
    """A file that exists."""
    path = _path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"{text!r} is not a file")
    return path


def output_file(*suffixes: str) -> Callable[[str], pathlib.Path]:
    """Kind of a file that can be written, with one of the suffixes, such as `.json`."""

    def convert(text: str) -> pathlib.Path:
        path = _path(text)
        if path.suffix.lower() not in suffixes:
            message = f"{text!r} must end with {' or '.join(suffixes)}"
            raise argparse.ArgumentTypeError(message)
        if path.is_dir():
            raise argparse.ArgumentTypeError(f"{text!r} is a folder")
        _require_writable(path, text)
        return path

    return convert


def output_folder(text: str) -> pathlib.Path:
    """A folder that can be written to, or can be created along with its parents."""
    path = _path(text)
    existing = path.absolute()
    while not os.path.lexists(existing):
        existing = existing.parent
    if not existing.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not a folder")
    _require_writable(existing, text)
    return path


def number(
    kind: type[int] | type[float], low: float, high: float = math.inf
) -> Callable[[str], int | float]:
    """Kind of a finite number from `low` to `high`."""
    check = parameters.number(low, high, whole=kind is int)

    def convert(text: str) -> int | float:
        try:
            value = kind(text)
        except ValueError:
            value = None
        try:
            return check(value)
        except ValueError as error:
            message = f"must be {error}, not {text!r}"
            raise argparse.ArgumentTypeError(message) from None

    return convert


def boolean(text: str) -> bool:
    """True or False, in upper or lower case."""
    words = {"true": True, "false": False}
    if text.lower() not in words:
        raise argparse.ArgumentTypeError(f"must be True or False, not {text!r}")
    return words[text.lower()]


def _path(text: str) -> pathlib.Path:
    """The path that a text stands for; refuses what cannot be a path."""
    try:
        path = pathlib.Path(text).expanduser()
        os.path.lexists(path)
        path.is_dir()
    except (OSError, RuntimeError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None
    if not text:
        raise argparse.ArgumentTypeError("'' is not a path")
    return path


def _require_writable(path: pathlib.Path, text: str) -> None:
    """Refuses an output whose folder is missing or cannot be written to."""
    folder = path if path.is_dir() else path.absolute().parent
    if not folder.is_dir():
        message = f"{text!r}: there is no folder {str(folder)!r}"
        raise argparse.ArgumentTypeError(message)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be written to")
