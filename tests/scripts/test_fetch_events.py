import csv
import json

import pytest

from planet.scripts import fetch_events
from tests import written_runs

PNG = b"\x89PNG and so on"
GIF = b"GIF89a and so on"


@pytest.fixture(scope="module")
def logdir(tmp_path_factory):
    """Two good runs, a torn one and two without events, which are only read."""
    logdir = tmp_path_factory.mktemp("logdir")
    for number, offset in (("00001", 0), ("00002", 5)):
        written_runs.write_run(logdir / "good" / number, offset=offset)
    test = logdir / "good" / "00002" / "test"
    written_runs.write_image(test, "openloop/image", 110, GIF + b"1")
    written_runs.write_image(test, "openloop/image", 220, GIF + b"2", GIF + b"3")
    written_runs.write_image(test, "../../plot: x", 110, PNG)
    written_runs.write_run(logdir / "torn" / "00001")
    (file,) = written_runs.event_files(logdir / "torn" / "00001" / "train")
    file.write_bytes(file.read_bytes()[:-1])
    (logdir / "empty").mkdir()
    (logdir / "none" / "00001" / "test").mkdir(parents=True)
    return logdir


def test_folder(logdir, tmp_path, capsys):
    output = tmp_path / "new" / "out"
    assert fetch_events.main(["--logdir", str(logdir), "--output", str(output)]) == 0
    captured = capsys.readouterr()
    assert captured.out == "Wrote 18 curves and 4 images of 3 runs\n"
    (torn,) = written_runs.event_files(logdir / "torn" / "00001" / "train")
    assert captured.err.splitlines() == [
        f"Skip {logdir}/empty: the folder is empty",
        f"Skip {logdir}/none/00001: no event files in {logdir}/none/00001/test",
        f"Read {torn} only in part: the last record is cut",
    ]

    with (output / "scalars.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["run", "tag", "step", "wall_time", "value"]
    columns = json.loads((output / "scalars.json").read_text())
    assert list(columns) == ["good/00001", "good/00002", "torn/00001"]
    assert columns["torn/00001"]["train/score"]["step"] == [100, 210]
    assert columns["good/00002"]["test/score"]["step"] == [110, 220, 330]
    assert columns["good/00002"]["test/score"]["value"] == [115, 225, 335]
    flat = [
        (run, tag, step, time, value)
        for run, tags in columns.items()
        for tag, curve in tags.items()
        for step, time, value in zip(*curve.values(), strict=True)
    ]
    assert len(flat) == 3 * 6 * 3 - 1
    assert flat == [
        (*names, int(step), float(time), float(value))
        for *names, step, time, value in rows
    ]

    images = output / "images"
    contents = {
        path.relative_to(images).as_posix(): path.read_bytes()
        for path in images.rglob("*.*")
    }
    assert contents == {
        "good/00002/test/openloop/image/00000110.gif": GIF + b"1",
        "good/00002/test/openloop/image/00000220.gif": GIF + b"2",
        "good/00002/test/openloop/image/00000220-1.gif": GIF + b"3",
        "good/00002/test/_/_/plot_ x/00000110.png": PNG,
    }


def test_tags_that_cannot_be_paths_are_skipped(tmp_path, capsys):
    test = tmp_path / "logdir" / "00001" / "test"
    for tag in ("a", "a/00000001.png", "b" * 300, "/etc/x", "../../c", "..", "ok"):
        written_runs.write_image(test, tag, 1, PNG)
    output = tmp_path / "out"
    command = ["--logdir", str(test.parent.parent), "--output", str(output)]
    assert fetch_events.main(command) == 0
    written = {path.relative_to(tmp_path).as_posix() for path in output.rglob("*.png")}
    folder = "out/images/logdir/00001/test"
    names = ("a/00000001", "_/00000001", "_/_/c/00000001", "ok/00000001")
    assert written == {f"{folder}/{name}.png" for name in names} | {
        f"{folder}/etc/x/00000001.png"
    }
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Skip images 'test/a/00000001.png': File exists"
    assert lines[1].startswith("Skip images 'test/bbb")
    assert lines[1].endswith("': File name too long")
    assert len(lines) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logdir", "out"]


@pytest.mark.parametrize("name", ["scores.csv", "scores.json"])
def test_file_with_selected_curves(name, logdir, tmp_path):
    output = tmp_path / name
    command = ["--logdir", str(logdir), "--output", str(output)]
    command += ["--runs", "*/00002", "--tags", "score", "train/*reward"]
    assert fetch_events.main(command) == 0
    if name == "scores.csv":
        with output.open(newline="") as file:
            found = {(row["run"], row["tag"]) for row in csv.DictReader(file)}
    else:
        content = json.loads(output.read_text())
        found = {(run, tag) for run, tags in content.items() for tag in tags}
    tags = ("test/score", "train/loss/zero_step/reward", "train/score")
    assert found == {("good/00002", tag) for tag in tags}


def test_existing_output_is_replaced_only_if_told(logdir, tmp_path, capsys):
    output = tmp_path / "out.csv"
    output.write_text("precious")
    command = ["--logdir", str(logdir), "--output", str(output), "--runs", "good"]
    with pytest.raises(SystemExit, match="2"):
        fetch_events.main(command)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("exists; --overwrite replaces it")
    assert output.read_text() == "precious"
    assert fetch_events.main([*command, "--overwrite"]) == 0
    assert output.read_text().startswith("run,tag,step")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--runs", "godo/00001"],
            "unknown run 'godo/00001'; did you mean 'good/00001",
        ),
        (["--runs", "good", "--tags", "scoer"], "unknown tag 'scoer'; did you mean '"),
        (["--logdir", "no_such"], "argument --logdir: 'no_such' is not a folder"),
        (
            ["--output", "setup.py/a"],
            "argument --output: 'setup.py/a' is not a folder",
        ),
        (["--tag", "score"], "unknown flag '--tag'; did you mean '--tags'?"),
    ],
)
def test_bad_input(arguments, message, logdir, tmp_path, capsys):
    command = ["--logdir", str(logdir), "--output", str(tmp_path / "out"), *arguments]
    with pytest.raises(SystemExit, match="2"):
        fetch_events.main(command)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"planet.scripts.fetch_events: error: {message}")
    assert not any(tmp_path.iterdir())


def test_no_events_at_all(logdir, tmp_path, capsys):
    output = tmp_path / "out"
    command = ["--logdir", str(logdir / "none"), "--output", str(output)]
    assert fetch_events.main(command) == 1
    assert capsys.readouterr().err.endswith(f"error: no events in {logdir}/none\n")
    assert not output.exists()


def test_help_without_tensorflow(run_python):
    program = (
        "import sys; from planet.scripts import create_video, fetch_events\n"
        "for script in (create_video, fetch_events):\n"
        "  try: script.main(['--help'])\n"
        "  except SystemExit as end: assert not end.code\n"
        "sys.exit('tensorflow' in sys.modules)"
    )
    result = run_python("-c", program)
    assert result.returncode == 0, result.stderr
    for flag in ("logdir", "output", "runs", "tags", "tag", "steps", "overwrite"):
        assert f"--{flag} " in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
