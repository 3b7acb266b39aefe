"""Plots what compile_scores collected.

python -m planet.scripts.plot_scores SCORES.json --output PLOT.png PLOT.svg
"""

import itertools
import math
import pathlib
import re
import sys
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib import axes, figure, lines, ticker

from planet.tools import atomic_files, cli, parameters, wording

PROG = "planet.scripts.plot_scores"
# Runs see images or states; the losses of both have the names that the original gave.
METRICS = {
    "test_score": "test score",
    "image_loss": "observation loss, training episodes",
    "reward_loss": "reward loss, training episodes",
    "image_loss_te": "observation loss, test episodes",
    "reward_loss_te": "reward loss, test episodes",
}
AXES = {
    "epochs": "epoch",
    "steps": "sequences",
    "env_steps": "environment steps",
    "updates": "updates",
    "minutes": "minutes of training",
}
DEFAULT_METRICS = ("test_score", "image_loss_te", "reward_loss_te")
# Okabe and Ito's palette for colour-blind readers, without yellow.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", ":", "-.")
EPILOG = """\
--labels chooses the curves. A label stands for the runs of that name, LABEL or
LABEL/00001, LABEL/00002 and so on; if there are none, for all whose label
starts with it. LABEL* always means all that start with LABEL. A curve is the
mean of its runs, at each epoch of those that got so far, in a band from the
lowest to the highest. With another --x, which compile_scores --x has to have
written, runs are interpolated between their epochs.

  scores.json --labels ch_t0_h0_pc 'ch_tm*' --output cheetah.png cheetah.svg
"""

Scores = Mapping[str, np.ndarray]


def read_scores(path: pathlib.Path) -> dict[str, Scores]:
    """Reads the metrics, arrays [epochs] by name, of each label in a file.

    In what the original's compile_scores wrote, a run can have fewer epochs of one
    metric than of another; the shorter ones end in NaN here.

    Raises:
      ValueError: The file is not what compile_scores writes.
    """
    try:
        content = atomic_files.read_json(path)
        return {label: to_scores(_pad(metrics)) for label, metrics in content.items()}
    except FOREIGN as error:
        message = f"{str(path)!r} is not what compile_scores writes: {error}"
        raise ValueError(message) from error


# What reading JSON of another structure, or with endless numbers, can raise.
FOREIGN = (ValueError, TypeError, AttributeError, KeyError, OverflowError)


def _pad(metrics: Mapping[str, list]) -> dict[str, list]:
    """Ends the shorter metrics of a run in None, but not its places on an axis."""
    epochs = max(map(len, metrics.values()), default=0)
    return {
        name: values if name in AXES else values + [None] * (epochs - len(values))
        for name, values in metrics.items()
    }


def to_scores(metrics: Mapping[str, Sequence[float | None]]) -> Scores:
    """The metrics of a run: their numbers, where None is NaN.

    Raises:
      ValueError: They are not as many for each metric; or one of FOREIGN.
    """
    curves = {name: np.array(values, float) for name, values in metrics.items()}
    lengths = {array.shape for array in curves.values()}
    if len(lengths) > 1 or any(len(shape) != 1 or not shape[0] for shape in lengths):
        raise ValueError("metrics must be lists with a number for each epoch")
    return curves


def read_baseline(path: pathlib.Path, task: str | None) -> tuple[str, float]:
    """Reads a mean return from a file of random_returns or of ceiling.

    Args:
      path: The file.
      task: Name of the task; None: the only one.

    Returns:
      What is returned that much in which task, and the mean return.

    Raises:
      ValueError: The file is not what these write, or lacks the task.
    """
    try:
        content = atomic_files.read_json(path)
        means = {
            name: (entry.get("label", "random actions"), float(entry["mean"]))
            for name, entry in content.items()
        }
    except FOREIGN as error:
        raise ValueError(
            f"{str(path)!r} is not what random_returns or ceiling writes: {error}"
        ) from error
    if task is None and len(means) != 1:
        message = f"--task must choose from {', '.join(means)} in {str(path)!r}"
        raise ValueError(message)
    task = task or next(iter(means))
    if task not in means:
        raise ValueError(parameters.unknown("task", task, means))
    label, mean = means[task]
    return f"{label}, {task}", mean


