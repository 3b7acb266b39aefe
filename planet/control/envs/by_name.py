"""Tasks by name: those of a catalogue, and environments that need no function in it.

Making such an environment once tells what the catalogue would say about it.
"""

import dataclasses
import functools
import json
import math
from collections.abc import Callable, Mapping

from planet.control.envs import adapters, assembly, inspection
from planet.control.envs.task import Selection, Task, TaskError, TaskSpec
from planet.control.errors import UnusableEnvError
from planet.control.wrappers import actions, observations
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
        for setting in ("image_key", "env_params"):
            if getattr(selection, setting):
                raise TaskError(
                    f"{setting} is for environments by name, such as "
                    f"gym:Pendulum-v1, and not for the task {name!r}"
                )
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
        if module := module_of(name):
            extensions.check_module(module)
        params = json.dumps(selection.env_params)
        key = selection.image_key
        found = _inspect(name, selection.observations, key, params)
    except (UnusableEnvError, extensions.ExtensionError) as error:
        raise TaskError(f"task {name!r} cannot be used: {error}") from None
    spec = _described(_undescribed(name, params), name, found)
    task = assembly.assemble(name, spec, selection)
    notes = " ".join(_notes(name, found))
    return dataclasses.replace(task, renders=found.uses_opengl, note=notes)


def module_of(name: str) -> str:
    """The module of the user's own that the environment of a name imports, if any."""
    library, _, rest = name.partition(":")
    if library in LIBRARIES:
        return rest.rpartition(":")[0] if library == "gym" else ""
    return library if rest else ""


@functools.cache
def _inspect(name, seen, image_key, params):
    """Inspects the environment of a name, in a process of its own."""
    spec = _undescribed(name, params)
    return inspection.describe(assembly.EnvCtor(spec, seen, image_key=image_key))


def _undescribed(name, params):
    """What is known about an environment before it has been made.

    Args:
      name: Its name.
      params: What to pass to its constructor, as JSON.
    """
    library, _, rest = name.partition(":")
    adapter, repeat = LIBRARIES.get(library, (_constructed, 1))
    path = rest if library in LIBRARIES else name
    make = functools.partial(adapter, path, params=json.loads(params))
    return TaskSpec(
        make,
        repeat,
        action_size=0,
        pad_to_chunk=library != "dmc",
        emulated=library == "ale",
    )


def _described(spec, name, found):
    """What is known about an environment once it has been made."""
    shapes = {key: box.shape for key, box in found.observation_space.items()}
    *_, channels = shapes.pop("image", (0,))
    return dataclasses.replace(
        spec,
        action_size=found.action_space.shape[0],
        discrete=isinstance(found.action_space, actions.OneHot),
        state_sizes={key: math.prod(shape) for key, shape in shapes.items()},
        channels=channels,
        step_limit=found.max_steps,
        extra=None if name.startswith("dmc:") else found.extra,
        restorable=found.restorable,
    )


def _notes(name, found):
    """What is worth knowing about what the agent sees of an environment."""
    shown = found.observation_space.spaces
    shapes = [box.shape for box in shown.values() if "image" not in shown]
    numbers = sum(map(math.prod, shapes))
    if numbers > observations.MANY_NUMBERS:
        yield (
            f"The state of task {name!r} has {numbers} numbers, which dense layers "
            "learn slowly: are there images in its observation, "
            f"{found.own_observations}?"
        )
    if found.has_alpha:
        yield (
            f"The fourth channel of the image of task {name!r} counts as alpha and is "
            f"dropped; its observation is {found.own_observations}."
        )


def _constructed(path, size, params):
    """What a user's function returns; its author chose whether and how it renders."""
    del size
    return adapters.constructed(path, params)
