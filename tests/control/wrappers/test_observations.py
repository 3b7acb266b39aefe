import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.spaces import Box
from gymnasium.utils.env_checker import check_env

from planet.control.errors import BrokenPromiseError, UnusableEnvError
from planet.control.wrappers import observations
from tests.control.counting_env import CountingEnv


def test_numbers_become_32_bit():
    env = observations.ConvertTo32Bit(CountingEnv())
    assert env.action_space == Box(-1, 1, [1], np.float32)
    assert env.observation_space["position"].dtype == np.float32
    assert env.observation_space["image"].dtype == np.uint8
    observation, _ = env.reset()
    assert observation in env.observation_space
    observation, reward, *_ = env.step(np.zeros(1, np.float32))
    assert observation in env.observation_space
    assert isinstance(reward, np.float32)
    assert reward == 1


def test_conversion_passes_the_environment_checker():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Positions have no bounds.
        check_env(observations.ConvertTo32Bit(CountingEnv()), skip_render_check=True)


@pytest.mark.parametrize("value", [np.inf, np.nan, 1e300])
def test_numbers_that_are_not_finite_in_32_bits_are_refused(value):
    env = observations.ConvertTo32Bit(CountingEnv())
    env.reset()
    with pytest.raises(
        BrokenPromiseError, match=r"reward in 32 bits is (inf|nan), not"
    ):
        env.step(np.array([value]))


class Showing(gymnasium.Env):
    """Shows samples of a space, or always the same; renders a picture."""

    action_space = Box(-1, 1, [1], np.float32)

    def __init__(self, space, value=None, picture=None):
        self.observation_space = space
        self.render_mode = None if picture is None else "rgb_array"
        self._value = value
        self._picture = picture

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        value = self.observation_space.sample() if self._value is None else self._value
        return value, {}

    def render(self):
        return self._picture


PICTURE = Box(0, 255, (96, 64, 3), np.uint8)


@pytest.mark.parametrize(
    ("space", "name"),
    [
        (PICTURE, "image"),
        (Box(0, 255, (210, 160, 1), np.uint8), "image"),
        (Box(0, 255, [128], np.uint8), "state"),
        (Box(0, 1, (4, 4, 3), np.float32), "state"),
        (spaces.Discrete(3), "state"),
    ],
)
def test_bare_observations_get_a_name(space, name):
    env = observations.NameObservation(Showing(space))
    assert env.observation_space == spaces.Dict({name: space})
    assert env.reset(seed=0)[0] in env.observation_space


def test_dicts_keep_their_names():
    space = spaces.Dict(a=Box(0, 1), b=spaces.Discrete(2))
    assert observations.NameObservation(Showing(space)).observation_space == space


@pytest.mark.filterwarnings("ignore:overflow")
def test_numbers_become_vectors():
    space = spaces.Dict(
        image=PICTURE,
        scalar=Box(0, 1, (), np.float64),
        vector=Box(-np.inf, 1.7e308, (3,), np.float64),
        matrix=Box(0, 9, (2, 3), np.int64),
        choice=spaces.Discrete(4, start=1),
        flags=spaces.MultiBinary(2),
        nested=spaces.Dict(x=Box(0, 1, (2,)), y=spaces.Discrete(2)),
        pair=spaces.Tuple([Box(0, 1), spaces.Discrete(2)]),
    )
    env = observations.FlattenNumbers(Showing(space))
    shapes = {name: entry.shape for name, entry in env.observation_space.items()}
    assert shapes == {
        "image": (96, 64, 3),
        "scalar": (),
        "vector": (3,),
        "matrix": (6,),
        "choice": (4,),
        "flags": (2,),
        "nested": (4,),
        "pair": (3,),
    }
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    dtypes = {name: array.dtype.name for name, array in observation.items()}
    assert dtypes.pop("image") == "uint8"
    assert set(dtypes.values()) == {"float32"}
    assert sorted(observation["choice"]) == [0, 0, 0, 1]


@pytest.mark.parametrize(
    "entry",
    [
        spaces.Text(5),
        spaces.Sequence(Box(0, 1)),
        spaces.Graph(Box(0, 1), None),
        spaces.OneOf([Box(0, 1), spaces.Discrete(2)]),
        spaces.Tuple([Box(0, 1), spaces.Text(5)]),
        spaces.Dict(inner=spaces.Text(5)),
    ],
)
def test_what_is_not_numeric_is_refused(entry):
    space = spaces.Dict(position=Box(0, 1), mission=entry)
    with pytest.raises(UnusableEnvError, match="'mission' is not numeric, but "):
        observations.FlattenNumbers(Showing(space))


@pytest.mark.parametrize("name", sorted(observations.RESERVED))
def test_names_that_mean_something_else_are_refused(name):
    with pytest.raises(UnusableEnvError, match=f"'{name}' needs another name"):
        observations.FlattenNumbers(Showing(spaces.Dict({name: Box(0, 1, [3])})))