def select(
    runs: Sequence[tuple[str, Scores]], labels: Iterable[str] | None
) -> dict[str, list[Scores]]:
    """Groups runs into curves.

    Args:
      runs: Labels with the metrics of a run.
      labels: Labels of the curves; None: each label is a curve.

    Returns:
      The runs of each curve.

    Raises:
      ValueError: No run belongs to a label.
    """
    names = [re.sub(r"/\d{5}$", "", label) for label, _ in runs]
    curves = {}
    for label in dict.fromkeys(names if labels is None else labels):
        exact = [
            re.fullmatch(rf"{re.escape(label)}(/\d{{5}})?", name) for name, _ in runs
        ]
        prefix = [name.startswith(label.removesuffix("*")) for name, _ in runs]
        chosen = exact if any(exact) else prefix
        if not any(chosen):
            raise ValueError(parameters.unknown("label", label, names))
        curves[label] = [run for _, run in itertools.compress(runs, chosen)]
    return curves


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """The mean of the finite ones of the last `window` values, at each step [T]."""
    valid = np.isfinite(values)
    kernel = np.ones(min(window, len(values)))
    sums = np.convolve(np.where(valid, values, 0), kernel)[: len(values)]
    counts = np.convolve(valid, kernel)[: len(values)]
    return np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0)


def align(
    points: Sequence[tuple[np.ndarray, np.ndarray]],
    places: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ma.MaskedArray]:
    """Interpolates runs at the same places.

    Args:
      points: Rising places [T] and values [T] of each run, which may differ in length.
      places: Where to, [P]; None: at all places where one of them has a value.

    Returns:
      The places [P], and a table [runs, P] that is masked where a run has no values.
    """
    if places is None:
        places = np.unique(np.concatenate([place for place, _ in points]))
    rows = [
        np.interp(places, place, values, left=np.nan, right=np.nan)
        for place, values in points
    ]
    return places, np.ma.masked_invalid(rows)


def plot(
    curves: Mapping[str, Sequence[Scores]],
    metrics: Sequence[str],
    title: str | None = None,
    baselines: Sequence[tuple[str, float]] = (),
    x: str = "epochs",
) -> figure.Figure:
    """Draws a panel for each metric, with a curve for each group of runs.

    Args:
      curves: The runs of each curve.
      metrics: Names of the metrics.
      title: Text above the plots.
      baselines: Labels of horizontal lines, and the test scores they are at.
      x: One of `AXES`; each run has it as a metric, unless it is `epochs`.
    """
    columns = min(3, len(metrics))
    rows = math.ceil(len(metrics) / columns)
    legend_columns = math.ceil((len(curves) + 1) / (16 * rows))
    size = (4.6 * columns + 2.4 * legend_columns, 3.6 * rows)
    drawing = figure.Figure(size, layout="constrained")
    panels = drawing.subplots(rows, columns, squeeze=False).flatten()
    for panel in panels[len(metrics) :]:
        panel.remove()
    legend = {}
    for panel, metric in zip(panels, metrics, strict=False):
        styles = itertools.cycle(itertools.product(STYLES, COLORS))
        for (label, runs), (style, color) in zip(curves.items(), styles, strict=False):
            points = [(_places(run, x), run[metric]) for run in runs if metric in run]
            line = _draw_curve(panel, points, linestyle=style, color=color)
            several = f" ({wording.count(len(runs), 'run')})" if len(runs) > 1 else ""
            legend[f"{label}{several}"] = line
        for index, (label, mean) in enumerate(baselines):
            if metric == "test_score":
                dashes = (0, (5, 3, *[1, 3] * index))
                legend[label] = panel.axhline(mean, color="0.3", linestyle=dashes)
        panel.set_title(
            _drawable(METRICS.get(metric, metric)), fontsize="medium", parse_math=False
        )
        label_axis(panel, x)
        panel.ticklabel_format(axis="y", useOffset=False)
        tidy(panel)
    names = drawing.legend(
        legend.values(),
        [
            f" {_drawable(text)}" for text in legend
        ],  # Names with a leading _ would be left out.
        loc="outside right upper",
        frameon=False,
        fontsize="small",
        ncols=legend_columns,
    )
    for text in names.get_texts():
        text.set_parse_math(False)
    if title:
        drawing.suptitle(_drawable(title), parse_math=False)
    return drawing


