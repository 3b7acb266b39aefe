"""Collects scores and losses of many runs in one file, for plot_scores to read.

python -m planet.scripts.compile_scores PARENT OUT.json
"""

import functools
import itertools
import math
import sys
from collections.abc import Iterator, Mapping, Sequence

import tqdm

from planet.scripts import compiling
from planet.tools import cli, events, wording

PROG = "planet.scripts.compile_scores"
# Of several tags, the first one that a run has counts: it sees images or states.
TAGS = {
    "test_score": ("test/score",),
    "image_loss": ("train/loss/zero_step/image", "train/loss/zero_step/state"),
    "reward_loss": ("train/loss/zero_step/reward",),
    "image_loss_te": ("test/loss/zero_step/image", "test/loss/zero_step/state"),
    "reward_loss_te": ("test/loss/zero_step/reward",),
}
AXIS_TAGS = {axis: (f"test/{axis}",) for axis in ("env_steps", "updates", "minutes")}
AXES = ("steps", *AXIS_TAGS)

Scalars = Mapping[str, Sequence[events.Event]]


def read_epochs(
    run: events.Run, tags: Mapping[str, Sequence[str]]
) -> Iterator[dict[str, float]]:
    """Reads what a run reported in each epoch: a train phase and the test after it.

    Args:
      run: The run.
      tags: Tags of each metric, of which the first that the run has counts.

    Yields:
      For each test score, the last value of each metric since the score before it, and
      `steps`; without metrics that have none.

    Raises:
      EventsError: The run's events cannot be read, or there is no test score.
    """
    wanted = {tag for choices in tags.values() for tag in choices} | {"test/score"}
    found = events.read_run(run, "scalars", wanted.__contains__)
    if "test/score" not in found:
        raise events.EventsError("no epoch is complete: there is no test/score")
    columns = {
        metric: next((found[tag] for tag in choices if tag in found), [])
        for metric, choices in tags.items()
    }
    start = -math.inf
    for end in (event.step for event in found["test/score"]):
        epoch = {"steps": float(end)}
        for metric, column in columns.items():
            inside = [event.value for event in column if start < event.step <= end]
            if inside:
                epoch[metric] = inside[-1]
        yield epoch
        start = end


def compile_run(
    run: events.Run, axes: Sequence[str] = ()
) -> dict[str, list[float | None]]:
    """Collects the metrics of a run by name, each with an entry for each epoch.

    The first incomplete epoch, and whatever follows it, is left out. Numbers that are
    not finite become None.

    Args:
      run: The run.
      axes: Which of `AXES` to add to the metrics.

    Raises:
      EventsError: The run's events cannot be read, or no epoch is complete.
    """
    tags = TAGS | {axis: AXIS_TAGS[axis] for axis in axes if axis in AXIS_TAGS}
    names = [*TAGS, *axes]
    epochs = list(read_epochs(run, tags))
    for name in names:
        if not any(name in epoch for epoch in epochs):
            tag = tags[name][0]
            raise events.EventsError(f"no epoch is complete: there is no {tag}")
    complete = list(itertools.takewhile(lambda x: x.keys() >= {*names}, epochs))
    if not complete:
        raise events.EventsError("no epoch is complete")
    if len(complete) < len(epochs):
        tqdm.tqdm.write(
            f"Keep {len(complete)} of {wording.count(len(epochs), 'epoch')} of "
            f"{run.path}: one is incomplete",
            file=sys.stderr,
        )
    return {
        name: [x[name] if math.isfinite(x[name]) else None for x in complete]
        for name in names
    }


@cli.main(PROG)
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    description = (
        "Writes {label: {test_score, image_loss, reward_loss, image_loss_te, "
        "reward_loss_te}} of the runs in a folder, each metric as a list with a number "
        "for each epoch; _te marks losses on test episodes. The image losses of runs "
        "that see states are those of the states."
    )
    parser = compiling.make_parser(PROG, description)
    parser.add_argument(
        "--x",
        nargs="+",
        choices=AXES,
        default=[],
        metavar="AXIS",
        help=f"what else to write for each epoch, as --x of plot_scores needs it: "
        f"{', '.join(AXES)}",
    )
    args = parser.parse_args(argv)
    return compiling.run(parser, args, functools.partial(compile_run, axes=args.x))


if __name__ == "__main__":
    sys.exit(main())
