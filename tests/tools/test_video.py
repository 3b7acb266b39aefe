import io
import sys

import numpy as np
import pytest
from PIL import Image

from planet.tools import video

av = pytest.importorskip("av", reason="PyAV is not installed: the extra mp4")


@pytest.fixture
def grey():
    return np.random.default_rng(0).integers(0, 256, (7, 20, 30, 1), np.uint8)


@pytest.fixture
def smooth():
    """A video [12, 48, 64, 3] with thousands of colours, and a small red dot."""
    time, row, column = np.mgrid[:12, :48, :64]
    frames = np.stack([40 + 10 * time, 50 + 3 * row, 40 + 3 * column], -1)
    frames[:, 20:22, 30:32] = (255, 0, 0)
    return frames.astype(np.uint8)


def test_grey_gif_is_exact_and_plays_forever(grey):
    content = video.encode_gif(grey, 20)
    assert content.startswith(b"GIF89a")
    with Image.open(io.BytesIO(content)) as image:
        assert (image.n_frames, image.info["loop"]) == (7, 0)
        assert image.info["duration"] == 50
    frames, fps = video.decode_gif(content)
    assert fps == 20
    np.testing.assert_array_equal(frames, grey.repeat(3, -1))


def test_gif_of_few_colours_is_exact():
    generator = np.random.default_rng(0)
    palettes = generator.integers(0, 256, (5, 256, 3), np.uint8)
    indices = generator.integers(0, 256, (5, 30, 40))
    frames = np.stack([palettes[i][indices[i]] for i in range(5)])
    decoded, _ = video.decode_gif(video.encode_gif(frames, 10))
    np.testing.assert_array_equal(decoded, frames)


def test_gif_of_many_colours_is_close_and_small(smooth):
    assert len(np.unique(smooth[0].reshape(-1, 3), axis=0)) > 2000
    content = video.encode_gif(smooth, 25)
    frames, fps = video.decode_gif(content)
    assert fps == 25
    assert np.abs(frames.astype(int) - smooth).max() <= 12
    np.testing.assert_array_equal(frames[:, 20:22, 30:32], smooth[:, 20:22, 30:32])
    assert len(content) < smooth.size / 3


def test_gif_of_noise_is_close():
    noise = np.random.default_rng(0).integers(0, 256, (2, 120, 120, 3), np.uint8)
    frames, _ = video.decode_gif(video.encode_gif(noise, 20))
    assert np.abs(frames.astype(int) - noise).max() <= 48


def test_frames_that_do_not_change_are_kept(grey):
    frames = grey[[0, 1, 1, 1, 2, 2]]
    decoded, fps = video.decode_gif(video.encode_gif(frames, 50))
    np.testing.assert_array_equal(decoded, frames.repeat(3, -1))
    assert fps == 50


def test_gif_without_any_change_lasts_as_long(grey):
    frames, fps = video.decode_gif(video.encode_gif(grey[[0] * 10], 20))
    assert len(frames) / fps == pytest.approx(0.5)


@pytest.mark.parametrize(("wanted", "written"), [(1, 1), (30, 100 / 3), (1000, 50)])
def test_gifs_count_hundredths_of_a_second(wanted, written, grey):
    _, fps = video.decode_gif(video.encode_gif(grey, wanted))
    assert fps == pytest.approx(written)


@pytest.mark.parametrize("encode", [video.encode_gif, video.encode_mp4])
@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((2, 4, 4, 3), np.float32), "not float32"),
        (np.zeros((4, 4, 3), np.uint8), r"not uint8 \[4, 4, 3\]"),
        (np.zeros((2, 4, 4, 2), np.uint8), r"C 1 or 3, not uint8 \[2, 4, 4, 2\]"),
        (np.zeros((0, 4, 4, 3), np.uint8), "at least one frame"),
    ],
)
def test_wrong_frames(encode, frames, message):
    with pytest.raises(video.VideoError, match=message):
        encode(frames, 20)


def test_damaged_gif_is_named(grey, tmp_path):
    content = video.encode_gif(grey, 20)
    path = tmp_path / "video.gif"
    for damaged in (content[: len(content) // 2], content[:20] + b";", b"", b"text;"):
        path.write_bytes(damaged)
        with pytest.raises(
            video.VideoError, match=r"video\.gif' cannot be read: not a"
        ):
            video.read_gif(path)
    with pytest.raises(video.VideoError, match="No such file"):
        video.read_gif(tmp_path / "missing.gif")


def test_a_small_gif_cannot_claim_to_be_huge():
    pages = [Image.new("L", (5000, 5000), shade) for shade in (0, 100)]
    file = io.BytesIO()
    options = {"save_all": True, "append_images": pages[1:]}
    pages[0].save(file, "GIF", duration=[10, 600_000], **options)
    assert len(file.getvalue()) < 100_000
    with pytest.raises(video.VideoError, match=r"frames would take \d+ GB"):
        video.decode_gif(file.getvalue())


def test_mp4(smooth, grey):
    for frames in (smooth, grey[:, :19, :29]):
        content = video.encode_mp4(frames, 12.5)
        with av.open(io.BytesIO(content)) as container:
            stream = container.streams.video[0]
            assert (stream.codec.name, stream.pix_fmt) == ("h264", "yuv420p")
            assert stream.average_rate == 12.5
            decoded = [f.to_ndarray(format="rgb24") for f in container.decode(stream)]
        decoded = np.stack(decoded)
        even = [size + size % 2 for size in frames.shape[1:3]]
        assert decoded.shape == (len(frames), *even, 3)
        decoded = decoded[:, : frames.shape[1], : frames.shape[2]].astype(int)
        assert np.abs(decoded - frames).mean() < 8


def test_write_chooses_by_the_name(grey, tmp_path):
    video.write(tmp_path / "a.gif", grey, 20)
    video.write(str(tmp_path / "a.MP4"), grey, 20)
    assert (tmp_path / "a.gif").read_bytes() == video.encode_gif(grey, 20)
    assert b"ftyp" in (tmp_path / "a.MP4").read_bytes()[:12]
    with pytest.raises(video.VideoError, match=r"must end with \.gif or \.mp4"):
        video.write(tmp_path / "a.avi", grey, 20)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.MP4", "a.gif"]


def test_missing_pyav_is_named(grey, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    video.check_format("video.gif")
    for call in (video.check_format, lambda path: video.write(path, grey, 20)):
        with pytest.raises(video.VideoError, match=r"pip install 'planet\[mp4\]'"):
            call(tmp_path / "video.mp4")
    assert not any(tmp_path.iterdir())
