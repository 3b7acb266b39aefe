"""What a program runs on."""

import os
import pathlib
import platform
import re


def processor() -> str:
    """The name of the processor and the number of its cores."""
    return f"{cpu()}, {os.cpu_count()} cores"


def cpu(path: pathlib.Path = pathlib.Path("/proc/cpuinfo")) -> str:
    """The name of the processor, or of its architecture where it has no name."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    name = re.search(r"^model name\s*:\s*(\S.*)$", text, re.M)
    return " ".join(name[1].split()) if name else platform.machine()
