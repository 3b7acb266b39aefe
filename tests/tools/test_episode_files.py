import functools
import io
import pickle
import re
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from planet.tools import episode_files


def make_episode(length=4, seed=0):
    random = np.random.default_rng(seed)
    return {
        "image": random.integers(0, 255, (length, 8, 8, 3), np.uint8),
        "action": random.uniform(-1, 1, (length, 2)).astype(np.float32),
        "reward": random.uniform(0, 1, length).astype(np.float32),
    }


def assert_equal_episodes(left, right):
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], strict=True)


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = episode_files.write(tmp_path_factory.mktemp("episodes"), make_episode())
    return path.read_bytes()


def test_what_is_written_is_read(tmp_path):
    path = episode_files.write(tmp_path / "a" / "b", make_episode())
    assert path.parent == tmp_path / "a" / "b"
    assert re.fullmatch(r"\d{8}T\d{6}-[0-9a-f]{32}\.npz", path.name)
    assert_equal_episodes(episode_files.read(path), make_episode())


def test_decisions_are_counted_without_the_entry_of_the_reset(tmp_path):
    path = episode_files.write(tmp_path, make_episode(length=4))
    assert episode_files.count_decisions(path) == 3
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(episode_files.TornEpisodeError):
        episode_files.count_decisions(path)
    with pytest.raises(episode_files.TornEpisodeError, match="it is gone"):
        episode_files.count_decisions(tmp_path / "missing.npz")


def test_scan_lists_episodes_in_the_order_of_time(tmp_path):
    names = ["20260102T000000-b.npz", "20250102T000000-c.npz", "20260102T000001-a.npz"]
    for name in [*names, "20260102T000000-d.tmp"]:
        (tmp_path / name).touch()
    found = [path.name for path in episode_files.scan(tmp_path)]
    assert found == [names[1], names[0], names[2]]


def test_scan_lists_the_newest_only_if_asked(tmp_path):
    paths = [episode_files.write(tmp_path, make_episode()) for _ in range(3)]
    (tmp_path / "notes.txt").touch()
    assert episode_files.scan(tmp_path, 2) == paths[1:]
    assert episode_files.scan(tmp_path, 0) == []
    assert episode_files.scan(tmp_path, 5) == paths
    assert episode_files.count(tmp_path) == 3


def test_scan_of_a_missing_folder_finds_nothing(tmp_path):
    assert episode_files.scan(tmp_path / "missing") == []
    assert episode_files.count(tmp_path / "missing") == 0


def test_a_failed_write_leaves_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match="Object arrays"):
        episode_files.write(tmp_path, {"reward": np.array([object()])})
    assert not list(tmp_path.iterdir())


def test_a_killed_writer_leaves_complete_episodes_only(tmp_path):
    program = (
        "import sys\n"
        "from planet.tools import episode_files\n"
        "from tests.tools.test_episode_files import make_episode\n"
        "episode = make_episode(20000)\n"
        "while True: episode_files.write(sys.argv[1], episode)\n"
    )
    for attempt in range(3):
        writer = subprocess.Popen([sys.executable, "-c", program, tmp_path])
        while len(episode_files.scan(tmp_path)) <= attempt:
            time.sleep(0.01)
        time.sleep(0.02 * attempt)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert list(tmp_path.glob("*.tmp"))  # A writer was killed while it wrote.
    for path in episode_files.scan(tmp_path):
        assert len(episode_files.read(path)["image"]) == 20000


@given(share=st.floats(0, 1, exclude_max=True))
@settings(max_examples=50, deadline=None)
def test_a_torn_file_is_recognized(tmp_path_factory, content, share):
    path = tmp_path_factory.getbasetemp() / "torn.npz"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(episode_files.TornEpisodeError) as caught:
        episode_files.read(path)
    assert caught.value.path == path
    assert str(path) in str(caught.value)
    assert caught.value.reason in str(caught.value)


@given(place=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255))
@settings(max_examples=200, deadline=None)
def test_a_damaged_byte_is_harmless_or_recognized(
    tmp_path_factory, content, place, mask
):
    damaged = bytearray(content)
    damaged[int(place * len(content))] ^= mask
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    path.write_bytes(damaged)
    try:
        episode = episode_files.read(path)
    except episode_files.TornEpisodeError:
        return
    assert_equal_episodes(episode, make_episode())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"reward": np.zeros(3)}, "lengths differ: .*'reward': 3"),
        ({"reward": np.zeros(())}, "unsized"),
        ({"reward": np.array([{}] * 4)}, "allow_pickle=False"),
    ],
)
def test_files_that_hold_something_else_are_refused(tmp_path, change, reason):
    np.savez(tmp_path / "other.npz", **{**make_episode(), **change})
    with pytest.raises(episode_files.TornEpisodeError, match=reason):
        episode_files.read(tmp_path / "other.npz")


