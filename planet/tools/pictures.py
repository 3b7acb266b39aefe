"""Pictures side by side, with text, as frames of films."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

MARGIN, LINE = 8, 16  # In pixels on the screen.


def compose(
    images: Sequence[np.ndarray],
    captions: Sequence[str],
    footer: str,
    scale: int = 3,
) -> np.ndarray:
    """A frame of several pictures side by side, with text.

    Args:
      images: uint8 [H, W, C], C being 1 (grey) or 3.
      captions: what stands above each of them.
      footer: what stands below them all.
      scale: pixels on the screen per pixel of an image.

    Returns:
      uint8 [height, width, 3], both of which are even, as some video formats require.
    """
    height, width = (scale * size for size in images[0].shape[:2])
    size = len(images) * (width + MARGIN) + MARGIN, height + 2 * (LINE + MARGIN)
    canvas = Image.new("RGB", tuple(length + length % 2 for length in size))
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(12)
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left = MARGIN + index * (width + MARGIN)
        pen.text((left, MARGIN / 2), caption, "white", font)
        grey = image.shape[-1] == 1
        picture = Image.fromarray(image[..., 0] if grey else image)
        picture = picture.resize((width, height), Image.Resampling.NEAREST)
        canvas.paste(picture, (left, LINE + MARGIN))
    pen.text((MARGIN, height + LINE + 1.5 * MARGIN), footer, "white", font)
    return np.asarray(canvas)
