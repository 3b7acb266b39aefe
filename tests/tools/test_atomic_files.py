import json
import math

import pytest

from planet.tools import atomic_files


def test_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with atomic_files.writing(path) as file:
        file.write("ä new one")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_bytes().decode("utf-8") == "ä new one"
    assert list(tmp_path.iterdir()) == [path]


def test_failed_writing_changes_nothing(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def write():
        with atomic_files.writing(path, "wb") as file:
            file.write(b"half of")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("indent", [None, 2])
def test_json(tmp_path, indent):
    values = {"returns": [1.5, 2], "task": "ä"}
    atomic_files.write_json(tmp_path / "a.json", values, indent)
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == values
    assert len(text.splitlines()) == (7 if indent else 1)
    with pytest.raises(ValueError, match="nan"):
        atomic_files.write_json(tmp_path / "b.json", [math.nan])
    assert not (tmp_path / "b.json").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"\x80", b"[" * 100_000, None])
def test_what_is_not_json_is_refused_in_a_line(content, tmp_path):
    path = tmp_path / "values.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r".") as caught:
        atomic_files.read_json(path)
    assert len(str(caught.value).splitlines()) == 1
