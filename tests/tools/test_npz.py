import io
import pickle

import numpy as np
import pytest

from planet.tools import npz


def packed(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def test_arrays_are_read_one_by_one():
    with npz.reading(io.BytesIO(packed(a=np.arange(3), b=np.zeros((2, 2))))) as arrays:
        assert set(arrays) == {"a", "b"}
        assert arrays["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is cut, or no archive of arrays"),
        (b"a text", "it is cut, or no archive of arrays"),
        (pickle.dumps([1]), "it is cut, or no archive of arrays"),
        (packed(a=np.arange(3))[:-1], "it is cut, or no archive of arrays"),
        (packed(b=np.arange(3)), "KeyError: .*a is not a file in the archive"),
        (packed(a=np.array([{}], object)), "ValueError: Object arrays cannot be"),
        (packed(a=np.zeros(100)).replace(b"<f8", b"<q8"), "BadZipFile|ValueError"),
    ],
)
def test_what_fails_is_told_in_a_line(content, reason):
    with pytest.raises(npz.DamagedError, match=reason) as caught:  # noqa: SIM117
        with npz.reading(io.BytesIO(content)) as arrays:
            arrays["a"].tolist()
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("names", ["a", "é"])
def test_headers_are_read_without_the_numbers(names):
    arrays = {names: np.zeros((2, 3), np.float32), "b": np.array([{}], object)}
    headers = npz.headers(io.BytesIO(packed(**arrays, c=np.zeros((), "u1"))))
    assert headers == {
        names: ((2, 3), np.float32),
        "b": ((1,), np.dtype(object)),
        "c": ((), np.uint8),
    }
