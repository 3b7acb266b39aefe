"""Tables as text."""

from collections.abc import Iterable, Sequence
from typing import Any


def markdown(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in Markdown whose columns are as wide as their longest entries."""
    lines = [[str(entry) for entry in line] for line in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    form = " | ".join(f"{{:{width}}}" for width in widths)
    return "\n".join(f"| {form.format(*line)} |" for line in lines)
