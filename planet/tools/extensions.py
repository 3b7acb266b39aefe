"""Extensions in the user's own modules: found by name, and built from settings.

A name is `package.module:attribute`, or `package.module` for a module. Importing it
runs code. The names of a run's settings may come from somebody else, so they can only
lead to what the user has installed, and not to Python's own modules or our commands,
whose functions do more than to return a part of an agent.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import inspect
import os
import pathlib
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from planet.tools import parameters


class ExtensionError(ValueError):
    """A name whose object cannot be used; the message is one line."""


def load(name: str) -> Any:
    """Imports what a name stands for.

    Raises:
      ExtensionError: It must not be imported, there is no such module, its import
        fails, or it has no such attribute.
    """
    module_name, _, attribute = name.partition(":")
    check_module(module_name)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # A user's module can raise anything.
        missing = getattr(error, "name", None) or "?"
        if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(
            f"{missing}."
        ):
            raise ExtensionError(f"there is no module {missing!r}") from None
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ExtensionError(f"importing {module_name!r} fails: {reason}") from error
    if ":" not in name:
        return module
    if not hasattr(module, attribute):
        public = [word for word in vars(module) if not word.startswith("_")]
        known = public or list(vars(module))
        raise ExtensionError(
            parameters.unknown(f"attribute of {module_name}", attribute, known)
        )
    return getattr(module, attribute)


def check_module(name: str) -> None:
    """Checks that a module may be imported because settings name it.

    Raises:
      ExtensionError: It is not a dotted name, or that of a module of Python itself, or
        of a command of ours.
    """
    parts = name.split(".")
    if not re.fullmatch(r"[\w-]+(\.[\w-]+)*", name):
        raise ExtensionError(f"{parameters.show(name)} is not the name of a module")
    if parts[0] in sys.stdlib_module_names | {"__main__", "__mp_main__"}:
        raise ExtensionError(f"{parts[0]!r} is a module of Python itself")
    if parts[:2] == ["planet", "scripts"]:
        raise ExtensionError("the modules of planet.scripts are commands")


def working_folder(module: str) -> pathlib.Path | None:
    """The working directory, if a module is found there and nowhere else.

    Python looks there when it is started with `-m`; what `PYTHONPATH` names is found
    from everywhere.

    Args:
      module: Its name, `package.module`; only the package is looked for.
    """
    package, here = module.partition(".")[0], pathlib.Path.cwd()
    path, named = sys.path, os.environ.get("PYTHONPATH", "").split(os.pathsep)
    try:
        sys.path = [x for x in path if x in named or pathlib.Path(x).resolve() != here]
        if any(finder.find_spec(package, None) for finder in sys.meta_path):
            return None
    finally:
        sys.path = path
    found = importlib.machinery.PathFinder.find_spec(package, [str(here)])
    return here if found else None


def arguments(function: Callable, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are named like arguments of a function or class."""
    names = _parameters(function)
    return {name: settings[name] for name in names if name in settings}


def _parameters(function: Callable) -> Mapping[str, inspect.Parameter]:
    """The arguments of a function by name."""
    try:
        return inspect.signature(function).parameters
    except (ValueError, TypeError):
        raise ExtensionError("its arguments are not known") from None


def argument_names(function: Callable) -> list[str]:
    """Names of the arguments that a function or class takes by keyword."""
    positional = inspect.Parameter.POSITIONAL_ONLY
    free = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    taken = _parameters(function).values()
    return [x.name for x in taken if x.kind not in (positional, *free)]


def check_arguments(function: Callable, known: Collection[str]) -> None:
    """Checks that each argument without a default has a value.

    Args:
      function: A function, or a class that is to be constructed.
      known: Names of the arguments that will be given.

    Raises:
      ExtensionError: There is an argument that is neither known nor has a default, or
        the arguments are not known.
    """
    free = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    for name, argument in _parameters(function).items():
        has_value = argument.default is not argument.empty or argument.kind in free
        if name not in known and not has_value:
            raise ExtensionError(
                f"its argument {name!r} is not a setting and has no default"
            )


def missing_arguments(function: Callable, wanted: Iterable[str]) -> list[str]:
    """Those of the wanted arguments that a function does not take."""
    taken = _parameters(function).values()
    if any(argument.kind is argument.VAR_KEYWORD for argument in taken):
        return []
    return [name for name in wanted if name not in {x.name for x in taken}]