def _drawable(text: str) -> str:
    """A text without what no font can draw, such as halves of characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _places(run: Scores, x: str) -> np.ndarray:
    """Where the epochs of a run are on an axis."""
    if x == "epochs":
        return np.arange(1, max(map(len, run.values())) + 1)
    return run[x]


def _draw_curve(panel, points: Sequence[tuple], **style) -> lines.Line2D:
    """Draws the mean of runs, each given as places and values [epochs], and range."""
    if not points:
        return panel.plot([], [], **style)[0]
    places, table = align(points)
    marker = "o" if len(places) == 1 else None  # A line of one point is invisible.
    mean = table.mean(0)
    (line,) = panel.plot(places, mean, marker=marker, linewidth=1.6, **style)
    if len(points) > 1:
        low, high = table.min(0), table.max(0)
        panel.fill_between(
            places, low, high, color=style["color"], alpha=0.18, linewidth=0
        )
    return line


def label_axis(panel: axes.Axes, x: str) -> None:
    """Names the horizontal axis, one of `AXES`, and numbers it in whole steps."""
    panel.set_xlabel(AXES[x])
    whole = ticker.MaxNLocator("auto", integer=True, min_n_ticks=1, steps=[1, 2, 5, 10])
    panel.xaxis.set_major_locator(whole)


def tidy(panel: axes.Axes) -> None:
    """Gives a panel a light grid, and takes half of its frame."""
    panel.grid(color="0.9")
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


@cli.main(PROG)
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    parser = _make_parser()
    args = parser.parse_args(argv)
    if not args.overwrite:
        parser.refuse_existing(*args.output)
    try:
        runs = [run for path in args.scores for run in read_scores(path).items()]
        curves = select(runs, args.labels)
        if args.task and not args.baseline:
            raise ValueError("--task needs --baseline")
        baselines = [read_baseline(path, args.task) for path in args.baseline]
        known = {metric for runs in curves.values() for run in runs for metric in run}
        for metric in args.metrics:
            if metric not in known:
                raise ValueError(parameters.unknown("metric", metric, sorted(known)))
        _require_axis(curves, args.x)
    except ValueError as error:
        parser.error(str(error))
    curves = {
        label: [
            {
                metric: (values if metric == args.x else smooth(values, args.smooth))[
                    : args.max_epoch
                ]
                for metric, values in run.items()
            }
            for run in runs
        ]
        for label, runs in curves.items()
    }
    drawing = plot(curves, args.metrics, args.title, baselines, args.x)
    for path in args.output:
        with atomic_files.writing(path, "wb") as file:
            drawing.savefig(file, format=path.suffix[1:].lower(), dpi=150)
        print(f"Wrote {path}")
    return 0


def _require_axis(curves: Mapping[str, Sequence[Scores]], x: str) -> None:
    """Refuses runs that cannot be placed on an axis."""
    for label, runs in curves.items():
        if x != "epochs" and not all(x in run for run in runs):
            raise ValueError(
                f"{label} lacks {x}, which compile_scores writes with --x {x}"
            )


def _make_parser() -> cli.Parser:
    parser = cli.Parser(
        PROG,
        "Plots test scores and losses of runs against epochs, or another axis.",
        EPILOG,
    )
    parser.add_argument(
        "scores",
        nargs="+",
        type=cli.existing_file,
        metavar="SCORES.json",
        help="what planet.scripts.compile_scores wrote; runs of the same label in "
        "several files are one curve",
    )
    parser.add_argument(
        "--output",
        nargs="+",
        required=True,
        type=cli.output_file(".png", ".svg"),
        metavar="PLOT",
        help="files to write, ending with .png or .svg",
    )
    parser.add_argument(
        "--labels",
        nargs="+",
        metavar="LABEL",
        help="labels or beginnings of labels, one curve each (default: all labels)",
    )
    parser.add_argument(
        "--metrics",
        nargs="+",
        default=DEFAULT_METRICS,
        metavar="METRIC",
        help=f"panels to draw, among {', '.join(METRICS)} (default: "
        f"{' '.join(DEFAULT_METRICS)})",
    )
    parser.add_argument(
        "--x",
        choices=AXES,
        default="epochs",
        metavar="AXIS",
        help=f"horizontal axis, among {', '.join(AXES)} (default: %(default)s)",
    )
    parser.add_argument(
        "--baseline",
        nargs="+",
        default=[],
        type=cli.existing_file,
        metavar="FILE.json",
        help="what planet.scripts.random_returns or planet.scripts.ceiling wrote, for "
        "a line at the mean return",
    )
    parser.add_argument(
        "--task",
        "--tasks",
        metavar="NAME",
        help="task of the baselines, if they have several",
    )
    parser.add_argument("--title", metavar="TEXT", help="text above the plots")
    parser.add_argument(
        "--smooth",
        type=cli.number(int, 1),
        default=1,
        metavar="N",
        help="draw the mean of the last N epochs (default: %(default)s)",
    )
    parser.add_argument(
        "--max_epoch", type=cli.number(int, 1), metavar="N", help="last epoch to draw"
    )
    parser.add_overwrite()
    return parser


if __name__ == "__main__":
    sys.exit(main())
