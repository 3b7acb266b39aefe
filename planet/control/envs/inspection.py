"""Inspects an environment by making it in a process of its own."""

import concurrent.futures
import dataclasses
import importlib.util
import inspect
import math
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
      own_observations: Space of its observations without our wrappers, as text.
      own_actions: Space of its actions without our wrappers, as text.
      has_alpha: Whether its image has a fourth channel, which is dropped.
      documentation: First paragraph of its docstring.
    """

    observation_space: gymnasium.spaces.Dict
    action_space: gymnasium.Space
    max_steps: int | None
    uses_opengl: bool
    extra: str | None
    restorable: bool
    own_observations: str
    own_actions: str
    has_alpha: bool
    documentation: str


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
        own = _without_wrappers_of_ours(env)
        description = Description(
            env.observation_space,
            env.action_space,
            _step_limit(env),
            opengl.is_loaded(),
            next((key for key, name in EXTRAS.items() if name in sys.modules), None),
            simulation.is_restorable(env),
            " ".join(str(own.observation_space).split()),
            " ".join(str(own.action_space).split()),
            any(getattr(layer, "has_alpha", False) for layer in _layers(env)),
            _first_paragraph(inspect.getdoc(own.unwrapped) or ""),
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


def _without_wrappers_of_ours(env):
    """The environment as its author made it, maybe with wrappers of theirs."""
    ours = (x for x in _layers(env) if isinstance(x, promises.CheckResults))
    innermost = next(ours, None)
    return innermost.env if innermost else env


def _layers(env):
    """The wrappers around an environment, from the outermost one."""
    while isinstance(env, gymnasium.Wrapper):
        yield env
        env = env.env


def _step_limit(env):
    """The tightest of the time limits around an environment, or in it."""
    env = _without_wrappers_of_ours(env)
    timers = (layer for layer in _layers(env) if isinstance(layer, TimeLimit))
    limits = [timer._max_episode_steps for timer in timers]
    env = env.unwrapped
    if hasattr(env, "ale"):  # An Atari game, whose steps are frames of the emulator.
        limits.append(env.ale.getInt("max_num_frames_per_episode"))
    suite_env = getattr(env, "_env", None)
    limit = min([*limits, getattr(suite_env, "_step_limit", math.inf)])
    return None if limit in (0, math.inf) else math.ceil(limit)


def _first_paragraph(text):
    """The first paragraph of a docstring that is no heading, in one line."""
    for paragraph in text.split("\n\n"):
        lines = [x for x in paragraph.splitlines() if not x.startswith("#")]
        if any(lines):
            return " ".join(" ".join(lines).split())
    return ""


def _missing_module(error):
    """Name of the module that could not be imported, if that was the cause."""
    while error and not isinstance(error, ImportError):
        error = error.__cause__ or error.__context__
    return error.name if error else None
