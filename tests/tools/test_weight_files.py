import pickle

import numpy as np
import pytest

from planet.tools import weight_files


def random_weights(**shapes):
    random = np.random.default_rng(0)
    return {
        name: random.normal(size=shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def test_weights_come_back_rounded_from_files_below_a_megabyte(tmp_path):
    shapes = {"bias": (16,), "large": (5, 5, 64, 512), "scale": (), "kernel": (400, 9)}
    weights = random_weights(**shapes)
    weight_files.write(tmp_path / "weights", weights)
    sizes = [path.stat().st_size for path in (tmp_path / "weights").iterdir()]
    assert len(sizes) > 1
    assert max(sizes) < 1e6
    found = weight_files.read(tmp_path / "weights")
    assert found.keys() == weights.keys()
    for name, value in weights.items():
        assert (found[name].shape, found[name].dtype) == (value.shape, value.dtype)
        np.testing.assert_array_equal(found[name], value.astype(np.float16))


def test_what_is_larger_than_a_file_stays_whole(tmp_path):
    weights = random_weights(first=(3,), rows=(2, weight_files.LIMIT), last=(3,))
    weight_files.write(tmp_path / "weights", weights)
    found = weight_files.read(tmp_path / "weights")
    assert {key: x.shape for key, x in found.items()} == {
        key: x.shape for key, x in weights.items()
    }


@pytest.mark.parametrize("value", [1e5, np.nan])
def test_what_half_precision_cannot_represent_is_refused(tmp_path, value):
    with pytest.raises(ValueError, match="half precision cannot represent kernel"):
        weight_files.write(tmp_path / "weights", {"kernel": np.full([2], value)})


def test_damaged_file_is_named(tmp_path):
    weight_files.write(tmp_path / "weights", random_weights(kernel=(3, 3)))
    (path,) = (tmp_path / "weights").iterdir()
    path.write_bytes(path.read_bytes()[:-30])
    assert weight_files.is_folder(path.parent)
    with pytest.raises(ValueError, match=r"001\.npz is damaged: "):
        weight_files.read(path.parent)


@pytest.mark.parametrize(
    ("kernel", "reason"),
    [
        (np.array([1, np.nan]), "'kernel' is not finite"),
        (np.array([{}, {}]), "allow_pickle=False"),
        (np.array(["a", "b"]), "could not convert"),
    ],
)
def test_what_is_no_weight_is_named(kernel, reason, tmp_path):
    np.savez(tmp_path / "001.npz", kernel=kernel)
    with pytest.raises(ValueError, match=reason) as caught:
        weight_files.read(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/001.npz is damaged: ")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"a text", pickle.dumps({"kernel": 1})])
def test_foreign_files_are_named(content, tmp_path):
    (tmp_path / "001.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"001\.npz is damaged") as caught:
        weight_files.read(tmp_path)
    assert len(str(caught.value).splitlines()) == 1
    assert not weight_files.is_folder(tmp_path / ("a" * 5000))


def test_pickles_are_not_loaded(tmp_path):
    np.savez(tmp_path / "001.npz", kernel=np.array([{}], object))
    with pytest.raises(ValueError, match="damaged"):
        weight_files.read(tmp_path)
