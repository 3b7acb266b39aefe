"""Tasks by name: those of a catalogue, and environments that need no function in it.

Making such an environment once tells what the catalogue would say about it.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping

from planet.control.envs import adapters, assembly, inspection
from planet.control.envs.task import Selection, Task, TaskError, TaskSpec
from planet.control.errors import UnusableEnvError
from planet.control.wrappers import actions
from planet.tools import extensions, parameters

# Libraries whose environments are tasks by name: what makes one, and its default
# action repeat.
LIBRARIES = {
    "dmc": (adapters.dm_control, 1),
    "gym": (adapters.gym, 1),
    "ale": (adapters.atari, 4),
    "oldgym": (adapters.old_gym, 1),
}


def find(
    name: str, selection: Selection, catalogue: Mapping[str, Callable[[], TaskSpec]]
) -> Task:
    """Finds the task of a name.

    Args:
      name: A task of the catalogue, `library:environment` or
          `package.module:function`.
      selection: The user's choices, or any settings with the same attributes.
      catalogue: Functions that describe tasks, by name.

    Raises:
      TaskError: There is no such task, or it cannot be used.
    """
    if name in catalogue:
        return assembly.assemble(name, catalogue[name](), selection)
    if ":" not in name:
        raise TaskError(parameters.unknown("task", name, catalogue))
    package = name.partition(":")[0].partition(".")[0]
    if package not in LIBRARIES and not inspection.is_importable(package):
        known = ", ".join(f"{library}:" for library in LIBRARIES)
        raise TaskError(
            f"unknown task {name!r}: there is no module {package!r}, and the libraries "
            f"are {known}"
        )
    try:
        if module := _module(name):
            extensions.check_module(module)
        found = _inspect(name, selection.observations)
    except (UnusableEnvError, extensions.ExtensionError) as error:
        raise TaskError(f"task {name!r} cannot be used: {error}") from None
    task = assembly.assemble(name, _described(name, found), selection)
    return dataclasses.replace(task, renders=found.uses_opengl)


def _module(name):
    """The module that the environment of a name imports; empty for none."""
    library, _, rest = name.partition(":")
    if library in LIBRARIES:
        return rest.rpartition(":")[0] if library == "gym" else ""
    return library


@functools.cache
def _inspect(name, seen):
    """Inspects the environment of a name, in a process of its own."""
    return inspection.describe(assembly.EnvCtor(_undescribed(name), seen))


def _undescribed(name):
    """What is known about an environment before it has been made."""
    library, _, rest = name.partition(":")
    if library in LIBRARIES:
        adapter, repeat = LIBRARIES[library]
        make = functools.partial(adapter, rest)
    else:
        make, repeat = functools.partial(_constructed, name), 1
    return TaskSpec(
        make,
        repeat,
        action_size=0,
        pad_to_chunk=library != "dmc",
        emulated=library == "ale",
    )


def _described(name, found):
    """What is known about an environment once it has been made."""
    shapes = {key: box.shape for key, box in found.observation_space.items()}
    *_, channels = shapes.pop("image", (0,))
    return dataclasses.replace(
        _undescribed(name),
        action_size=found.action_space.shape[0],
        discrete=isinstance(found.action_space, actions.OneHot),
        state_sizes={key: math.prod(shape) for key, shape in shapes.items()},
        channels=channels,
        step_limit=found.max_steps,
        extra=None if name.startswith("dmc:") else found.extra,
        restorable=found.restorable,
    )


def _constructed(path, size):
    """What a user's function returns; its author chose whether and how it renders."""
    del size
    return adapters.constructed(path)
