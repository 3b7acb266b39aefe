import pickle

import numpy as np
import pytest

from planet.tools import latent_files

ARRAYS = {
    "sample": np.arange(6, dtype=np.float32).reshape(3, 2),
    "position": np.ones((3, 4), np.float32),
    "sequence": np.array([0, 0, 1]),
    "phase": "test",
}


def test_what_is_written_can_be_read(tmp_path):
    path = latent_files.write(tmp_path / "latents", 5, 100, ARRAYS)
    assert path.name == "latents_5_100.npz"
    arrays = latent_files.read(path)
    assert arrays.keys() == ARRAYS.keys()
    for key, value in ARRAYS.items():
        np.testing.assert_array_equal(arrays[key], value)


def test_files_are_found_in_the_order_of_their_steps(tmp_path):
    assert latent_files.scan(tmp_path / "missing") == {}
    for first, last in ((0, 5), (5, 100), (100, 20000)):
        latent_files.write(tmp_path, first, last, ARRAYS)
    for name in ("latents_20000_20005.tmp", "latents_5.npz", "other.npz"):
        (tmp_path / name).touch()
    assert list(latent_files.scan(tmp_path)) == [5, 100, 20000]


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {key: value for key, value in ARRAYS.items() if key != "phase"},
        {key: value for key, value in ARRAYS.items() if key != "sample"},
        ARRAYS | {"position": np.ones((2, 4), np.float32)},
        ARRAYS | {"position": np.float32(1)},
        ARRAYS | {"position": np.full((3, 4), np.nan)},
        ARRAYS | {"position": np.full((3, 4), "word")},
        ARRAYS | {"sample": np.ones(3, np.float32)},
        {"sample": np.ones((0, 2)), "phase": "test"},
    ],
)
def test_incomplete_files_are_named(arrays, tmp_path):
    path = latent_files.write(tmp_path, 0, 5, arrays)
    with pytest.raises(latent_files.TornFileError, match=r"latents_0_5\.npz") as error:
        latent_files.read(path)
    assert "\n" not in str(error.value)


def test_damaged_files_are_named(tmp_path):
    path = latent_files.write(tmp_path, 0, 5, ARRAYS)
    for content in (path.read_bytes()[:-30], b"", b"a text", pickle.dumps(ARRAYS)):
        path.write_bytes(content)
        with pytest.raises(latent_files.TornFileError, match=r"latents_0_5\.npz"):
            latent_files.read(path)
    path.unlink()
    with pytest.raises(latent_files.TornFileError, match="No such file"):
        latent_files.read(path)


def test_pickles_are_refused(tmp_path):
    path = tmp_path / "latents_0_5.npz"
    np.savez(path, **ARRAYS, extra=np.array([{}, {}, {}], object))
    with pytest.raises(latent_files.TornFileError, match="allow_pickle"):
        latent_files.read(path)
