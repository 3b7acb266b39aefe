"""Inspects an environment by making it in a process of its own."""

import concurrent.futures
import dataclasses
import importlib.util
import multiprocessing
import sys
import traceback
from collections.abc import Callable

import gymnasium
from gymnasium.wrappers import TimeLimit

from planet.control.envs import opengl
from planet.control.errors import BrokenPromiseError, UnusableEnvError
from planet.control.wrappers import promises, simulation
from planet.tools import interruption

STEPS = 3  # To try in an environment.
# Errors whose message says all that there is to say.
_EXPECTED = (BrokenPromiseError, UnusableEnvError, opengl.OpenGLError)

# Extras of this package, and a module that each of them installs.
EXTRAS = {
    "atari": "ale_py",
    "box2d": "Box2D",
    "gym": "gym",
    "classic-control": "pygame",  # Other extras bring it too, and so come first.
}


@dataclasses.dataclass(frozen=True)
class Description:
    """Properties of an environment.

    Attributes:
      observation_space: Space of its observations.
      action_space: Space of its actions.
      max_steps: Most steps of an episode; None where it does not say.
      uses_opengl: Whether it loaded OpenGL for its first observation.
      extra: Extra of this package that it uses.
      restorable: Whether its state can be saved and restored.
    """

    observation_space: gymnasium.Space
    action_space: gymnasium.Space
    max_steps: int | None
    uses_opengl: bool
    extra: str | None
    restorable: bool


def describe(env_ctor: Callable[[], gymnasium.Env]) -> Description:
    """Tries an environment in a spawned process.

    It is made, reset, and takes a few random actions.

    Args:
      env_ctor: Makes the environment; picklable.

    Raises:
      UnusableEnvError: It cannot be made, reset or stepped, or what it returns is not
          what it should be. If the cause is an unexpected exception, the process has
          printed the traceback.
    """
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        1, context, interruption.end_with_parent
    ) as executor:
        try:
            with interruption.left_to_parent():
                future = executor.submit(_describe, env_ctor)
            result = future.result()
        except concurrent.futures.process.BrokenProcessPool:
            raise UnusableEnvError("its process ended by itself") from None
    if isinstance(result, Description):
        return result
    raise UnusableEnvError(result)


def is_importable(module: str) -> bool:
    """Tells whether there is a top-level module of that name, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # No name, or a module without a specification.
        return False


def missing_extra(extra: str) -> str:
    """Message that a package is missing, and how to get it."""
    return f"it needs the extra {extra!r}: pip install 'planet[{extra}]'"


def _describe(env_ctor):
    """Describes an environment, or says in one line why that is not possible."""
    try:
        env = env_ctor()
        _try_out(env)
        description = Description(
            env.observation_space,
            env.action_space,
            _step_limit(env),
            opengl.is_loaded(),
            next((key for key, name in EXTRAS.items() if name in sys.modules), None),
            simulation.is_restorable(env),
        )
        env.close()
    except (Exception, SystemExit) as error:  # A user's environment can raise anything.
        missing = _missing_module(error)
        for extra, module in EXTRAS.items():
            if module == missing:
                return missing_extra(extra)
        if isinstance(error, _EXPECTED):
            return " ".join(str(error).split())
        traceback.print_exc()
        return " ".join(f"{type(error).__name__}: {error}".split())
    return description


def _try_out(env):
    """Takes a few random actions, and compares what comes back with what should."""
    env = promises.CheckObservations(promises.CheckResults(env), bounds=True)
    env.action_space.seed(0)
    env.reset(seed=0)
    for _ in range(STEPS):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()


def _step_limit(env):
    """The tightest of the time limits around an environment."""
    limits = []
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, TimeLimit):
            limits.append(env._max_episode_steps)
        env = env.env
    return min(limits, default=None)


def _missing_module(error):
    """Name of the module that could not be imported, if that was the cause."""
    while error and not isinstance(error, ImportError):
        error = error.__cause__ or error.__context__
    return error.name if error else None
