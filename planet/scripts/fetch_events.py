"""Exports what runs wrote for TensorBoard to files that other programs can read.

python -m planet.scripts.fetch_events --logdir DIR --output FOLDER
"""

import csv
import math
import pathlib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence

import tqdm

from planet.tools import atomic_files, cli, events, parameters, wording

SCALAR_SUFFIXES = (".csv", ".json")
IMAGE_SUFFIXES = {b"GIF8": ".gif", b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg"}
EPILOG = """\
A FOLDER receives scalars.csv, scalars.json and, in images/RUN/TAG, the images,
one file for each step. A file that ends with .csv or .json receives the
scalars alone.

  .csv   run,tag,step,wall_time,value in rows
  .json  {run: {tag: {step, wall_time, value}}}, each a list

Runs are named by their folder in DIR, such as cheetah/00001. Tags begin with
the phase, which the patterns may leave out. Patterns are those of a shell: *
matches any text, ? any character, [ab] a or b.

  DIR --output scores.csv --tags score
  DIR --output FOLDER --runs 'cheetah*' --tags 'test/*'
"""
PROG = "planet.scripts.fetch_events"

Scalars = Mapping[str, Mapping[str, Sequence[events.Event]]]


@cli.main(PROG)
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    parser = _make_parser()
    args = parser.parse_args(argv)
    if not args.overwrite:
        parser.refuse_existing(args.output)
    try:
        runs = events.select_runs(events.find_runs(args.logdir), args.runs)
    except events.EventsError as error:
        parser.error(str(error))

    known, fits = set(), events.select_tags(args.tags)

    def select(tag: str) -> bool:
        known.add(tag)
        return fits(tag)

    to_folder = args.output.suffix not in SCALAR_SUFFIXES
    scalars, images = {}, 0
    for run in tqdm.tqdm(runs, disable=None, leave=False):
        try:
            scalars[run.name] = events.read_run(run, "scalars", select)
            pictures = events.read_run(run, "images", select) if to_folder else {}
        except events.EventsError as error:
            tqdm.tqdm.write(f"Skip {run.path}: {error}", file=sys.stderr)
            continue
        images += _write_images(args.output / "images" / run.name, pictures)
    count = sum(map(len, scalars.values()))
    if not (count or images):
        if known:
            parser.error(parameters.unknown("tag", args.tags[0], sorted(known)))
        print(f"{PROG}: error: no events in {args.logdir}", file=sys.stderr)
        return 1
    if to_folder:
        args.output.mkdir(parents=True, exist_ok=True)
        write_csv(args.output / "scalars.csv", scalars)
        write_json(args.output / "scalars.json", scalars)
    else:
        write = write_csv if args.output.suffix == ".csv" else write_json
        write(args.output, scalars)
    curves, pictures = wording.count(count, "curve"), wording.count(images, "image")
    print(f"Wrote {curves} and {pictures} of {wording.count(len(scalars), 'run')}")
    return 0


def write_csv(path: pathlib.Path, scalars: Scalars) -> None:
    """Writes scalars by run and tag as a table with a row for each value."""
    with atomic_files.writing(path) as file:
        writer = csv.writer(file)
        writer.writerow(["run", "tag", *events.Event._fields])
        writer.writerows([run, tag, *event] for run, tag, event in _flatten(scalars))


def write_json(path: pathlib.Path, scalars: Scalars) -> None:
    """Writes scalars by run and tag as columns; what is not finite becomes null."""
    content = {run: {tag: {} for tag in tags} for run, tags in scalars.items()}
    for run, tag, event in _flatten(scalars):
        for name, value in event._asdict().items():
            value = value if math.isfinite(value) else None
            content[run][tag].setdefault(name, []).append(value)
    atomic_files.write_json(path, content)


def _flatten(scalars: Scalars) -> Iterator[tuple[str, str, events.Event]]:
    for run, tags in scalars.items():
        for tag, values in tags.items():
            for event in values:
                yield run, tag, event


def _write_images(
    folder: pathlib.Path, images: Mapping[str, Sequence[events.Event]]
) -> int:
    """Writes images by tag as files named by their steps; returns their number."""
    count = 0
    for tag, values in images.items():
        # Tags come from a file: they must not lead out of the folder.
        names = [re.sub(r"[^\w .=+-]|^\.+", "_", name) for name in tag.split("/")]
        try:
            count += _write_tag(folder.joinpath(*names), values)
        except OSError as error:  # They may be too long, or those of a file.
            text = f"Skip images {parameters.show(tag)}: {error.strerror}"
            tqdm.tqdm.write(text, file=sys.stderr)
    return count


def _write_tag(folder: pathlib.Path, values: Sequence[events.Event]) -> int:
    """Writes the images of a tag; returns their number."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for event in values:
        for index, content in enumerate(event.value):
            name = f"{event.step:08}" + (f"-{index}" if index else "")
            (folder / f"{name}{_suffix(content)}").write_bytes(content)
            count += 1
    return count


def _suffix(content: bytes) -> str:
    """The suffix of an image file with that content."""
    suffixes = [s for start, s in IMAGE_SUFFIXES.items() if content.startswith(start)]
    return suffixes[0] if suffixes else ""


def _output(text: str) -> pathlib.Path:
    """A file for scalars or a folder."""
    is_file = text.endswith(SCALAR_SUFFIXES)
    return (cli.output_file(*SCALAR_SUFFIXES) if is_file else cli.output_folder)(text)


def _make_parser() -> cli.Parser:
    parser = cli.Parser(
        PROG,
        "Exports scalars and images that runs wrote for TensorBoard.",
        EPILOG,
    )
    parser.add_word(
        "logdir",
        "--logdir",
        type=cli.existing_folder,
        metavar="DIR",
        help="folder of runs, at any depth",
    )
    parser.add_argument(
        "--output",
        required=True,
        type=_output,
        metavar="OUT",
        help="folder, or file ending with .csv or .json",
    )
    parser.add_argument(
        "--runs",
        nargs="+",
        default=["*"],
        metavar="PATTERN",
        help="runs to read (default: all)",
    )
    parser.add_argument(
        "--tags",
        nargs="+",
        default=["*"],
        metavar="PATTERN",
        help="tags to export (default: all)",
    )
    parser.add_overwrite()
    return parser


if __name__ == "__main__":
    sys.exit(main())
