"""Collects scores and losses of many runs in one file, for plot_scores to read.

python -m planet.scripts.compile_scores PARENT OUT.json
"""

import math
import sys
from collections.abc import Sequence

import tqdm

from planet.scripts import compiling
from planet.tools import events

PROG = "planet.scripts.compile_scores"
# Of several tags, the first one that a run has counts: it sees images or states.
TAGS = {
    "test_score": ("test/score",),
    "image_loss": ("train/loss/zero_step/image", "train/loss/zero_step/state"),
    "reward_loss": ("train/loss/zero_step/reward",),
    "image_loss_te": ("test/loss/zero_step/image", "test/loss/zero_step/state"),
    "reward_loss_te": ("test/loss/zero_step/reward",),
}


def compile_run(run: events.Run) -> dict[str, list[float | None]]:
    """Collects the metrics of a run by name, each with an entry for each epoch.

    An epoch is a train phase and the test phase after it. The first incomplete epoch,
    and whatever follows it, is left out. Numbers that are not finite become None.

    Raises:
      EventsError: The run's events cannot be read, or no epoch is complete.
    """
    wanted = {tag for tags in TAGS.values() for tag in tags}
    found = events.read_run(run, "scalars", wanted.__contains__)
    columns = {}
    for metric, tags in TAGS.items():
        tag = next((tag for tag in tags if tag in found), None)
        if tag is None:
            raise events.EventsError(f"no epoch is complete: there is no {tags[0]}")
        columns[metric] = found[tag]
    result = {metric: [] for metric in columns}
    start, ends = -math.inf, [event.step for event in columns["test_score"]]
    for end in ends:
        epoch = {
            metric: [event.value for event in column if start < event.step <= end]
            for metric, column in columns.items()
        }
        if not all(epoch.values()):
            break
        for metric, values in epoch.items():
            result[metric].append(values[-1] if math.isfinite(values[-1]) else None)
        start = end
    length = len(result["test_score"])
    if not length:
        raise events.EventsError("no epoch is complete")
    if length < len(ends):
        tqdm.tqdm.write(
            f"Keep {length} of {len(ends)} epochs of {run.path}: one is incomplete",
            file=sys.stderr,
        )
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    description = (
        "Writes {label: {test_score, image_loss, reward_loss, image_loss_te, "
        "reward_loss_te}} of the runs in a folder, each metric as a list with a number "
        "for each epoch; _te marks losses on test episodes. For runs that see states, "
        "image losses are those of the states."
    )
    return compiling.run(PROG, description, compile_run, argv)


if __name__ == "__main__":
    sys.exit(main())
