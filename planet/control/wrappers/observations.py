"""Wrappers that change what is observed.

Once wrapped, an environment shows a dict of the `image` and of named vectors.
"""

from typing import Any

import gymnasium
import numpy as np
import PIL.Image
from gymnasium import spaces
from gymnasium.spaces import Box, Dict

from planet.control.errors import UnusableEnvError
from planet.control.wrappers import images, promises
from planet.tools import latent_files, parameters

# From here on, a vector of numbers is hard to learn from without convolutions.
MANY_NUMBERS = 1000
_NARROW = {np.dtype(np.float64): np.float32, np.dtype(np.int64): np.int32}
_NUMERIC = (Box, spaces.Discrete, spaces.MultiBinary, spaces.MultiDiscrete)
# Names that observations beside the image cannot have, as they mean something else:
RESERVED = frozenset(
    {
        *("image", "action", "reward"),  # in an episode,
        *("file", "allow_pickle"),  # when NumPy writes one,
        *("length", "return"),  # in a batch,
        *(*latent_files.STATES, *latent_files.OTHERS),  # in a file of model states,
        *("model", "encoder", "cell", "tap_cell"),  # as parts of a model,
        *("divergence", "global_divergence", "cell_as_prior"),  # and terms of its loss.
    }
)


class NameObservation(gymnasium.ObservationWrapper):
    """Always shows a dict, whose `image`, if there is one, is an image.

    A bare observation is named `image` or `state`. Of a dict, images other than the
    chosen one are left out.

    Args:
      env: The environment.
      key: Name of the image in the environment's dict; None: `image`, if it has that.
      pixels: Whether an image is wanted, see `images.is_unnamed_image`.

    Raises:
      UnusableEnvError: There is no such image; or none, and none is rendered.
    """

    def __init__(
        self, env: gymnasium.Env, key: str | None = None, pixels: bool = False
    ):
        super().__init__(env)
        space = env.observation_space
        self._image = find_image(space, key, pixels)
        if pixels and self._image is None and env.render_mode != "rgb_array":
            raise UnusableEnvError(_lack_of_pixels(space))
        self._bare = not isinstance(space, Dict)
        self._kept = () if self._bare else _without_images(space, self._image, pixels)
        self._name = "image" if self._image == () else "state"
        self.observation_space = Dict(self.observation(space))

    def observation(self, observation: Any) -> dict[str, Any]:
        """Returns the observation under its name."""
        if self._bare:
            return {self._name: observation}
        named = {name: observation[name] for name in self._kept}
        return named | ({"image": observation[self._image[0]]} if self._image else {})


def find_image(
    space: gymnasium.Space, key: str | None = None, pixels: bool = True
) -> tuple[str, ...] | None:
    """Where in observations the image is: () if they are it, or its name in a dict.

    Args:
      space: Space of the observations.
      key: Name of the image, where the user gives one.
      pixels: Whether an image is wanted, see `images.is_unnamed_image`.

    Returns:
      The place; None where there is no image.

    Raises:
      UnusableEnvError: There is nothing of that name, or it cannot be used as an image.
    """
    if not isinstance(space, Dict):
        if key is not None:
            raise UnusableEnvError(
                f"its observation is {space}, without the names that image_key "
                f"{key!r} chooses from"
            )
        return () if images.is_unnamed_image(space, pixels, axes=2) else None
    if key is None and (not pixels or "image" not in space.spaces):
        return ("image",) if images.is_image(space.get("image")) else None
    name = key or "image"
    if name not in space.spaces:
        raise UnusableEnvError(parameters.unknown("image_key", name, space.spaces))
    if not images.is_image(space[name]):
        raise UnusableEnvError(
            f"its observation {name!r} is {space[name]}; {images.RULE}"
        )
    return (name,)


