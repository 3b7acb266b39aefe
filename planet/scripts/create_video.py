"""Combines videos of many runs in one, side by side.

python -m planet.scripts.create_video --logdir DIR --tag PATTERN --output GRID.gif
"""

import collections
import dataclasses
import itertools
import math
import os
import pathlib
import sys
from collections.abc import Sequence

import numpy as np
import tqdm
from PIL import Image, ImageDraw, ImageFont

from planet.tools import cli, events, parameters, video, wording

PROG = "planet.scripts.create_video"
EPILOG = """\
Runs are named by their folder in DIR, such as cheetah/00001. Tags begin with
the phase, which PATTERN may leave out. Patterns are those of a shell: *
matches any text, ? any character, [ab] a or b. A video that ends early stays
at its last frame.

  DIR --tag test/open_loop/video --output grid.gif
  --output episodes.mp4 episodes/*.gif
"""
BACKGROUND = (24, 24, 24)
GAP = 6  # Pixels.
CAPTION = 20
FONT_SIZE = 13
ASPECT = 16 / 9  # Of the grid, roughly.


@dataclasses.dataclass
class Video:
    """A video of the grid.

    Attributes:
      caption: What is written above it.
      frames: uint8 [T, H, W, 3].
      fps: Frames per second.
    """

    caption: str
    frames: np.ndarray
    fps: float


def read_videos(
    runs: Sequence[events.Run], pattern: str, all_steps: bool
) -> list[Video]:
    """Reads the GIFs that runs wrote for TensorBoard.

    A run or a GIF that cannot be read is named on stderr and left out.

    Args:
      runs: The runs.
      pattern: Shell pattern that tags have to match.
      all_steps: Take the GIFs of all steps, rather than of the last one.

    Raises:
      EventsError: No tag matches.
      VideoError: None of the GIFs can be read.
    """
    found, known, fits = [], set(), events.select_tags([pattern])

    def select(tag: str) -> bool:
        known.add(tag)
        return fits(tag)

    for run in tqdm.tqdm(runs, disable=None, leave=False):
        try:
            images = events.read_run(run, "images", select)
        except events.EventsError as error:
            tqdm.tqdm.write(f"Skip {run.path}: {error}", file=sys.stderr)
            continue
        found += [
            (run.name, tag, f"step {event.step}", content)
            for tag, values in images.items()
            for event in values[0 if all_steps else -1 :]
            for content in event.value
            if content.startswith(b"GIF8")
        ]
    if not found:
        raise events.EventsError(parameters.unknown("tag", pattern, sorted(known)))
    several_tags = len({tag for _, tag, _, _ in found}) > 1
    videos = []
    for name, tag, step, content in found:
        try:
            frames, fps = video.decode_gif(content)
        except video.VideoError as error:
            text = f"Skip {tag!r} of {name} at {step}: {error}"
            tqdm.tqdm.write(text, file=sys.stderr)
            continue
        caption = " · ".join([name, *[tag] * several_tags, *[step] * all_steps])
        videos.append(Video(caption, frames, fps))
    if not videos:
        raise video.VideoError(f"there is no complete GIF of {pattern!r}")
    return videos


def read_files(paths: Sequence[pathlib.Path]) -> list[Video]:
    """Reads GIF files, captioned by their names, and folders if these do not differ.

    Raises:
      VideoError: A GIF cannot be read.
    """
    names = collections.Counter(path.stem for path in paths)
    return [
        Video(
            path.stem if names[path.stem] == 1 else str(path.with_suffix("")),
            *video.read_gif(path),
        )
        for path in tqdm.tqdm(paths, disable=None, leave=False)
    ]