@pytest.mark.parametrize("name", ["", "arm/angle", "two\nlines", 3])
def test_names_that_are_none_are_refused(name):
    with pytest.raises(UnusableEnvError) as caught:
        observations.FlattenNumbers(Showing(spaces.Dict({name: Box(0, 1, [3])})))
    assert str(caught.value) == (
        f"its observation {name!r} needs another name: a printable text that is "
        "not empty, without '/'"
    )


def halves(height, width, channels=3):
    """A picture of which the left half is black and the right half white."""
    picture = np.zeros((height, width, channels), np.uint8)
    picture[:, width // 2 :] = 255
    return picture


@pytest.mark.parametrize("shape", [(400, 600), (64, 64), (32, 100)])
def test_rendered_image_is_resized(shape):
    picture = halves(*shape)
    env = Showing(spaces.Dict(position=Box(0, 1)), picture=picture)
    env = observations.RenderImage(env, (64, 64))
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    image = observation["image"]
    assert image.shape == (64, 64, 3)
    assert (image[:, :30] == 0).all()
    assert (image[:, 34:] == 255).all()
    assert "position" in observation


@pytest.mark.parametrize(
    ("picture", "shown"),
    [
        (np.zeros((64, 64, 3)), "float64 [64, 64, 3]"),
        (np.zeros((64, 64), np.uint8), "uint8 [64, 64]"),
        ("a picture", "'a picture'"),
    ],
)
def test_what_is_rendered_has_to_be_an_image(picture, shown):
    env = Showing(spaces.Dict(position=Box(0, 1)), picture=picture)
    env = observations.RenderImage(env, (64, 64))
    with pytest.raises(BrokenPromiseError) as caught:
        env.reset()
    message = f"rendered image is {shown}, not uint8 [height, width, 3]"
    assert str(caught.value) == message


KINDS = {
    "hwc": Box(0, 255, (96, 64, 3), np.uint8),
    "chw": Box(0, 1, (3, 96, 64), np.float32),
    "grey": Box(0, 255, (96, 64), np.uint8),
    "rgba": Box(0, 1, (96, 64, 4), np.float64),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("named", [False, True])
def test_images_of_every_kind_are_shown_as_bytes(kind, named):
    space = KINDS[kind]
    camera = spaces.Dict(camera=space, wrist=KINDS["hwc"], angle=Box(0, 1, (2,)))
    env = Showing(camera if named else space)
    env = observations.NameObservation(env, "camera" if named else None, pixels=True)
    env = observations.ConvertImage(observations.FlattenNumbers(env))
    assert set(env.observation_space) == {"image", *(["angle"] if named else [])}
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    assert observation["image"].shape == (96, 64, 1 if kind == "grey" else 3)
    assert env.has_alpha == (kind == "rgba")
    resized = observations.ResizeImage(env, (64, 64)).observation(observation)["image"]
    assert resized.shape == (64, 64, observation["image"].shape[-1])


def message(space, key=None, pixels=True):
    with pytest.raises(UnusableEnvError) as caught:
        observations.NameObservation(Showing(space), key, pixels)
    return " ".join(str(caught.value).split())


RULE = (
    "images are uint8, or real numbers in [0, 1], of shape [H, W, C], [C, H, W] or "
    "[H, W], where C is 1, 3 or 4"
)


def test_what_cannot_be_used_is_named_by_its_space_and_the_rule():
    assert message(Box(0, 1, (48, 48, 7), np.float32)) == (
        "it renders no images, and its observation is Box(0.0, 1.0, (48, 48, 7), "
        f"float32); {RULE}"
    )
    space = spaces.Dict(image=Box(0, 1, (48, 48, 7), np.float32), angle=Box(0, 1, (2,)))
    expected = f"its observation 'image' is Box(0.0, 1.0, (48, 48, 7), float32); {RULE}"
    assert message(space) == expected
    assert message(spaces.Dict(eye=space["image"]), "eye", pixels=False) == (
        expected.replace("image", "eye", 1)
    )


@pytest.mark.parametrize(
    ("space", "hint"),
    [
        (Box(0, 9, (2,)), "; set `observations: state` to use its 2 numbers"),
        (
            spaces.Dict(x=Box(0, 9, ())),
            "; set `observations: state` to use its 1 number",
        ),
        (Box(0, 9, (1000,)), "; set `observations: state` to use its 1000 numbers"),
        (Box(0, 9, (1001,)), ""),
        (spaces.Dict(x=spaces.Text(9)), ""),
        (spaces.Dict(x=Box(0, 9, (2,)), eye=KINDS["chw"]), "; set image_key: eye"),
        (spaces.Dict(grid=Box(0, 1, (4, 4))), "; set image_key: grid"),
    ],
)
def test_hint_for_what_shows_no_image(space, hint):
    assert message(space).endswith(f"where C is 1, 3 or 4{hint}")


def test_image_key_is_one_of_the_names():
    space = spaces.Dict(camera=KINDS["hwc"])
    expected = "unknown image_key 'camara'; did you mean 'camera'?"
    assert message(space, "camara") == expected
    assert message(KINDS["grey"], "camera") == (
        "its observation is Box(0, 255, (96, 64), uint8), without the names that "
        "image_key 'camera' chooses from"
    )


@pytest.mark.parametrize(
    ("space", "shown"),
    [
        (Box(0, 1, (9, 9)), {"state"}),
        (Box(0, 1, (9, 9, 3)), {"state"}),
        (Box(0, 255, (9, 9, 3), np.uint8), {"image"}),
        (
            spaces.Dict(grid=Box(0, 1, (9, 9, 3)), image=Box(0, 1, (9, 9))),
            {"grid", "image"},
        ),
        (spaces.Dict(x=Box(0, 1), eye=Box(0, 255, (3, 9, 9), np.uint8)), {"x"}),
    ],
)
def test_where_numbers_are_wanted_only_bytes_are_images(space, shown):
    env = observations.NameObservation(Showing(space), pixels=False)
    assert set(env.observation_space) == shown
    assert env.reset(seed=0)[0] in env.observation_space


@pytest.mark.parametrize("channels", [1, 3])
def test_own_image_is_resized(channels):
    space = spaces.Dict(image=Box(0, 255, (210, 160, channels), np.uint8))
    env = Showing(space, {"image": halves(210, 160, channels)})
    env = observations.ResizeImage(env, (64, 64))
    image = env.reset()[0]["image"]
    assert image.shape == (64, 64, channels)
    assert image in env.observation_space["image"]
    assert (image[:, :30] == 0).all()
    assert (image[:, 34:] == 255).all()


def test_only_the_rows_of_interest_are_kept():
    picture = np.zeros((210, 160, 3), np.uint8)
    picture[17:210] = 255
    env = Showing(spaces.Dict(image=Box(0, 255, picture.shape, np.uint8)))
    env = observations.ResizeImage(env, (64, 64), rows=(17, 210))
    assert (env.observation({"image": picture})["image"] == 255).all()
    picture[17] = 0
    assert (env.observation({"image": picture})["image"][1:] == 255).all()
    assert (env.observation({"image": picture})["image"][0] < 255).all()


def test_resizing_is_bilinear():
    ramp = np.arange(0, 256, 4, dtype=np.uint8)  # Bilinear resizing keeps it linear.
    picture = np.tile(ramp[None, :, None], (64, 1, 1))
    env = Showing(spaces.Dict(image=Box(0, 255, picture.shape, np.uint8)))
    env = observations.ResizeImage(env, (64, 128))
    image = env.observation({"image": picture})["image"]
    expected = np.interp((np.arange(128) + 0.5) / 2 - 0.5, range(64), ramp)
    np.testing.assert_allclose(image[0, :, 0], expected, atol=0.51)


def test_grey_is_the_luminance():
    env = Showing(spaces.Dict(image=Box(0, 255, (64, 64, 3), np.uint8)))
    env = observations.ResizeImage(env, (64, 64), grey=True)
    colours = {(255, 0, 0): 76, (0, 255, 0): 150, (0, 0, 255): 29, (9, 9, 9): 9}
    for colour, luminance in colours.items():
        picture = np.full((64, 64, 3), colour, np.uint8)
        image = env.observation({"image": picture})["image"]
        assert image.shape == (64, 64, 1)
        np.testing.assert_allclose(image, luminance, atol=1)


def test_state_holds_all_numbers_in_the_order_of_their_names():
    space = spaces.Dict(
        {"b": Box(-1, 1, (2,)), "a": Box(0, 3, ()), "image": PICTURE}, sort_keys=False
    )
    value = {
        "b": np.float32([0.5, -0.5]),
        "a": np.float32(2),
        "image": PICTURE.sample(),
    }
    env = observations.StateVector(Showing(space, value))
    observation, _ = env.reset()
    assert set(observation) == {"state"}
    np.testing.assert_array_equal(observation["state"], np.float32([2, 0.5, -0.5]))
    assert observation in env.observation_space
    np.testing.assert_array_equal(env.observation_space["state"].high, [3, 1, 1])


def test_state_of_images_only_is_refused():
    with pytest.raises(UnusableEnvError, match="no numbers to show"):
        observations.StateVector(Showing(spaces.Dict(image=PICTURE)))


def test_state_is_filled_up_with_zeros():
    space = spaces.Dict(state=Box(1, 2, (2,), np.float32))
    env = observations.PadState(Showing(space), 5)
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    assert (observation["state"][:2] >= 1).all()
    np.testing.assert_array_equal(observation["state"][2:], 0)
