"""What the commands share: parsing of arguments, printing of tables."""

import argparse
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """Argument parser whose errors are one line, and whose texts stay as they are."""

    def __init__(self, **settings: Any):
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(formatter_class=formatter, allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """Prints what is wrong and ends the program with exit code 2."""
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}\n")


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Type of an argument: a whole number in [low, high]."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            message = f"must be a whole number from {low} to {high}, not {text!r}"
            raise argparse.ArgumentTypeError(message)
        return value

    return convert


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Markdown of a table whose columns are as wide as their texts."""
    lines = [[str(entry) for entry in line] for line in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    form = " | ".join(f"{{:{width}}}" for width in widths)
    return "\n".join(f"| {form.format(*line)} |" for line in lines)