def make_grid(
    videos: Sequence[Video], columns: int | None = None, scale: int | None = None
) -> tuple[np.ndarray, float]:
    """Arranges videos with captions in a grid, from left to right and top to bottom.

    Args:
      videos: One or more videos. A short one stays at its last frame.
      columns: Videos per row; None: as suits the shape of a screen.
      scale: Factor by which to enlarge pixels; None: enough for captions to fit.

    Returns:
      Frames, uint8 [T, H, W, 3], and frames per second: those of the fastest video.
    """
    height = max(entry.frames.shape[1] for entry in videos)
    width = max(entry.frames.shape[2] for entry in videos)
    scale = scale or math.ceil(160 / width)
    height, width = scale * height, scale * width
    cell_height, cell_width = CAPTION + height + GAP, width + GAP
    if columns is None:
        columns = min(
            range(1, len(videos) + 1),
            key=lambda n: abs(
                math.log(n * cell_width / cell_height / math.ceil(len(videos) / n))
                - math.log(ASPECT)
            ),
        )
    columns = min(columns, len(videos))
    rows = math.ceil(len(videos) / columns)

    fps = max(entry.fps for entry in videos)
    length = max(round(len(entry.frames) * fps / entry.fps) for entry in videos)
    page = Image.new(
        "RGB", (columns * cell_width + GAP, rows * cell_height), BACKGROUND
    )
    grid = np.empty((length, page.height, page.width, 3), np.uint8)
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(FONT_SIZE)
    places = list(itertools.product(range(rows), range(columns)))[: len(videos)]
    for entry, (row, column) in zip(videos, places, strict=True):
        place = (GAP + column * cell_width, row * cell_height + CAPTION // 2)
        text = _shorten(entry.caption, font, width)
        draw.text(place, text, "white", font, anchor="lm")
    grid[:] = np.asarray(page)
    for entry, (row, column) in zip(videos, places, strict=True):
        times = (np.arange(length) * entry.fps / fps + 1e-6).astype(int)
        frames = entry.frames[np.minimum(times, len(entry.frames) - 1)]
        frames = frames.repeat(scale, 1).repeat(scale, 2)
        top = row * cell_height + CAPTION + (height - frames.shape[1]) // 2
        left = GAP + column * cell_width + (width - frames.shape[2]) // 2
        grid[:, top : top + frames.shape[1], left : left + frames.shape[2]] = frames
    return grid, fps


def _shorten(
    text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> str:
    """Leaves out the middle of a text that is wider than `width` pixels."""
    short, kept = text, len(text)
    while font.getlength(short) > width and kept > 2:
        kept -= 1
        short = f"{text[: kept // 2]}...{text[-((kept + 1) // 2) :]}"
    return short


@cli.main(PROG)
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    parser = _make_parser()
    args = parser.parse_args(argv)
    gifs = [path for path in args.places if not path.is_dir()]
    folders = [path for path in args.places if path.is_dir()]
    folders += [args.logdir] if args.logdir else []
    if not (folders or gifs):
        parser.error("give DIR and --tag, or GIF files")
    if len(folders) > 1:
        parser.error(f"give one folder of runs, not {len(folders)}")
    if bool(folders) != bool(args.tag):
        parser.error("DIR and --tag belong together")
    if not args.overwrite:
        parser.refuse_existing(args.output)
    try:
        video.check_format(args.output)
        videos = read_files(gifs)
        for folder in folders:
            runs = events.select_runs(events.find_runs(folder), args.runs)
            videos += read_videos(runs, args.tag, args.steps == "all")
    except (events.EventsError, video.VideoError) as error:
        parser.error(str(error))
    frames, fps = make_grid(videos, args.columns, args.scale)
    video.write(args.output, frames, args.fps or fps)
    size = os.path.getsize(args.output)
    text = wording.count(len(videos), "video")
    print(f"Wrote {text} to {args.output}, {size / 1e6:.1f} MB")
    return 0


def _place(text: str) -> pathlib.Path:
    """A folder or a file, which exists."""
    return (cli.existing_folder if os.path.isdir(text) else cli.existing_file)(text)


def _make_parser() -> cli.Parser:
    parser = cli.Parser(PROG, "Combines videos of many runs, side by side.", EPILOG)
    parser.add_argument(
        "places",
        nargs="*",
        type=_place,
        metavar="DIR|FILE.gif",
        help="folder of runs, at any depth; further videos to show, or the only ones",
    )
    parser.add_argument(
        "--logdir",
        type=cli.existing_folder,
        metavar="DIR",
        help="the same as DIR by itself",
    )
    parser.add_argument(
        "--tag", metavar="PATTERN", help="tags of the GIFs that runs wrote"
    )
    parser.add_argument(
        "--runs",
        nargs="+",
        default=["*"],
        metavar="PATTERN",
        help="runs to show (default: all)",
    )
    parser.add_argument(
        "--steps",
        choices=["last", "all"],
        default="last",
        help="which GIFs of a run to show (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        required=True,
        type=cli.output_file(*video.SUFFIXES),
        metavar="GRID",
        help="file to write, ending with .gif or .mp4",
    )
    parser.add_argument(
        "--columns",
        type=cli.number(int, 1),
        metavar="N",
        help="videos per row (default: by their number and size)",
    )
    parser.add_argument(
        "--scale",
        type=cli.number(int, 1, 16),
        metavar="N",
        help="factor to enlarge pixels by (default: by the width of the videos)",
    )
    parser.add_argument(
        "--fps",
        type=cli.number(float, 0.1, 100),
        metavar="N",
        help="frames per second (default: those of the fastest video)",
    )
    parser.add_overwrite()
    return parser


if __name__ == "__main__":
    sys.exit(main())
