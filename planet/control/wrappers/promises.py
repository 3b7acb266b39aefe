"""Wrappers that hold an environment, and whoever acts in it, to their word.

Values are checked where they come in, before anything sums, narrows or resizes them:
results and rewards right around the environment, observations before they are changed,
actions before they are translated. The errors are one line, and `KeepPromises`, around
all other wrappers, adds the task and the decision:

    task 'gym:Pendulum-v1', decision 17: reward is nan, not a finite number
"""

import contextlib
import inspect
import math
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from planet.control.errors import BrokenPromiseError, UnusableEnvError
from planet.control.wrappers.actions import OneHot

RESET = ("observation", "info")
STEP = ("observation", "reward", "terminated", "truncated", "info")
# By which bounds may be missed, relative to them or absolute: numbers are rounded.
ROUNDING = 1e-5


class KeepPromises(gymnasium.Wrapper):
    """Checks actions, and says in which task and when a promise was broken.

    Args:
      env: The environment, with all wrappers that change it.
      task: Name of the task.

    Raises:
      BrokenPromiseError: By `reset` and `step`: this or an inner wrapper found
          something that is not as it should be.
    """

    def __init__(self, env: gymnasium.Env, task: str):
        super().__init__(env)
        self._task = task
        self._decisions = 0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        """Starts an episode."""
        self._decisions = 0
        with self._named("reset"):
            return self.env.reset(seed=seed, options=options)

    def step(self, action: np.ndarray) -> tuple:
        """Applies an action [A] of the space of actions."""
        self._decisions += 1
        with self._named(f"decision {self._decisions}"):
            require_action(self.action_space, action)
            return self.env.step(action)

    @contextlib.contextmanager
    def _named(self, when) -> Iterator[None]:
        try:
            yield
        except BrokenPromiseError as error:
            reason = " ".join(str(error).split())  # Spaces can have many lines.
            message = f"task {self._task!r}, {when}: {reason}"
            raise BrokenPromiseError(message) from None


class CheckResults(gymnasium.Wrapper):
    """Checks what an environment returns, except for its observations.

    A reward that is an array of one number becomes that number.

    Raises:
      UnusableEnvError: Its `reset` does not take what gymnasium's does.
      BrokenPromiseError: By `reset` and `step`: the result is not a tuple of the right
          length, the reward not a finite number, or another entry of a wrong type.
    """

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        _require_reset(env)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        """Starts an episode."""
        results = self.env.reset(seed=seed, options=options)
        _require_tuple("reset", RESET, results)
        _require_info(results[-1])
        return results

    def step(self, action: Any) -> tuple:
        """Applies an action of the environment's own."""
        results = self.env.step(action)
        _require_tuple("step", STEP, results)
        observation, reward, terminated, truncated, info = results
        for name, end in (("terminated", terminated), ("truncated", truncated)):
            if _number(end, "bui") is None:
                raise BrokenPromiseError(f"{name} is {_show(end)}, not True or False")
        _require_info(info)
        return observation, _finite_reward(reward), terminated, truncated, info


class CheckObservations(gymnasium.ObservationWrapper):
    """Checks that observations are what their space says.

    Names, types and shapes have to fit, and numbers have to be finite. Other widths are
    fine, as long as integers are not mixed up with real numbers. But of an image, bytes
    have to be just these, and real numbers within their bounds: it would be another
    picture.

    Args:
      env: The environment.
      bounds: Whether all bounds are checked, except for what rounding explains.
      image: Where the image is: () for the whole observation, or its name in a dict.

    Raises:
      BrokenPromiseError: By `reset` and `step`: an observation is something else.
    """

    def __init__(
        self,
        env: gymnasium.Env,
        bounds: bool = False,
        image: tuple[str, ...] | None = None,
    ):
        super().__init__(env)
        self._bounds = bounds
        self._image = image

    def observation(self, observation: Any) -> Any:
        """Returns the observation as it is."""
        space = self.observation_space
        _require_observation(space, observation, self._bounds, self._image)
        return observation


def require_action(space: spaces.Box, action: Any) -> None:
    """Refuses an action that is not in its space, except for what rounding explains.

    Raises:
      BrokenPromiseError: Its shape is wrong, it is not finite, out of bounds or, where
          it should be, not one-hot.
    """
    array = _array("action", action)
    if array.shape != space.shape or array.dtype.kind not in "fiu":
        raise BrokenPromiseError(
            f"action is {_describe(action)}, not {_kind(space.dtype, space.shape)}"
        )
    require_finite("action", array)
    if not isinstance(space, OneHot):
        _require_bounds("action", space, array)
    elif not space.contains(array):
        raise BrokenPromiseError(f"action is {_show(array.tolist())}, not one-hot")


def require_finite(what: str, array: np.ndarray) -> None:
    """Refuses numbers that are infinite, or none.

    Args:
      what: What they are.
      array: Numbers of any shape.

    Raises:
      BrokenPromiseError: Names the first of them.
    """
    if array.dtype.kind == "f":
        _require_all(np.isfinite(array), what, array, lambda _: "a finite number")


