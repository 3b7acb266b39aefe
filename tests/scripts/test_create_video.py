import numpy as np
import pytest

from planet.scripts import create_video
from planet.tools import video
from tests import written_runs

RED, GREEN, BLUE = np.eye(3, dtype=np.uint8) * 255


def filled(color, length=4, height=40, width=200):
    return np.full((length, height, width, 3), color, np.uint8)


@pytest.fixture(scope="module")
def logdir(tmp_path_factory):
    """Runs with GIFs, which are only read."""
    logdir = tmp_path_factory.mktemp("logdir")
    for name, color in (("a/00001", RED), ("a/00002", GREEN), ("b/00001", BLUE)):
        folder = logdir / name / "test"
        for step, shade in ((10, 4), (20, 1)):
            gif = video.encode_gif(filled(color // shade), 20)
            written_runs.write_image(folder, "openloop/image", step, gif)
        written_runs.write_image(folder, "plot", 10, b"\x89PNG and so on")
    (logdir / "empty").mkdir()
    return logdir


def colors_at(frame, grid_rows, grid_columns):
    """The colours in the middle of the cells of a grid."""
    height, width = frame.shape[0] // grid_rows, frame.shape[1] // grid_columns
    middle = frame[height // 2 :: height, width // 2 :: width]
    return middle.tolist()


def test_grid_of_the_latest_gifs(logdir, tmp_path, capsys):
    output = tmp_path / "grid.gif"
    command = ["--logdir", str(logdir), "--output", str(output), "--columns", "3"]
    assert create_video.main([*command, "--tag", "openloop*"]) == 0
    captured = capsys.readouterr()
    assert captured.err == f"Skip {logdir}/empty: the folder is empty\n"
    assert captured.out.startswith(f"Wrote 3 videos to {output}, ")
    frames, _ = video.read_gif(output)
    assert colors_at(frames[0], 1, 3) == [[RED.tolist(), GREEN.tolist(), BLUE.tolist()]]
    assert (frames[0, :20] == 255).any()  # Captions.


def test_every_step_of_selected_runs(logdir, tmp_path):
    output = tmp_path / "grid.gif"
    command = ["--logdir", str(logdir), "--output", str(output), "--tag", "test/*image"]
    command += ["--runs", "a", "--steps", "all", "--columns", "2", "--fps", "5"]
    assert create_video.main(command) == 0
    frames, _ = video.read_gif(output)
    dark_red, dark_green = (RED // 4).tolist(), (GREEN // 4).tolist()
    expected = [[dark_red, RED.tolist()], [dark_green, GREEN.tolist()]]
    assert colors_at(frames[0], 2, 2) == expected


def test_gifs_that_cannot_be_read_are_skipped(tmp_path, capsys):
    gif = video.encode_gif(filled(RED), 20)
    for run, content in (("00001", gif), ("00002", gif[:-5])):
        written_runs.write_image(tmp_path / "a" / run / "test", "film", 1, content)
    command = ["--logdir", str(tmp_path), "--tag", "film", "--output"]
    assert create_video.main([*command, str(tmp_path / "grid.gif")]) == 0
    captured = capsys.readouterr()
    reason = "not a complete GIF"
    assert captured.err == f"Skip 'test/film' of a/00002 at step 1: {reason}\n"
    assert captured.out.startswith("Wrote 1 video to ")
    with pytest.raises(SystemExit, match="2"):
        create_video.main([*command, str(tmp_path / "none.gif"), "--runs", "a/00002"])
    assert "error: there is no complete GIF of 'film'" in capsys.readouterr().err
    assert not (tmp_path / "none.gif").exists()


def test_files_of_different_length_speed_and_size(tmp_path):
    short = np.concatenate([filled(RED, 1), filled(GREEN, 1)])
    long = np.arange(0, 250, 25, dtype=np.uint8)[:, None, None, None]
    long = np.broadcast_to(long, (10, 60, 180, 1)).copy()
    video.write(tmp_path / "short.gif", short, 10)
    video.write(tmp_path / "long.gif", long, 20)
    files = [str(tmp_path / name) for name in ("short.gif", "long.gif")]
    output = tmp_path / "grid.gif"
    assert create_video.main([*files, "--output", str(output), "--columns", "2"]) == 0
    frames, fps = video.read_gif(output)
    assert (len(frames), fps) == (10, 20)
    left, right = zip(*(colors_at(frame, 1, 2)[0] for frame in frames), strict=True)
    assert list(left) == 2 * [RED.tolist()] + 8 * [GREEN.tolist()]
    assert [color[0] for color in right] == list(range(0, 250, 25))


def test_mp4(logdir, tmp_path):
    av = pytest.importorskip("av", reason="PyAV is not installed: the extra mp4")
    output = tmp_path / "grid.mp4"
    command = ["--logdir", str(logdir), "--output", str(output), "--tag", "openloop*"]
    assert create_video.main(command) == 0
    with av.open(str(output)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 1  # Nothing moves.


def test_shape_of_the_grid():
    def shape(count, height, width):
        entries = [
            create_video.Video("", np.zeros((1, height, width, 3), np.uint8), 20)
        ]
        frames, _ = create_video.make_grid(entries * count)
        return frames.shape[1:3]

    for count in (1, 2, 5, 12):
        height, width = shape(count, 64, 64)
        assert 0.9 < width / height < 3
    wide = create_video.Video("", np.zeros((1, 40, 200, 3), np.uint8), 20)
    one, _ = create_video.make_grid([wide], columns=10**12)
    np.testing.assert_array_equal(one, create_video.make_grid([wide], columns=1)[0])
    assert shape(4, 600, 170)[0] < 700  # Tall ones stand beside each other.
    assert shape(3, 40, 600)[1] < 700


def test_long_captions_lose_their_middle():
    entry = create_video.Video("cartpole_balance/" * 9 + "00001", filled(RED), 20)
    frames, _ = create_video.make_grid([entry])
    assert frames.shape[2] == 200 + 2 * create_video.GAP
    margin = frames[:, :, 200 + create_video.GAP + 2 :]
    assert (margin == create_video.BACKGROUND).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give DIR and --tag, or GIF files"),
        (["--tag", "a"], "give DIR and --tag, or GIF files"),
        (["--logdir", "LOGDIR"], "DIR and --tag belong together"),
        (["LOGDIR"], "DIR and --tag belong together"),
        (["LOGDIR", "LOGDIR", "--tag", "a"], "give one folder of runs, not 2"),
        (["--logdir", "no_such"], "argument --logdir: 'no_such' is not a folder"),
        (["no_such.gif"], "argument DIR|FILE.gif: 'no_such.gif' is not a file"),
        (["setup.py"], "'setup.py' cannot be read: not a complete GIF"),
        (
            ["--logdir", "LOGDIR", "--tag", "openlop*", "--runs", "a"],
            "unknown tag 'openlop*'; did you mean 'test/openloop/image'?",
        ),
        (
            ["--logdir", "LOGDIR", "--tag", "*", "--runs", "c"],
            "unknown run 'c'; known: 'a', 'a/00001', ",
        ),
        (
            ["--output", "grid.png"],
            "argument --output: 'grid.png' must end with .gif o",
        ),
    ],
)
def test_bad_input(arguments, message, logdir, tmp_path, capsys):
    arguments = [str(logdir) if word == "LOGDIR" else word for word in arguments]
    with pytest.raises(SystemExit, match="2"):
        create_video.main(["--output", str(tmp_path / "grid.gif"), *arguments])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"planet.scripts.create_video: error: {message}")
    assert not any(tmp_path.iterdir())


def test_existing_output_is_replaced_only_if_told(tmp_path, capsys):
    path = tmp_path / "video.gif"
    video.write(path, filled(RED), 20)
    before = path.read_bytes()
    with pytest.raises(SystemExit, match="2"):
        create_video.main([str(path), "--output", str(path)])
    assert "exists; --overwrite replaces it" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert create_video.main([str(path), "--output", str(path), "--overwrite"]) == 0
    assert path.read_bytes() != before