class FlattenNumbers(gymnasium.ObservationWrapper):
    """Shows everything but the `image` as float32 vectors; choices become one-hot.

    Raises:
      UnusableEnvError: An entry is not numeric, or its name is taken or none.
    """

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        space = dict(env.observation_space.items())
        self._image = {"image"} if images.is_image(space.get("image")) else set()
        self._numbers = {key: space[key] for key in space.keys() - self._image}
        for name, entry in self._numbers.items():
            if not _is_numeric(entry):
                raise UnusableEnvError(
                    f"its observation {name!r} is not numeric, but {entry}"
                )
            if name in RESERVED:
                raise UnusableEnvError(
                    f"its observation {name!r} needs another name, as it is {entry} "
                    "and that name means something else"
                )
            if not _is_name(name):
                raise UnusableEnvError(
                    f"its observation {name!r} needs another name: a printable "
                    "text that is not empty, without '/'"
                )
            space[name] = _vector_space(entry)
        self.observation_space = Dict(space)

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """Flattens the entries."""
        vectors = {
            name: _vector(space, observation[name])
            for name, space in self._numbers.items()
        }
        return {**observation, **vectors}


class ConvertImage(gymnasium.ObservationWrapper):
    """Shows the environment's own `image`, of any kind that `images` knows, as bytes.

    Args:
      env: The environment; its observations are dicts with an image.

    Attributes:
      has_alpha: Whether the image has a fourth channel, which is dropped.
    """

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        self._space = env.observation_space["image"]
        self.has_alpha = images.has_alpha(self._space)
        shape = (*images.sides(self._space), images.channels(self._space))
        image = Box(0, 255, shape, np.uint8)
        self.observation_space = Dict({**env.observation_space, "image": image})

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """Returns `image` as uint8 [H, W, 1 or 3]."""
        image = images.to_bytes(self._space, observation["image"])
        return {**observation, "image": image}


class RenderImage(gymnasium.ObservationWrapper):
    """Adds to an observation the `image` that the environment renders.

    Args:
      env: The environment; its observations are dicts, its render mode `rgb_array`.
      size: Height and width of the image.
    """

    def __init__(self, env: gymnasium.Env, size: tuple[int, int]):
        super().__init__(env)
        self._size = size
        image = Box(0, 255, (*size, 3), np.uint8)
        self.observation_space = Dict({**env.observation_space, "image": image})

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """Adds `image`, uint8 [height, width, 3].

        Raises:
          BrokenPromiseError: The environment renders something else.
        """
        picture = self.env.render()
        promises.require_picture(picture)
        return {**observation, "image": _resized(picture, self._size)}


class ResizeImage(gymnasium.ObservationWrapper):
    """Shows the environment's own `image` in another size.

    Args:
      env: The environment; its observations are dicts with an image, uint8 [H, W, C].
      size: Height and width of the result.
      rows: The first row to keep, and the row after the last one; None: all rows.
      grey: Show the luminance instead of the colours.
    """

    def __init__(
        self,
        env: gymnasium.Env,
        size: tuple[int, int],
        rows: tuple[int, int] | None = None,
        grey: bool = False,
    ):
        super().__init__(env)
        self._size = size
        self._rows = slice(*rows or (None,))
        self._grey = grey
        channels = 1 if grey else env.observation_space["image"].shape[-1]
        image = Box(0, 255, (*size, channels), np.uint8)
        self.observation_space = Dict({**env.observation_space, "image": image})

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """Returns `image` as uint8 [height, width, C]."""
        image = observation["image"][self._rows]
        if self._grey and image.shape[-1] == 3:
            image = np.asarray(PIL.Image.fromarray(image).convert("L"))[..., None]
        return {**observation, "image": _resized(image, self._size)}


class StateVector(gymnasium.ObservationWrapper):
    """Shows only `state`: all numbers, in the order of their names.

    Raises:
      UnusableEnvError: There are no numbers.
    """

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        self._names = sorted(env.observation_space.keys() - {"image"})
        if not self._names:
            raise UnusableEnvError(
                "it has no numbers to show; set `observations: image`"
            )
        entries = [env.observation_space[name] for name in self._names]
        low = np.concatenate([entry.low.ravel() for entry in entries])
        high = np.concatenate([entry.high.ravel() for entry in entries])
        self.observation_space = Dict({"state": Box(low, high, dtype=np.float32)})

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """Returns `state`, float32 [S]."""
        entries = [observation[name].ravel() for name in self._names]
        return {"state": np.concatenate(entries).astype(np.float32)}


