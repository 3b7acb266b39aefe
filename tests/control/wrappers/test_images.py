import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.spaces import Box

from planet.control.wrappers import images


def of(*shape, dtype=np.uint8, low=0, high=None):
    usual = 255 if dtype == np.uint8 else 1
    return Box(low, usual if high is None else high, shape, dtype)


# A picture of 4 x 6 pixels whose channels and places differ.
PICTURE = np.arange(4 * 6 * 4, dtype=np.uint8).reshape(4, 6, 4) * 2


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("layout", ["HW", "HW1", "HW3", "HW4", "1HW", "3HW", "4HW"])
def test_images_of_every_kind_become_the_same_bytes(layout, dtype):
    count = int(layout.strip("HW") or 1)
    picture = PICTURE[..., :count]
    image = picture if dtype == np.uint8 else (picture / 255).astype(dtype)
    if layout == "HW":
        image = image[..., 0]
    elif layout.endswith("HW"):
        image = np.moveaxis(image, -1, 0)
    space = of(*image.shape, dtype=dtype)
    assert images.is_image(space)
    assert images.sides(space) == (4, 6)
    assert images.has_alpha(space) == (count == 4)
    shown = images.to_bytes(space, image)
    assert shown.dtype == np.uint8
    assert shown.shape == (4, 6, images.channels(space))
    np.testing.assert_array_equal(shown, picture[..., :3])


@pytest.mark.parametrize(
    ("shape", "height", "width", "channels"),
    [
        ((3, 64, 3), 3, 64, 3),
        ((1, 48, 4), 1, 48, 3),
        ((3, 3, 64), 3, 64, 3),
        ((1, 3), 1, 3, 1),
        ((1, 84, 84), 84, 84, 1),
    ],
)
def test_channels_are_last_where_they_could_be_first_too(
    shape, height, width, channels
):
    space = of(*shape)
    assert images.sides(space) == (height, width)
    assert images.channels(space) == channels
    shown = images.to_bytes(space, np.zeros(shape, np.uint8))
    assert shown.shape == (height, width, channels)


@pytest.mark.parametrize(
    "space",
    [
        of(48, 48, 7, dtype=np.float32),
        of(7, 48, 48),
        of(48, 48, 2),
        of(48, 48, 3, dtype=np.float32, low=-1),
        of(48, 48, 3, dtype=np.float32, high=255),
        of(48, 48, 3, dtype=np.int32),
        of(48),
        of(2, 48, 48, 3),
        of(0, 48, 3),
        of(),
        spaces.Discrete(3),
        spaces.MultiBinary([8, 8, 3]),
        None,
    ],
    ids=str,
)
def test_everything_else_is_no_image(space):
    assert not images.is_image(space)


@pytest.mark.parametrize(
    ("space", "wanted", "not_wanted"),
    [
        (of(4, 4, 3), True, True),
        (of(3, 4, 4), True, True),
        (of(8, 8, 3, dtype=np.float32), True, False),
        (of(8, 7, 3, dtype=np.float32), False, False),
        (of(8, 8), True, False),
        (of(7, 8), False, False),
        (of(10, 10, dtype=np.float64), True, False),
    ],
)
def test_what_nobody_calls_an_image(space, wanted, not_wanted):
    assert images.is_unnamed_image(space, True, 2) == wanted
    assert images.is_unnamed_image(space, False, 2) == not_wanted
    if len(space.shape) == 2:
        assert not images.is_unnamed_image(space, True, 3)
