"""Measures how well a task's diagnostics can be read from a model's states.

    python -m planet.scripts.analyse_latents LOGDIR... --output FOLDER

Position, velocity and whatever else is observed beside the image are predicted by
linear regression from the sample, from the belief, and from the principal components of
either.
"""

from __future__ import annotations

import csv
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from planet.scripts import runs
from planet.tools import atomic_files, cli, latent_files, readout, tables

PROG = "planet.scripts.analyse_latents"
SUFFIXES = ("json", "csv", "png", "svg")


def analyse(run: pathlib.Path, components: Sequence[int]) -> list[dict[str, Any]]:
    """R² of linear readouts from the states that a run saved last.

    The regressions are fit to states of the newest train phase that a test phase
    follows, and evaluated on those of that test phase: on episodes that neither they
    nor the model learned from.

    Args:
      run: folder of the run.
      components: numbers of principal components to reduce the states to; those too
        large for a state are skipped.

    Returns:
      One dict for each diagnostic and input: `step` of the newest state;
      `diagnostic`; `input`; `r2`, the mean over the entries of the diagnostic, without
      those that are constant; `r2_by_entry`; `train_steps` and `test_steps`, how many
      steps there were to fit to and to evaluate on. None stands for an undefined R².

    Raises:
      RunError: There is nothing to analyse.
    """
    step, train, test = _read_newest_epoch(run / "latents")
    states = [key for key in latent_files.STATES if key in train]
    diagnostics = sorted(train.keys() - {*states, *latent_files.OTHERS})
    if not diagnostics:
        raise runs.RunError("its task tells nothing beside the image")
    inputs = [
        (key, amount)
        for key in states
        for amount in (None, *components)
        if amount is None or amount <= min(train[key].shape)
    ]
    results = []
    for diagnostic in diagnostics:
        for key, amount in inputs:
            try:
                with np.errstate(all="ignore"):
                    scores = readout.r2(
                        (train[key], _flat(train[diagnostic])),
                        (test[key], _flat(test[diagnostic])),
                        amount,
                    )
            except ValueError as error:  # Numbers may be too large to be squared.
                reason = f"{diagnostic} cannot be read from {key}: {error}"
                raise runs.RunError(" ".join(reason.split())) from error
            results.append(
                {
                    "step": step,
                    "diagnostic": diagnostic,
                    "input": f"{key} PCA {amount}" if amount else key,
                    "r2": _mean(scores),
                    "r2_by_entry": [_mean(scores[[i]]) for i in range(len(scores))],
                    "train_steps": len(train[key]),
                    "test_steps": len(test[key]),
                }
            )
    return results


def _read_newest_epoch(folder):
    """Step, states of the newest train phase, states of the test phase after it."""
    steps, parts, newest = [], {"train": [], "test": []}, None
    for step, path in reversed(latent_files.scan(folder).items()):
        try:
            arrays = latent_files.read(path)
        except latent_files.TornFileError as error:
            print(f"Skip a file: {error}", file=sys.stderr, flush=True)
            continue
        newest = newest or _shapes(arrays)
        if _shapes(arrays) != newest:
            reason = "its arrays are not those of newer files"
            print(f"Skip a file: {path}: {reason}", file=sys.stderr, flush=True)
            continue
        if arrays["phase"] == "test" and parts["train"]:
            break
        if arrays["phase"] == "test" or parts["test"]:
            steps.append(step)
            parts[arrays["phase"]].append(arrays)
    if not parts["train"]:
        reason = "no states of a train phase and the test phase after it in latents/"
        raise runs.RunError(reason)
    return steps[0], *(_join(parts[phase]) for phase in ("train", "test"))


def _shapes(arrays):
    """Shapes of one step of the entries of a file."""
    return {key: value.shape[1:] for key, value in arrays.items() if key != "phase"}


def _join(files):
    """Concatenates the arrays [N, ...] of several files, without the phase."""
    keys = files[0].keys() - {"phase"}
    return {key: np.concatenate([arrays[key] for arrays in files]) for key in keys}


def _flat(values):
    """Vectors [N, O] of diagnostics [N, ...]."""
    return values.reshape(len(values), -1)


