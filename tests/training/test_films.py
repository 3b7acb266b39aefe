import numpy as np
import pytest

from planet.scripts import configs
from planet.training import define_model, films

LENGTH = 60
CLOCKWORK = {"model_size": [10, 6], "state_size": [5, 3], "cw_tau": [1, 4]}


def make_filmer(channels=3, **params):
    settings = {"tasks": ["dummy"], "dumbnet": True, "mean_only": True}
    config = configs.load("debug", settings | params)
    spec = {"image": (64, 64, channels), "action": (2,), "reward": ()}
    return films.Filmer(define_model.define_model(config, spec), config.image_bits)


def make_episode(channels=3):
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, (LENGTH, 64, 64, channels), np.uint8),
        "action": rng.uniform(-1, 1, (LENGTH, 2)).astype(np.float32),
        "reward": np.linspace(0, 1, LENGTH, dtype=np.float32),
    }


def draw(filmer, episode):
    """Reconstructions and dreams, each uint8 [T, H, W, C]."""
    return np.stack(list(filmer.draw(episode)), 1)


@pytest.mark.parametrize("params", [{}, {"model": "drnn"}, {"model": "ssm"}, CLOCKWORK])
def test_dreams_see_five_images_of_fifty(params):
    filmer, episode = make_filmer(**params), make_episode()
    reconstruction, dream = draw(filmer, episode)
    assert reconstruction.shape == (LENGTH, 64, 64, 3)
    same = (reconstruction == dream).all((1, 2, 3))
    assert same.nonzero()[0].tolist() == [*range(5), *range(50, 55)]

    # Unseen images change nothing until the dream begins anew.
    unseen = episode | {"image": episode["image"].copy()}
    unseen["image"][5:50] = 255 - unseen["image"][5:50]
    others = draw(filmer, unseen)
    differ = (others != [reconstruction, dream]).any((2, 3, 4))
    assert differ[0].nonzero()[0][0] == 5
    assert differ[1].nonzero()[0].min(initial=LENGTH) >= 50

    # It knows the actions.
    action = episode["action"].copy()
    action[20] = -action[20]
    differ = draw(filmer, episode | {"action": action})[1] != dream
    assert differ.any((1, 2, 3)).nonzero()[0][0] in (20, 21)


@pytest.mark.parametrize("channels", [1, 3])
def test_frames_show_the_episode(channels):
    filmer, episode = make_filmer(channels), make_episode(channels)
    frames = filmer.film(episode)
    assert frames.dtype == np.uint8
    assert frames.shape == (LENGTH, 240, 608, 3)
    pictures = np.stack([episode["image"], *draw(filmer, episode)], 1)
    for index, left in enumerate((8, 208, 408)):
        panel = frames[:, 24 : 24 + 192, left : left + 192]
        expected = pictures[:, index].repeat(3, 1).repeat(3, 2)
        np.testing.assert_array_equal(panel, np.broadcast_to(expected, panel.shape))
    texts = frames[:, 24 + 192 :].reshape(LENGTH, -1)
    assert len(np.unique(texts, axis=0)) == LENGTH
