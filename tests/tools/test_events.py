import contextlib
import io
import pathlib
import pickle

import hypothesis
import pytest
from hypothesis import strategies
from tensorboard.util import tensor_util

from benchmarks.soak import samples
from planet.tools import events
from tests import written_runs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that is only read."""
    folder = tmp_path_factory.mktemp("runs") / "label" / "00001"
    written_runs.write_run(folder)
    return events.Run("label", "00001", folder)


def read_steps(folder, tag):
    found = events.read(folder, "scalars", [tag].__contains__)
    return {event.step: event.value for event in found.get(tag, [])}


def test_scalars(run):
    found = events.read_run(run, "scalars")
    assert list(found) == [
        f"{phase}/{tag}"
        for phase in ("train", "test")
        for tag in (*written_runs.LOSSES, "score")
    ]
    steps = [(event.step, event.value) for event in found["test/score"]]
    assert steps == [(110, 110.0), (220, 220.0), (330, 330.0)]
    times = [event.wall_time for event in found["test/score"]]
    assert times == sorted(times)
    assert times[0] > 1e9
    selected = events.read_run(run, "scalars", events.select_tags(["train/s*"]))
    assert list(selected) == ["train/score"]
    assert events.read_run(run, "images") == {}


def test_images_and_histograms(tmp_path):
    written_runs.write_image(tmp_path, "video", 3, b"GIF8 one", b"GIF8 two")
    written_runs.write_histogram(tmp_path, "returns", 3, [0.0, 1.0, 1.0, 3.0])
    ((event,),) = events.read(tmp_path, "images").values()
    assert event.value == [b"GIF8 one", b"GIF8 two"]
    ((event,),) = events.read(tmp_path, "histograms").values()
    assert event.value.shape == (30, 3)
    assert (event.value[0, 0], event.value[-1, 1]) == (0, 3)
    assert event.value[:, 2].sum() == 4


def test_continued_run_shows_one_line(tmp_path):
    written_runs.restart(tmp_path, 1)
    written_runs.write_run(tmp_path, epochs=3)
    written_runs.restart(tmp_path, 221)
    written_runs.write_run(tmp_path, epochs=2, first=2, offset=1000)
    scores = {110: 110, 220: 220, 330: 1330, 440: 1440}
    assert read_steps(tmp_path / "test", "score") == scores


def test_void_events_are_gone_even_if_nothing_replaces_them(tmp_path):
    written_runs.restart(tmp_path, 1)
    written_runs.write_run(tmp_path, epochs=3)
    written_runs.restart(tmp_path, 111)
    assert read_steps(tmp_path / "test", "score") == {110: 110}
    written_runs.restart(tmp_path, 1)
    assert events.read(tmp_path / "test", "scalars") == {}


def test_last_value_of_a_step_counts(tmp_path):
    written_runs.write_run(tmp_path)
    written_runs.write_run(tmp_path, first=1, epochs=1, offset=5)
    scores = {110: 110, 220: 225, 330: 330}
    assert read_steps(tmp_path / "test", "score") == scores


def test_missing_events_are_named(tmp_path):
    run = events.Run("label", "", tmp_path)
    with pytest.raises(events.EventsError, match="the folder is empty"):
        events.read_run(run, "scalars")
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(events.EventsError, match="no folder 'train' or 'test' in it"):
        events.read_run(run, "scalars")
    (tmp_path / "test").mkdir()
    with pytest.raises(events.EventsError, match=f"no event files in {tmp_path}/test"):
        events.read_run(run, "scalars")
    with pytest.raises(events.EventsError, match="no event files"):
        events.read(tmp_path / "train", "scalars")


@hypothesis.given(data=strategies.data())
@hypothesis.settings(deadline=None, max_examples=100)
def test_truncated_files_are_read_up_to_the_cut(data, run, tmp_path_factory):
    content = written_runs.event_files(run.path / "test")[0].read_bytes()
    length = data.draw(strategies.integers(0, len(content) - 1))
    path = tmp_path_factory.mktemp("cut") / "events.out.tfevents.1"
    path.write_bytes(content[:length])
    found, warnings = read_with_warnings(path.parent)
    complete = events.read(run.path / "test", "scalars")
    assert is_beginning(found, complete)
    if warnings:
        assert warnings == f"Read {path} only in part: the last record is cut\n"
    else:  # Cut between two records.
        path.write_bytes(content[: length + 1])
        assert read_with_warnings(path.parent)[0] == found


@hypothesis.given(data=strategies.data())
@hypothesis.settings(deadline=None, max_examples=100)
def test_damaged_files_are_read_up_to_the_damage(data, run, tmp_path_factory):
    content = bytearray(written_runs.event_files(run.path / "test")[0].read_bytes())
    position = data.draw(strategies.integers(0, len(content) - 1))
    content[position] ^= data.draw(strategies.integers(1, 255))
    path = tmp_path_factory.mktemp("damaged") / "events.out.tfevents.1"
    path.write_bytes(content)
    found, warnings = read_with_warnings(path.parent)
    assert is_beginning(found, events.read(run.path / "test", "scalars"))
    assert warnings == f"Read {path} only in part: a checksum is wrong\n"


def read_with_warnings(folder):
    """Scalars in a folder, and what was printed about its files."""
    with contextlib.redirect_stderr(io.StringIO()) as printed:
        found = events.read(folder, "scalars")
    return found, printed.getvalue()


def is_beginning(found, complete):
    return all(found[tag] == complete[tag][: len(found[tag])] for tag in found)


@pytest.mark.parametrize(
    ("content", "warning"),
    [
        (b"", ""),
        (b"short", "the last record is cut"),
        (b"This is a text, and not a list of events.", "a checksum is wrong"),
        (pickle.dumps({"step": 1}), "a checksum is wrong"),
        (samples.record(b"not an event"), "a record is not an event: DecodeError"),
        (samples.record(b"", size=2**60), "the last record is cut"),
    ],
)
def test_files_of_something_else_hold_no_events(content, warning, tmp_path):
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(content)
    found, printed = read_with_warnings(tmp_path)
    assert found == {}
    assert printed.startswith(f"Read {path} only in part: {warning}" if warning else "")
    assert len(printed.splitlines()) == bool(warning)


def test_what_follows_in_other_files_is_read(tmp_path):
    written_runs.write_run(tmp_path, epochs=2)
    (first,) = written_runs.event_files(tmp_path / "test")
    first.write_bytes(first.read_bytes()[:-1])
    written_runs.write_run(tmp_path, epochs=1, first=2)
    found, printed = read_with_warnings(tmp_path / "test")
    assert [event.step for event in found["score"]] == [110, 330]
    assert printed == f"Read {first} only in part: the last record is cut\n"
    assert read_with_warnings(tmp_path / "test") == (found, "")


@pytest.mark.parametrize(
    ("plugin", "value"),
    [
        ("scalars", ["text"]),
        ("scalars", [1.0, 2.0]),
        ("images", 3.0),
        ("images", [1.0, 1.0, 1.0]),
        ("histograms", [[1.0, 2.0]]),
        ("histograms", [["a", "b", "c"]]),
    ],
)
def test_values_of_the_wrong_kind_are_skipped(plugin, value, tmp_path, capsys):
    written_runs.write_value(
        tmp_path, plugin, "tag", tensor_util.make_tensor_proto(value)
    )
    written_runs.write_value(
        tmp_path, "scalars", "other", tensor_util.make_tensor_proto(3.0)
    )
    others = ["other"] if plugin == "scalars" else []
    assert list(events.read(tmp_path, plugin)) == others
    warning = f"Skip 'tag' in {tmp_path}: not all are {plugin}\n"
    assert capsys.readouterr().err == warning


def test_a_small_event_cannot_claim_to_be_huge(tmp_path, capsys):
    tensor = tensor_util.make_tensor_proto(3.0)
    for _ in range(4):
        tensor.tensor_shape.dim.add(size=10**5)
    written_runs.write_value(tmp_path, "scalars", "tag", tensor)
    assert events.read(tmp_path, "scalars") == {}
    assert capsys.readouterr().err.startswith("Skip 'tag' in ")


def test_runs_are_found_and_named(tmp_path, monkeypatch):
    folders = ["a/00001", "a/00002", "deep/b/00001", "c/test", "empty", ".hidden/00001"]
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "a" / "00001" / "train_episodes").mkdir()
    (tmp_path / "deep" / "circle").symlink_to(tmp_path)
    (tmp_path / "file").touch()
    for path in ("films/film.gif", "tables/scores.json", "flat/events.out.tfevents.1"):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).touch()
    names = ["a/00001", "a/00002", "c", "deep/b/00001", "empty", "flat"]
    runs = events.find_runs(tmp_path)
    assert [run.name for run in runs] == names
    assert [run.label for run in runs] == ["a", "a", "c", "deep/b", "empty", "flat"]
    assert [run.path for run in runs] == [tmp_path / name for name in names]
    for start in (tmp_path / "a", tmp_path / "a" / "00001"):
        monkeypatch.chdir(start)
        for folder in (start, pathlib.Path(".")):
            assert events.find_runs(folder)[0] == runs[0]


def test_runs_are_selected(tmp_path):
    runs = [events.Run(*name, tmp_path) for name in (("a", "00001"), ("ab", "00001"))]
    assert events.select_runs(runs, ["*"]) == runs
    assert events.select_runs(runs, ["a"]) == runs[:1]
    assert events.select_runs(runs, ["a/*", "ab/00001"]) == runs
    with pytest.raises(
        events.EventsError, match="unknown run 'abc'; did you mean 'ab'"
    ):
        events.select_runs(runs, ["a*", "abc"])


def test_failure_is_the_last_line(tmp_path):
    run = events.Run("a", "00001", tmp_path)
    assert run.failure() is None
    (tmp_path / "FAIL").write_text("Traceback\n  line\nValueError: too bad\n\n")
    assert run.failure() == "ValueError: too bad"
    (tmp_path / "FAIL").write_text("")
    assert run.failure() == "no reason"


def test_reading_needs_no_tensorflow(run, run_python):
    program = (
        "import pathlib, sys; from planet.tools import events\n"
        f"run = events.Run('', '', pathlib.Path({str(run.path)!r}))\n"
        "assert events.read_run(run, 'scalars')\n"
        "print('tensorflow' in sys.modules)"
    )
    result = run_python("-c", program)
    assert result.stdout == "False\n", result.stderr