class PadState(gymnasium.ObservationWrapper):
    """Pads the `state` with zeros to `width` entries."""

    def __init__(self, env: gymnasium.Env, width: int):
        super().__init__(env)
        space = env.observation_space["state"]
        self._padding = (0, width - space.shape[0])
        low, high = np.pad(space.low, self._padding), np.pad(space.high, self._padding)
        self.observation_space = Dict({"state": Box(low, high, dtype=np.float32)})

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """Returns `state`, float32 [width]."""
        return {"state": np.pad(observation["state"], self._padding)}


class ConvertTo32Bit(gymnasium.Wrapper):
    """Narrows 64-bit numbers to 32 bits; refuses those that are not finite there."""

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        entries = env.observation_space.items()
        self.observation_space = Dict({name: _narrow_box(box) for name, box in entries})
        if isinstance(env.action_space, Box):
            self.action_space = _narrow_box(env.action_space)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        """Returns the observation in 32 bits.

        Raises:
          BrokenPromiseError: An entry is infinite or not a number.
        """
        observation, info = self.env.reset(seed=seed, options=options)
        return _narrow_entries(observation), info

    def step(self, action: np.ndarray) -> tuple:
        """Returns observation and reward in 32 bits.

        Raises:
          BrokenPromiseError: The reward or an entry is infinite or not a number.
        """
        observation, reward, *ends, info = self.env.step(action)
        reward = _narrow("reward", np.float64(reward))
        return _narrow_entries(observation), reward, *ends, info


def _is_name(name):
    return isinstance(name, str) and name.isprintable() and name and "/" not in name


def _without_images(space, chosen, pixels):
    """Names of the entries of a dict that are no images, and not the chosen one."""
    return tuple(
        name
        for name, entry in space.items()
        if (name,) != chosen and not images.is_unnamed_image(entry, pixels, axes=3)
    )


def _lack_of_pixels(space):
    """Message that there is no image, and what to do about it."""
    entries = space.spaces if isinstance(space, Dict) else {None: space}
    cameras = [name for name, entry in entries.items() if images.is_image(entry)]
    shown = ", ".join(
        f"{entry}" if name is None else f"{name!r}: {entry}"
        for name, entry in entries.items()
    )
    message = f"it renders no images, and its observation is {shown}; {images.RULE}"
    if cameras:
        return f"{message}; set image_key: {cameras[0]}"
    numbers = count_numbers(space)
    if numbers and numbers <= MANY_NUMBERS:
        entries = f"{numbers} number{'s'[: numbers > 1]}"
        return f"{message}; set `observations: state` to use its {entries}"
    return message


def count_numbers(space: gymnasium.Space) -> int | None:
    """How many numbers the observations of a space hold; None where it is not known."""
    return spaces.flatdim(space) if _is_numeric(space) else None


def _is_numeric(space):
    if isinstance(space, Dict):
        return all(map(_is_numeric, space.values()))
    if isinstance(space, spaces.Tuple):
        return all(map(_is_numeric, space))
    return isinstance(space, _NUMERIC)


def _vector_space(space):
    if not isinstance(space, Box) or len(space.shape) > 1:
        space = spaces.flatten_space(space)
    with np.errstate(over="ignore"):  # The largest float64 becomes infinite.
        low, high = space.low.astype(np.float32), space.high.astype(np.float32)
    return Box(low, high, dtype=np.float32)


def _vector(space, value):
    if not isinstance(space, Box) or len(space.shape) > 1:
        value = spaces.flatten(space, value)
    return np.asarray(value, np.float32)


def _resized(image, size):
    """The image, uint8 [H, W, C], in another size; antialiased if that is smaller."""
    if image.shape[:2] == size:
        return image
    picture = PIL.Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    picture = picture.resize(size[::-1], PIL.Image.Resampling.BILINEAR)
    return np.asarray(picture).reshape(*size, image.shape[-1])


def _narrow_entries(observation):
    return {name: _narrow(name, value) for name, value in observation.items()}


def _narrow(name, value):
    with np.errstate(over="ignore"):  # What is too large becomes infinite.
        value = value.astype(_NARROW.get(value.dtype, value.dtype))
    promises.require_finite(f"{name} in 32 bits", value)
    return value


def _narrow_box(box):
    dtype = _NARROW.get(box.dtype, box.dtype)
    return Box(box.low.astype(dtype), box.high.astype(dtype), dtype=dtype)
