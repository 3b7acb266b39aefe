"""Pictures, videos and plots in event files, for TensorBoard to show.

Like those of `tf.summary`, the functions that write need a default writer with a step.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import matplotlib.figure
import matplotlib.ticker
import numpy as np
import tensorflow as tf
from PIL import Image
from tensorboard.plugins.image import metadata

from planet.tools import video

FRAMES_PER_SECOND = 20
LINE = 4  # Width of white lines in pictures, in pixels.
# Truth first: what is compared with it is drawn over it.
STYLES = (
    {"color": "0.75", "linewidth": 4},
    {"color": "tab:green", "linestyle": ":"},
    {"color": "tab:blue"},
    {"color": "tab:red", "linestyle": "--"},
)
COMPONENTS = 8  # More rows of panels would not be readable.


def image(tag: str, pixels: np.ndarray, description: str = "") -> None:
    """Writes a picture, uint8 [H, W, C], C being 1 (grey) or 3."""
    grey = pixels.shape[-1] == 1
    file = io.BytesIO()
    picture = Image.fromarray(pixels[..., 0] if grey else pixels)
    picture.save(file, "PNG", compress_level=3)
    _write(tag, file.getvalue(), pixels.shape, description)


def gif(tag: str, frames: np.ndarray, description: str = "") -> None:
    """Writes a video, uint8 [T, H, W, C], that plays in TensorBoard."""
    encoded = video.encode_gif(frames, FRAMES_PER_SECOND)
    _write(tag, encoded, frames.shape[1:], description)


def figure(tag: str, drawing: matplotlib.figure.Figure, description: str = "") -> None:
    """Writes a plot."""
    file = io.BytesIO()
    drawing.savefig(file, format="png")
    width, height = drawing.canvas.get_width_height()
    _write(tag, file.getvalue(), (height, width), description)


def strips(videos: np.ndarray, amount: int, mark: int | None = None) -> np.ndarray:
    """Videos as strips of film, one below the other, time from left to right.

    Args:
      videos: N groups of K videos, uint8 [N, K, T, H, W, C]; there is a white line
        between groups.
      amount: most frames in a strip; of longer videos, every second frame is shown, or
        every third, and so on.
      mark: index of the frame before which there is a white line, if any.

    Returns:
      Picture, uint8 [height, width, C].
    """
    steps, height, _, channels = videos.shape[2:]
    shown = np.arange(0, steps, -(-steps // amount))
    frames = np.moveaxis(videos[:, :, shown], 2, 0)
    if mark is not None:
        line = np.full([*videos.shape[:2], height, LINE, channels], 255, np.uint8)
        frames = [*frames[shown < mark], line, *frames[shown >= mark]]
    groups = [np.concatenate(group) for group in np.concatenate(frames, 3)]
    line = np.full([LINE, *groups[0].shape[1:]], 255, np.uint8)
    return np.concatenate([part for group in groups for part in (group, line)][:-1])


def side_by_side(videos: Sequence[np.ndarray]) -> np.ndarray:
    """One video of several.

    Args:
      videos: uint8 [N, T, H, W, C] each.

    Returns:
      uint8 [T, N * H, K * W, C]: K videos beside each other, in N rows.
    """
    rows = np.concatenate(videos, 3)
    return np.concatenate(list(rows), 1)


def curves(
    name: str, lines: Mapping[str, np.ndarray], mark: int | None = None
) -> matplotlib.figure.Figure:
    """Plots sequences of vectors side by side, with a panel for each component.

    Args:
      name: what is plotted.
      lines: a single version, or the truth and up to three others, by name; arrays
        [N, T, D]. There is no line where a value is NaN.
      mark: index of the step before which there is a line in each sequence, if any.
    """
    count, steps, size = next(iter(lines.values())).shape
    rows = min(size, COMPONENTS)
    styles = STYLES if len(lines) > 1 else [{}]
    starts = np.arange(count) * (steps + 1)  # Room for a border after each sequence.
    width, height = 1 + 3.2 * count, 0.9 + 0.9 * max(2, rows)  # Inches.
    # Not by pyplot, which would keep every figure in memory.
    drawing = matplotlib.figure.Figure((width, height), dpi=80)
    panels = drawing.subplots(rows, sharex=True, squeeze=False)[:, 0]
    for component, panel in enumerate(panels):
        for (label, values), style in zip(lines.items(), styles, strict=False):
            padded = np.pad(
                values[..., component], [(0, 0), (0, 1)], constant_values=np.nan
            )
            panel.plot(padded.ravel(), label=label, **style)
        whole = {"ymin": 0, "ymax": 1, "transform": panel.get_xaxis_transform()}
        panel.vlines(starts[1:] - 1, **whole, color="black", linewidth=0.8)
        if mark is not None:
            panel.vlines(starts + mark - 0.5, **whole, color="0.5", linewidth=0.8)
        panel.set_ylabel(f"{name} {component}" if size > 1 else name, fontsize=7)
        panel.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(3))
        panel.tick_params(labelsize=8)
    locator = matplotlib.ticker.MaxNLocator(5, integer=True)
    ticks = [int(tick) for tick in locator.tick_values(0, steps) if 0 <= tick < steps]
    panel.set_xticks(np.add.outer(starts, ticks).ravel(), ticks * count)
    panel.set_xlim(-1, starts[-1] + steps)
    panel.set_xlabel("step", fontsize=8)
    if len(lines) > 1:
        drawing.legend(
            *panel.get_legend_handles_labels(),
            loc="upper left",
            ncols=len(lines),
            fontsize=9,
            frameon=False,
        )
    if rows < size:
        text = f"the first {rows} of {size} components"
        drawing.text(0.99, 0.99, text, size=8, ha="right", va="top")
    # Matplotlib's automatic layouts would be slow.
    drawing.subplots_adjust(
        left=0.8 / width,
        right=1 - 0.1 / width,
        bottom=0.45 / height,
        top=1 - 0.35 / height,
        hspace=0.15,
    )
    return drawing


def _write(tag: str, encoded: bytes, shape: Sequence[int], description: str) -> None:
    """Writes an encoded picture of the given height and width.

    `tf.summary.image` would encode the pixels as PNG, which cannot hold a video.
    """
    height, width = shape[:2]
    tf.summary.write(
        tag,
        tf.constant([str(width), str(height), encoded]),
        metadata=metadata.create_summary_metadata(None, description),
    )
