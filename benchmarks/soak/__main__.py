"""What a run survives, by `make soak` or `python -m benchmarks.soak`.

Each case tries something again and again in real processes, on real files, and counts
how often nothing was lost. A table of survived / tried is printed at the end, and the
exit code is 1 if anything was lost.
"""

import argparse
import importlib
import pathlib
import sys
import tempfile
import time

import tqdm

from benchmarks.soak import outcome
from planet.tools import cli

# Attempts of each case, which is a module of this package.
CASES = {
    "interrupts": 100,
    "kills": 50,
    "workers": 40,
    "files": 60,
    "runs": 100,
    "fuzz": 1000,
    "memory": 1,
    "resuming": 3,
}


def main() -> int:
    """Tries the cases, prints a table and returns the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.soak", description=__doc__)
    parser.add_argument(
        "cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)} (default: all)"
    )
    parser.add_argument(
        "--tries",
        type=cli.number(int, 1, 100_000),
        metavar="N",
        help="attempts of each case (default: "
        + ", ".join(f"{name} {tries}" for name, tries in CASES.items())
        + ")",
    )
    args = parser.parse_args()
    unknown = set(args.cases) - CASES.keys()
    if unknown:
        parser.error(f"unknown case {min(unknown)!r}; there are {', '.join(CASES)}")
    outcomes = {}
    for name in args.cases or CASES:
        outcomes[name] = _try(name, args.tries or CASES[name])
    print("\n| case | survived / tried | minutes |\n| --- | ---: | ---: |")
    for name, (found, minutes) in outcomes.items():
        print(f"| {name} | {found.survived} / {found.tried} | {minutes:.1f} |")
    return int(any(found.survived < found.tried for found, _ in outcomes.values()))


def _try(name: str, tries: int) -> tuple[outcome.Outcome, float]:
    """What a case reports, and the minutes it took; prints what was lost."""
    case = importlib.import_module(f"benchmarks.soak.{name}")
    start = time.perf_counter()
    with (
        tempfile.TemporaryDirectory(prefix=f"planet-{name}-") as folder,
        tqdm.tqdm(desc=name, total=tries) as progress,
    ):
        found = case.run(tries, pathlib.Path(folder), progress.update)
    for line in found.losses:
        print(f"{name}: {line}", flush=True)
    minutes = (time.perf_counter() - start) / 60
    print(f"{name}: survived {found.survived} of {found.tried}", flush=True)
    return found, minutes


if __name__ == "__main__":
    sys.exit(main())
