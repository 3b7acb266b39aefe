import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from planet.tools import events, summaries, video


@pytest.fixture
def written(tmp_path):
    """Calls a function with the default writer set; returns the picture it writes."""

    def write(function, *arguments):
        writer = tf.summary.create_file_writer(str(tmp_path))
        with writer.as_default(7):
            function("group/tag", *arguments)
        writer.close()
        ((tag, (event,)),) = events.read(tmp_path, "images").items()
        assert (tag, event.step) == ("group/tag", 7)
        (picture,) = event.value
        return picture

    return write


def numbered(groups, videos, steps, channels=3):
    """Videos whose pixels say where they belong: group, video, step, row, column."""
    shape = groups, videos, steps, 2, 5
    values = np.zeros((*shape, channels), np.uint8)
    values += sum(
        weight * axis[..., None].astype(np.uint8)
        for weight, axis in zip((100, 40, 10, 5, 1), np.indices(shape), strict=True)
    )
    return values


@pytest.mark.parametrize("channels", [1, 3])
def test_image(written, channels):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 7, channels), np.uint8)
    picture = Image.open(io.BytesIO(written(summaries.image, pixels)))
    assert picture.format == "PNG"
    assert picture.size == (7, 4)
    np.testing.assert_array_equal(np.asarray(picture).reshape(pixels.shape), pixels)


@pytest.mark.parametrize("channels", [1, 3])
def test_gif(written, channels):
    frames = np.random.default_rng(0).integers(0, 256, (3, 4, 7, channels), np.uint8)
    decoded, fps = video.decode_gif(written(summaries.gif, frames))
    np.testing.assert_array_equal(decoded, np.broadcast_to(frames, decoded.shape))
    assert fps == summaries.FRAMES_PER_SECOND


def test_figure(written):
    drawing = summaries.curves("reward", {"reward": np.zeros([1, 4, 1])})
    picture = Image.open(io.BytesIO(written(summaries.figure, drawing)))
    assert picture.format == "PNG"
    assert picture.size == drawing.canvas.get_width_height()


@pytest.mark.parametrize("channels", [1, 3])
def test_strips(channels):
    videos = numbered(2, 3, 4, channels)
    picture = summaries.strips(videos, 4)
    line = summaries.LINE
    assert picture.shape == (2 * 3 * 2 + line, 4 * 5, channels)
    for group, row, step in np.ndindex(2, 3, 4):
        top, left = group * (3 * 2 + line) + row * 2, step * 5
        frame = picture[top : top + 2, left : left + 5]
        np.testing.assert_array_equal(frame, videos[group, row, step])
    assert (picture[6 : 6 + line] == 255).all()


@pytest.mark.parametrize(("mark", "before"), [(1, 1), (2, 1), (3, 2), (5, 3)])
def test_strips_of_some_frames_with_a_mark(mark, before):
    videos = numbered(1, 1, 5)
    picture = summaries.strips(videos, 3, mark)
    frames = videos[0, 0, ::2]
    line = np.full([2, summaries.LINE, 3], 255)
    expected = np.concatenate([*frames[:before], line, *frames[before:]], 1)
    np.testing.assert_array_equal(picture, expected)


def test_side_by_side():
    videos = numbered(2, 3, 4)
    joined = summaries.side_by_side(list(videos))
    assert joined.shape == (4, 3 * 2, 2 * 5, 3)
    for column, row, step in np.ndindex(2, 3, 4):
        frame = joined[step, row * 2 : row * 2 + 2, column * 5 : column * 5 + 5]
        np.testing.assert_array_equal(frame, videos[column, row, step])


def test_curves():
    lines = {
        name: np.random.default_rng(index).normal(size=(2, 6, 3))
        for index, name in enumerate(("truth", "prior", "posterior", "open loop"))
    }
    lines["open loop"][:, :2] = np.nan
    drawing = summaries.curves("velocity", lines, mark=2)
    assert len(drawing.axes) == 3
    for component, panel in enumerate(drawing.axes):
        assert panel.get_ylabel() == f"velocity {component}"
        for line, (name, values) in zip(panel.get_lines(), lines.items(), strict=True):
            assert line.get_label() == name
            for start, sequence in zip((0, 7), values, strict=True):
                drawn = line.get_ydata()[start : start + 6]
                np.testing.assert_array_equal(drawn, sequence[:, component])
            assert np.isnan(line.get_ydata()[[6, 13]]).all()
        borders, marks = (
            [segment[0, 0] for segment in collection.get_segments()]
            for collection in panel.collections
        )
        assert (borders, marks) == ([6], [1.5, 8.5])
    ticks = dict(
        zip(
            drawing.axes[-1].get_xticks(),
            (label.get_text() for label in drawing.axes[-1].get_xticklabels()),
            strict=True,
        )
    )
    assert (ticks[0], ticks[7]) == ("0", "0")
    (legend,) = drawing.legends
    assert [text.get_text() for text in legend.get_texts()] == list(lines)


def test_curves_of_many_components():
    drawing = summaries.curves("angle", {"truth": np.zeros([1, 6, 20])})
    assert len(drawing.axes) == summaries.COMPONENTS
    assert drawing.texts[0].get_text() == "the first 8 of 20 components"
