"""Files that appear all at once, or not at all, however their writer ends."""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import IO, Any


@contextlib.contextmanager
def writing(path: pathlib.Path, mode: str = "w") -> Iterator[IO]:
    """Opens a file that gets its name, replacing any older file, once it is complete.

    Until then its name ends with `.tmp`. Text is UTF-8.

    Args:
      path: path of the complete file.
      mode: `w` for text, `wb` for bytes.
    """
    temporary = path.with_name(path.name + ".tmp")
    encoding = None if "b" in mode else "utf-8"
    try:
        with temporary.open(mode, encoding=encoding) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: pathlib.Path, values: Any, indent: int | None = None) -> None:
    """Writes values as JSON, which has no numbers that are not finite.

    Args:
      path: path of the complete file.
      values: what to write.
      indent: spaces of each level; None: everything on one line.

    Raises:
      ValueError: a number is not finite.
    """
    with writing(path) as file:
        json.dump(values, file, indent=indent, allow_nan=False)
        file.write("\n")


def read_json(path: pathlib.Path) -> Any:
    """Reads the values in a file of JSON.

    Raises:
      ValueError: it cannot be read, or holds something else; the message is one line.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from None