@pytest.mark.parametrize("name", episode_files.REQUIRED)
def test_no_array_may_be_missing(tmp_path, name):
    episode = make_episode()
    del episode[name]
    np.savez(tmp_path / "other.npz", **episode)
    with pytest.raises(episode_files.TornEpisodeError, match=name):
        episode_files.read(tmp_path / "other.npz")


def test_an_episode_that_was_deleted_is_gone(tmp_path):
    path = episode_files.write(tmp_path, make_episode())
    path.unlink()
    with pytest.raises(episode_files.TornEpisodeError, match="it is gone"):
        episode_files.read(path)


def test_a_folder_is_no_episode(tmp_path):
    (tmp_path / "folder.npz").mkdir()
    for read in (episode_files.read, episode_files.count_decisions):
        with pytest.raises(episode_files.TornEpisodeError, match="Is a directory"):
            read(tmp_path / "folder.npz")


def foreign_files():
    """Contents of files that are no episodes."""
    picture, archive = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("notes.txt", "no arrays")
        file.writestr("../../outside.npy", "no array either")
    array = io.BytesIO()
    np.save(array, np.zeros(4))
    return {
        "empty": b"",
        "text": b"reward: 1\naction: 2\n",
        "picture": picture.getvalue(),
        "archive": archive.getvalue(),
        "array": array.getvalue(),
        "pickle": pickle.dumps(make_episode()),
    }


@pytest.mark.parametrize("name", foreign_files())
def test_foreign_files_are_refused_in_a_line(name, tmp_path):
    path = tmp_path / "20260101T000000-a.npz"
    path.write_bytes(foreign_files()[name])
    check = functools.partial(episode_files.check, expected=EXPECTED)
    for read in (episode_files.read, episode_files.count_decisions, check):
        with pytest.raises(episode_files.TornEpisodeError) as caught:
            read(path)
        assert len(str(caught.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == [path]


EXPECTED = {"image": (8, 8, 3), "action": (2,), "reward": ()}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"image": np.zeros((4, 9, 8, 3), np.uint8)}, r"has shape \(9, 8, 3\), not "),
        ({"image": np.zeros((4, 8, 8, 3))}, "its 'image' is of type float64"),
        ({"action": np.zeros((4, 3))}, r"'action' has shape \(3,\), not \(2,\)"),
        ({"action": np.full((4, 2), np.nan)}, "its 'action' is not finite"),
        ({"action": np.full((4, 2), "left")}, "its 'action' is of type <U4"),
        ({"reward": np.array([0, 1, np.inf, 0])}, "its 'reward' is not finite"),
        ({"reward": np.zeros((4, 1))}, r"'reward' has shape \(1,\), not \(\)"),
        ({"reward": np.zeros(4, complex)}, "its 'reward' is of type complex128"),
        ({"image": None}, "it has no 'image'"),
        ({key: value[:0] for key, value in make_episode().items()}, "has no steps"),
    ],
)
def test_what_the_model_does_not_expect_is_refused(change, reason, tmp_path):
    episode = {**make_episode(), **change}
    path = tmp_path / "other.npz"
    np.savez(path, **{key: x for key, x in episode.items() if x is not None})
    with pytest.raises(episode_files.TornEpisodeError, match=reason) as caught:
        episode_files.read(path, EXPECTED)
    assert len(str(caught.value).splitlines()) == 1
    if "finite" in reason:  # Which takes reading the numbers.
        episode_files.check(path, EXPECTED)
    else:
        with pytest.raises(episode_files.TornEpisodeError, match=reason):
            episode_files.check(path, EXPECTED)


def test_what_is_expected_is_read_whatever_else_there_is(tmp_path):
    episode = {**make_episode(), "velocity": np.full((4, 3), np.nan)}
    path = episode_files.write(tmp_path, episode)
    assert_equal_episodes(episode_files.read(path, EXPECTED), episode)
    assert_equal_episodes(episode_files.read(path, {"action": None}), episode)
    episode_files.check(path, {**EXPECTED, "velocity": (3,)})
    with pytest.raises(
        episode_files.TornEpisodeError, match="'velocity' is not finite"
    ):
        episode_files.read(path, {**EXPECTED, "velocity": None})


def test_names_sort_as_they_were_made(tmp_path):
    names = [episode_files.new_name(tmp_path) for _ in range(100)]
    assert sorted(set(names)) == names
    assert all(re.fullmatch(r"\d{8}T\d{6}-[0-9a-f]{32}\.npz", name) for name in names)


def test_an_episode_that_is_made_again_keeps_its_name(tmp_path):
    name = episode_files.new_name(tmp_path, (1, 2))
    assert episode_files.find(tmp_path, (1, 2)) is None
    path = episode_files.write(tmp_path, make_episode(), name)
    assert episode_files.find(tmp_path, (1, 2)) == path
    assert episode_files.new_name(tmp_path, (1, 2)) == name
    assert episode_files.new_name(tmp_path, (1, 3)) > name