def _mean(scores):
    """The mean of the scores that are defined, as JSON can hold it."""
    known = scores[~np.isnan(scores)]
    return float(known.mean()) if len(known) else None


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """A table of what `analyse` found, a row for each diagnostic of each `run`."""
    inputs = _distinct(results, "input")
    lines = {}
    for row in results:
        line = lines.setdefault((row["run"], row["diagnostic"]), dict.fromkeys(inputs))
        line[row["input"]] = row["r2"]
    return tables.markdown(
        ("run", "diagnostic", *inputs),
        [(*names, *map(_show, line.values())) for names, line in lines.items()],
    )


def draw(results: Sequence[Mapping[str, Any]]):
    """A figure of what `analyse` found in each `run`.

    It has a chart for each diagnostic, with a group of bars for each input. Values
    that are not above 0 have no bar, only a number.
    """
    from matplotlib import figure

    diagnostics, inputs, names = (
        _distinct(results, key) for key in ("diagnostic", "input", "run")
    )
    size = 4 * len(diagnostics) + 1.5, 1.5 + len(inputs) * (0.2 + 0.2 * len(names))
    chart = figure.Figure(size, layout="constrained")
    axes = chart.subplots(1, len(diagnostics), sharey=True, squeeze=False)[0]
    thickness = 0.8 / len(names)
    for axis, diagnostic in zip(axes, diagnostics, strict=True):
        for index, name in enumerate(names):
            found = {
                row["input"]: row["r2"]
                for row in results
                if (row["run"], row["diagnostic"]) == (name, diagnostic)
            }
            values = [found.get(key) for key in inputs]
            first = (index + 0.5) * thickness - 0.4
            bars = axis.barh(
                [first + place for place in range(len(inputs))],
                [max(0.0, value or 0.0) for value in values],
                thickness,
                label=name,
            )
            axis.bar_label(bars, map(_show, values), padding=2, fontsize=8)
        axis.set_title(diagnostic)
        axis.set_xlabel("R² on held-out steps")
        axis.set_xlim(0, 1.1)
        axis.set_yticks(range(len(inputs)), inputs)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()
    chart.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center")
    return chart


def _distinct(results, key):
    """The different values of a key, in order."""
    return list(dict.fromkeys(row[key] for row in results))


def _show(r2):
    return "–" if r2 is None else f"{r2:.2f}"


@cli.main(PROG)
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    parser = _make_parser()
    args = parser.parse_args(argv)
    paths = {}
    if args.output:
        paths = {suffix: args.output / f"r2.{suffix}" for suffix in SUFFIXES}
    if not args.overwrite:
        parser.refuse_existing(*paths.values())
    results = []
    for name, run in runs.find_all(args.runs).items():
        try:
            results += [{"run": name, **row} for row in analyse(run, args.components)]
        except runs.RunError as error:
            print(f"Skip {name}: {error}", file=sys.stderr, flush=True)
    if not results:
        parser.error("no run has states to analyse; train with collect_latents: true")
    print(table(results))
    if paths:
        _write(results, paths)
    return 0


def _write(results, paths):
    """Writes the results in every form."""
    paths["json"].parent.mkdir(parents=True, exist_ok=True)
    atomic_files.write_json(paths["json"], results, indent=2)
    with atomic_files.writing(paths["csv"]) as file:
        names = [key for key in results[0] if key != "r2_by_entry"]
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(results)
    chart = draw(results)
    for suffix in ("png", "svg"):
        with atomic_files.writing(paths[suffix], "wb") as file:
            chart.savefig(file, format=suffix, dpi=150)


def _make_parser() -> cli.Parser:
    parser = cli.Parser(
        PROG,
        "Measures how well a task's diagnostics, such as position and velocity, can be "
        "read linearly from a model's sample and belief, and from their principal "
        "components: R², 1 at best. The readouts are fit to states of the newest train "
        "phase, and evaluated on those of the test phase that follows.",
    )
    runs.add_runs(
        parser, "folder of a run with collect_latents: true, or of several such runs"
    )
    parser.add_argument(
        "--output",
        type=cli.output_folder,
        metavar="FOLDER",
        help="where to write r2.json, r2.csv, r2.png and r2.svg (default: nowhere)",
    )
    parser.add_argument(
        "--components",
        nargs="*",
        type=cli.number(int, 1, 10_000),
        default=[3, 10],
        metavar="N",
        help="numbers of principal components (default: 3 10)",
    )
    parser.add_overwrite()
    return parser


if __name__ == "__main__":
    sys.exit(main())