def require_picture(picture: Any) -> None:
    """Refuses what an environment renders, unless it is an image, uint8 [H, W, 3].

    Raises:
      BrokenPromiseError: It is something else.
    """
    array = _array("rendered image", picture)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[-1] != 3:
        raise BrokenPromiseError(
            f"rendered image is {_describe(picture)}, not uint8 [height, width, 3]"
        )


def _require_reset(env):
    """Refuses an environment that cannot be reset in the way of gymnasium."""
    while True:
        signature = inspect.signature(env.reset)
        try:
            signature.bind(seed=None, options=None)
        except TypeError:
            raise UnusableEnvError(
                f"its reset{signature} must accept seed and options, as gymnasium's "
                "reset(*, seed=None, options=None) does"
            ) from None
        if not isinstance(env, gymnasium.Wrapper):
            return
        env = env.env


def _require_tuple(method, names, results):
    if not isinstance(results, tuple):
        got = type(results).__name__
    elif len(results) != len(names):
        got = f"a tuple of {len(results)}"
    else:
        return
    raise BrokenPromiseError(f"{method}() returned {got}, not ({', '.join(names)})")


def _require_info(info):
    if not isinstance(info, dict):
        raise BrokenPromiseError(f"info is {_show(info)}, not a dict")


def _finite_reward(reward):
    number = _number(reward, "fiub")
    if number is None or not math.isfinite(number):
        raise BrokenPromiseError(f"reward is {_show(reward)}, not a finite number")
    return number


def _number(value, kinds):
    """The number that a value is, or the one in an array; None if it is no number."""
    if isinstance(value, bool):
        return value
    try:
        array = np.asarray(value)
    except ValueError:  # A list of lists of different lengths.
        return None
    if array.size != 1 or array.dtype.kind not in kinds:
        return None
    return value if np.isscalar(value) else array.item()


def _require_observation(space, value, bounds, image, path=()):
    """Refuses an observation, or the part of it that a path leads to."""
    what = f"observation {'/'.join(map(str, path))!r}" if path else "observation"
    if isinstance(space, spaces.Dict):
        _require_names(what, space, value)
        for name, entry in space.items():
            _require_observation(entry, value[name], bounds, image, (*path, name))
    elif isinstance(space, spaces.Tuple):
        if not isinstance(value, Sequence) or len(value) != len(space):
            raise BrokenPromiseError(f"{what} is {_show(value)}, not in {space}")
        for index, entry in enumerate(space):
            _require_observation(entry, value[index], bounds, image, (*path, index))
    elif isinstance(space, spaces.Box):
        is_image = path == image
        bytes_only = space.dtype == np.uint8 and (is_image or len(space.shape) == 3)
        _require_box(what, space, value, bounds or is_image, bytes_only)
    elif not space.contains(value):
        raise BrokenPromiseError(f"{what} is {_show(value)}, not in {space}")


def _require_names(what, space, value):
    if not isinstance(value, Mapping):
        raise BrokenPromiseError(f"{what} is {_show(value)}, not a dict")
    for name in space:
        if name not in value:
            raise BrokenPromiseError(f"{what} lacks {name!r}, which its space has")
    for name in value:
        if name not in space.spaces:
            raise BrokenPromiseError(f"{what} has {name!r}, which its space lacks")


def _require_box(what, space, value, bounds, bytes_only):
    array = _array(what, value)
    if not _fits(space, value, array, bytes_only):
        raise BrokenPromiseError(
            f"{what} is {_describe(value)}, not {_kind(space.dtype, space.shape)} as "
            "its space says"
        )
    require_finite(what, array)
    if bounds:
        _require_bounds(what, space, array)


def _fits(space, value, array, bytes_only):
    """Tells whether type and shape are those of a space, or as good."""
    if array.shape != space.shape:
        return False
    if bytes_only:
        return isinstance(value, np.ndarray) and value.dtype == np.uint8
    real = space.dtype.kind == "f"
    return array.dtype.kind in ("f" if real else "iub")


def _require_bounds(what, space, array):
    if ((array >= space.low) & (array <= space.high)).all():
        return
    low, high = space.low.astype(float), space.high.astype(float)
    below = array < low - ROUNDING * np.maximum(1, abs(low))
    above = array > high + ROUNDING * np.maximum(1, abs(high))

    def promise(index):
        return f"between {space.low[index]} and {space.high[index]}"

    _require_all(~(below | above), what, array, promise)


def _require_all(fine, what, array, promise):
    """Names the first entry that is not fine."""
    if not fine.all():
        index = tuple(np.argwhere(~fine)[0].tolist())
        place = str(list(index)) if index else ""
        message = f"{what}{place} is {array[index]}, not {promise(index)}"
        raise BrokenPromiseError(message)


def _array(what, value):
    try:
        return np.asarray(value)
    except ValueError:  # A list of lists of different lengths.
        raise BrokenPromiseError(f"{what} is {_show(value)}, not an array") from None


def _describe(value):
    """Type and shape of a value, or the value if it is not an array."""
    if isinstance(value, np.ndarray | np.generic):
        return _kind(value.dtype, value.shape)
    return _show(value)


def _kind(dtype, shape):
    return f"{dtype} {list(shape)}" if shape else f"a number {dtype}"


def _show(value):
    """A value in one short line."""
    return " ".join(reprlib.repr(value).split())
