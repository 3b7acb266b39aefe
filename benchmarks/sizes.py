"""How cost grows with size, by `python -m benchmarks.sizes`.

Times decisions and updates while one size varies and all others are the defaults, and
fits seconds = c * size ** exponent from the middle of the sizes upwards. 1 is
proportional; below 1, larger is cheaper for what is computed. Writes a plot.
"""

import argparse
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import figure

from benchmarks import speed
from planet.scripts import plot_scores
from planet.tools import cli, devices

REPEATS = 3


class Series(NamedTuple):
    """What is timed at which sizes.

    Attributes:
      name: what varies.
      sizes: its values, in rising order.
      prepare: function of a size that returns what `speed.measure` times.
    """

    name: str
    sizes: Sequence[int]
    prepare: Callable[[int], Callable]


def _decision(**params) -> Callable:
    return speed.decision("float32", **params)[0]


SERIES = [
    Series(
        "decision: candidates",
        (100, 250, 500, 1000, 2000, 4000),
        lambda size: _decision(cem_amount=size, cem_topk=size // 10),
    ),
    Series(
        "decision: horizon",
        (6, 12, 24, 48),
        lambda size: _decision(collect_horizons=[size]),
    ),
    Series(
        "decision: environments",
        (1, 2, 4, 8, 16, 32),
        lambda size: _decision(envs=size),
    ),
    Series(
        "decision: model size",
        (50, 100, 200, 400, 800),
        lambda size: _decision(model_size=size),
    ),
    Series(
        "update: model size",
        (50, 100, 200, 400, 800),
        lambda size: speed.update("newhp", "float32", model_size=size)[0],
    ),
]


def main() -> None:
    """Measures all series, prints a table and draws a plot."""
    parser = argparse.ArgumentParser(prog="benchmarks.sizes", description=__doc__)
    parser.add_argument(
        "--output",
        type=cli.output_file(".png"),
        default=pathlib.Path("docs/pictures/sizes.png"),
        metavar="FILE.png",
        help="the plot (default: %(default)s)",
    )
    args = parser.parse_args()
    devices.prepare(tf32=False)
    speed.print_machine(speed.REPEATS)
    print("| what varies | sizes | seconds | exponent |\n| --- | --- | --- | ---: |")
    drawing = figure.Figure((8, 4.5), layout="constrained")
    panel = drawing.subplots()
    for name, sizes, prepare in SERIES:
        seconds = [speed.measure(prepare(size), REPEATS) for size in sizes]
        exponent = fit(sizes, seconds)
        shown = ", ".join(map(str, sizes)), ", ".join(f"{x:.3g}" for x in seconds)
        print(f"| {name} | {' | '.join(shown)} | {exponent:.2f} |", flush=True)
        panel.plot(sizes, seconds, "o-", label=f"{name}, exponent {exponent:.2f}")
    panel.set(xscale="log", yscale="log", xlabel="size", ylabel="seconds")
    plot_scores.tidy(panel)
    panel.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    drawing.savefig(args.output, dpi=100)
    print(f"\nWrote {args.output}")


def fit(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """The exponent from the middle of the sizes upwards."""
    upper = slice((len(sizes) - 1) // 2, None)
    return float(np.polyfit(np.log(sizes[upper]), np.log(seconds[upper]), 1)[0])


if __name__ == "__main__":
    main()
