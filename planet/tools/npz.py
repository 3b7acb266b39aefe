"""Archives of arrays, which are read without running anything in them."""

import contextlib
import zipfile
from collections.abc import Iterator, Mapping
from typing import BinaryIO

import numpy as np


class DamagedError(ValueError):
    """An archive that cannot be read, or not as it should; the message is one line."""


@contextlib.contextmanager
def reading(file: BinaryIO) -> Iterator[Mapping[str, np.ndarray]]:
    """The arrays in an open npz file, which are read one by one in the context.

    Raises:
      DamagedError: Something failed in the context.
    """
    try:
        if not zipfile.is_zipfile(file):
            raise DamagedError("it is cut, or no archive of arrays")
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            yield arrays
    except DamagedError:
        raise
    except Exception as error:  # A damaged archive can fail in a dozen ways.
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise DamagedError(reason) from error


def headers(file: BinaryIO) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shapes and types of the arrays in an open npz file, by name.

    Raises:
      DamagedError: It cannot be read.
    """
    found = {}
    with reading(file), zipfile.ZipFile(file) as archive:
        for name in (x for x in archive.namelist() if x.endswith(".npy")):
            with archive.open(name) as member:
                version = np.lib.format.read_magic(member)
                read = np.lib.format.read_array_header_1_0
                if version != (1, 0):
                    read = np.lib.format.read_array_header_2_0
                shape, _, dtype = read(member)
            found[name.removesuffix(".npy")] = (shape, dtype)
    return found
