"""What an image is: which spaces count as one, and the bytes that it stands for.

An image is a `Box` of uint8, or of real numbers in [0, 1]. Its shape is [H, W], grey;
[H, W, C]; or [C, H, W]; with 1, 3 or 4 channels C, of which the fourth, alpha, is
dropped. Where the first and the last axis could both be the channels, as in [3, 64, 3],
it is the last.
"""

from typing import Any

import numpy as np
from gymnasium.spaces import Box

CHANNELS = (1, 3, 4)
# Sides of the smallest array that is taken for an image though nobody calls it one.
SMALLEST = 8
RULE = (
    "images are uint8, or real numbers in [0, 1], of shape [H, W, C], [C, H, W] or "
    "[H, W], where C is 1, 3 or 4"
)


def is_image(space: Any) -> bool:
    """Tells whether observations of a space can be used as images; None is no space."""
    return _is_pixels(space) and _axis(space.shape) is not None


def is_unnamed_image(space: Any, pixels: bool, axes: int) -> bool:
    """Tells whether a space is one of images though nothing but itself says so.

    Bytes [H, W, C] or [C, H, W] always are. Real numbers, and [H, W], are images where
    these are wanted, if they are not tiny, and otherwise numbers.

    Args:
      space: The space.
      pixels: Whether images are wanted.
      axes: How few axes will do: 2 or 3.
    """
    if not is_image(space) or len(space.shape) < axes:
        return False
    if space.dtype == np.uint8 and len(space.shape) == 3:
        return True
    return pixels and min(sides(space)) >= SMALLEST


def sides(space: Box) -> tuple[int, int]:
    """Height and width of the images of a space."""
    axis = _axis(space.shape)
    height, width = (x for i, x in enumerate(space.shape) if i != axis)
    return height, width


def channels(space: Box) -> int:
    """Channels of the images of a space once they are `to_bytes`: 1 or 3."""
    return 1 if _given_channels(space) == 1 else 3


def has_alpha(space: Box) -> bool:
    """Tells whether the images of a space have a fourth channel, to be dropped."""
    return _given_channels(space) == 4


def to_bytes(space: Box, image: Any) -> np.ndarray:
    """An image of a space as uint8 [H, W, 1 or 3].

    Args:
      space: The space, one of images.
      image: An array that fits it.
    """
    if image.dtype != np.uint8:
        image = np.clip(np.rint(np.asarray(image, np.float32) * 255), 0, 255)
    axis = _axis(space.shape)
    image = image[..., None] if axis == 2 == image.ndim else np.moveaxis(image, axis, 2)
    return np.ascontiguousarray(image[..., : channels(space)], np.uint8)


def _is_pixels(space):
    if not isinstance(space, Box) or not np.prod(space.shape):
        return False
    if space.dtype == np.uint8:
        return True
    unit = (space.low >= 0).all() and (space.high <= 1).all()
    return bool(np.issubdtype(space.dtype, np.floating) and unit)


def _axis(shape):
    """Axis of the channels; 2, which is to be added, for [H, W]; None for no image."""
    if len(shape) == 2:
        return 2
    if len(shape) != 3:
        return None
    return next((axis for axis in (2, 0) if shape[axis] in CHANNELS), None)


def _given_channels(space):
    return space.shape[_axis(space.shape)] if len(space.shape) == 3 else 1
