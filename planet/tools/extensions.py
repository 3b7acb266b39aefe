"""Extensions in the user's own modules: found by name, and built from settings.

A name is `package.module:attribute`, or `package.module` for a module. Importing it
runs code, so names come only from settings that the user gave.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from planet.tools import parameters


class ExtensionError(ValueError):
    """A name whose object cannot be used; the message is one line."""


def load(name: str) -> Any:
    """Imports what a name stands for.

    Raises:
      ExtensionError: There is no such module, its import fails, or it has no such
        attribute.
    """
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # A user's module can raise anything.
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


def arguments(function: Callable, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are named like arguments of a function or class."""
    names = inspect.signature(function).parameters
    return {name: settings[name] for name in names if name in settings}


def check_arguments(function: Callable, known: Collection[str]) -> None:
    """Checks that each argument without a default has a value.

    Args:
      function: A function, or a class that is to be constructed.
      known: Names of the arguments that will be given.

    Raises:
      ExtensionError: There is an argument that is neither known nor has a default.
    """
    free = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    for name, argument in inspect.signature(function).parameters.items():
        has_value = argument.default is not argument.empty or argument.kind in free
        if name not in known and not has_value:
            raise ExtensionError(
                f"its argument {name!r} is not a setting and has no default"
            )


def missing_arguments(function: Callable, wanted: Iterable[str]) -> list[str]:
    """Those of the wanted arguments that a function does not take."""
    taken = inspect.signature(function).parameters.values()
    if any(argument.kind is argument.VAR_KEYWORD for argument in taken):
        return []
    return [name for name in wanted if name not in {x.name for x in taken}]
