"""How to get dm_control, the library of the DeepMind Control Suite.

It requires labmaze, which cannot be installed for Python 3.13 and which no task of the
suite uses. There, dm_control has to be installed by a command of its own.
"""

import importlib.util

REQUIREMENT = "dm_control>=1.0.50,<1.1"  # setup.py and the Makefile read it here.


def missing() -> str | None:
    """Message on how to get dm_control where it is missing; None if it is there."""
    if importlib.util.find_spec("dm_control"):
        return None
    return f"it needs dm_control: pip install --no-deps '{REQUIREMENT}'"
