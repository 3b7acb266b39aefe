"""Videos as GIF and MP4 files."""

import fractions
import io
import math
import os
import pathlib

import numpy as np
from PIL import Image, ImageSequence

from planet.tools import atomic_files

SUFFIXES = (".gif", ".mp4")
MANY_COLORS = 8192
MAX_BYTES = 4 * 10**9  # Of frames: a small file may claim to fill the memory.


class VideoError(ValueError):
    """A video that cannot be read or written; the message is one line."""


def encode_gif(frames: np.ndarray, fps: float) -> bytes:
    """Encodes a video as a GIF that plays forever.

    Args:
      frames: uint8 [T, H, W, C], grey with C = 1 or colour with C = 3. Grey, and up to
        256 colours a frame, are kept exactly.
      fps: Frames per second. GIFs count hundredths of a second, and browsers slow down
        anything faster than 50 frames per second.

    Raises:
      VideoError: There are no frames, or they have another type or shape.
    """
    _check(frames)
    images = list(map(_palette_image, frames))
    file = io.BytesIO()
    images[0].save(
        file,
        "GIF",
        save_all=True,
        append_images=images[1:],
        duration=10 * max(2, round(100 / fps)),
        loop=0,
    )
    return file.getvalue()


def decode_gif(content: bytes) -> tuple[np.ndarray, float]:
    """Decodes a GIF.

    A GIF stores a frame that does not change only once, with a longer duration. Here,
    it is repeated, except in a GIF whose frames all have the same duration.

    Returns:
      Frames, uint8 [T, H, W, 3], and frames per second.

    Raises:
      VideoError: It is not a complete GIF, or too large.
    """
    if not content.endswith(b";"):
        raise VideoError("not a complete GIF")
    try:
        with Image.open(io.BytesIO(content), formats=["GIF"]) as image:
            _require_size(image, getattr(image, "n_frames", 1))
            frames, durations = [], []
            for page in ImageSequence.Iterator(image):
                frames.append(np.asarray(page.convert("RGB")))
                durations.append(round(page.info.get("duration") or 100))
            unit = math.gcd(*durations)
            repeats = [duration // unit for duration in durations]
            _require_size(image, sum(repeats))
            pages = np.stack(frames)
    except VideoError:
        raise
    except Exception as error:  # A damaged file can fail in a dozen ways.
        raise VideoError("not a complete GIF") from error
    return np.repeat(pages, repeats, 0), 1000 / unit


def read_gif(path: str | os.PathLike) -> tuple[np.ndarray, float]:
    """Reads a GIF file; see `decode_gif`.

    Raises:
      VideoError: It is not a complete GIF, or cannot be read.
    """
    try:
        return decode_gif(pathlib.Path(path).read_bytes())
    except (OSError, VideoError) as error:
        raise VideoError(f"{os.fspath(path)!r} cannot be read: {error}") from error


def encode_mp4(frames: np.ndarray, fps: float) -> bytes:
    """Encodes a video as an MP4 (H.264) that browsers play.

    Args:
      frames: uint8 [T, H, W, C], grey with C = 1 or colour with C = 3. Odd heights and
        widths are padded by repeating the last row and column.
      fps: Frames per second.

    Raises:
      VideoError: There are no frames, they have another type or shape, or PyAV is not
        installed.
    """
    _check(frames)
    av = _import_av()
    _, height, width, channels = frames.shape
    frames = np.pad(frames, [(0, 0), (0, height % 2), (0, width % 2), (0, 0)], "edge")
    frames = np.repeat(frames, 3 // channels, -1)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        rate = fractions.Fraction(fps).limit_denominator(1000)
        stream = container.add_stream("libx264", rate, {"crf": "16"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def check_format(path: str | os.PathLike) -> None:
    """Raises VideoError if `write` could not write a file of that name."""
    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        message = f"{os.fspath(path)!r} must end with {' or '.join(SUFFIXES)}"
        raise VideoError(message)
    if suffix == ".mp4":
        _import_av()


def write(path: str | os.PathLike, frames: np.ndarray, fps: float) -> None:
    """Writes a video.

    Args:
      path: File that ends with `.gif` or `.mp4`, which is replaced if it exists.
      frames: uint8 [T, H, W, C], grey with C = 1 or colour with C = 3.
      fps: Frames per second.

    Raises:
      VideoError: As for `check_format`, `encode_gif` and `encode_mp4`.
    """
    check_format(path)
    path = pathlib.Path(path)
    encode = encode_gif if path.suffix.lower() == ".gif" else encode_mp4
    content = encode(frames, fps)
    with atomic_files.writing(path, "wb") as file:
        file.write(content)


def _palette_image(frame: np.ndarray) -> Image.Image:
    """An image of at most 256 colours from pixels, uint8 [H, W, C].

    Each frame has a palette of its own, to keep the colours of small moving things.
    """
    if frame.shape[-1] == 1:
        return Image.fromarray(frame[..., 0])
    image = Image.fromarray(frame)
    # The best method takes a third of a second for an image of noise.
    noisy = image.getcolors(MANY_COLORS) is None
    method = Image.Quantize.FASTOCTREE if noisy else Image.Quantize.MAXCOVERAGE
    return image.quantize(method=method, dither=Image.Dither.NONE)


def _require_size(image: Image.Image, length: int) -> None:
    """Refuses a video that does not fit into memory."""
    size = 3 * image.width * image.height * length
    if size > MAX_BYTES:
        raise VideoError(f"its frames would take {size / 1e9:.0f} GB")


def _check(frames: np.ndarray) -> None:
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] not in (1, 3):
        raise VideoError(
            "frames must be uint8 [T, H, W, C] with C 1 or 3, not "
            f"{frames.dtype} {list(frames.shape)}"
        )
    if not frames.size:
        raise VideoError("a video needs at least one frame")


def _import_av():
    """PyAV, which is optional."""
    try:
        import av
    except ImportError:
        message = "MP4 needs PyAV: pip install 'planet[mp4]'"
        raise VideoError(message) from None
    return av
