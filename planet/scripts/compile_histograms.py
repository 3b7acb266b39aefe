"""Collects the histograms of imagined returns of many runs in one file.

python -m planet.scripts.compile_histograms PARENT OUT.json
"""

import sys
from collections.abc import Sequence

from planet.scripts import compiling
from planet.tools import cli, events

PROG = "planet.scripts.compile_histograms"
TAGS = {
    "cem_returns": "test/plan_returns/last_iteration",
    "cem_returns_first": "test/plan_returns/first_iteration",
}


def compile_run(run: events.Run) -> dict[str, list[dict[str, list[float]]]]:
    """Collects the histograms of a run, one for each epoch.

    Returns:
      By name, the upper limits of the bins and the counts in them, for each epoch.

    Raises:
      EventsError: The run's events cannot be read, or hold no such histograms.
    """
    found = events.read_run(run, "histograms", set(TAGS.values()).__contains__)
    if missing := [tag for tag in TAGS.values() if tag not in found]:
        raise events.EventsError(
            f"no histograms {missing[0]}: it takes a run with summarise_plan_returns"
        )
    return {
        name: [
            {"limits": value[:, 1].tolist(), "counts": value[:, 2].tolist()}
            for _, _, value in found[tag]
        ]
        for name, tag in TAGS.items()
    }


@cli.main(PROG)
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    description = (
        "Writes {label: {cem_returns, cem_returns_first}} of the runs in a folder that "
        "were trained with summarise_plan_returns: histograms of the candidates' "
        "imagined returns in the last and the first iteration of planning, as lists "
        "with {limits, counts} for each epoch; limits are the upper limits of the bins."
    )
    parser = compiling.make_parser(PROG, description)
    return compiling.run(parser, parser.parse_args(argv), compile_run)


if __name__ == "__main__":
    sys.exit(main())
