"""Measures how far the models of runs, and the plans made with them, can be trusted.

    python -m planet.scripts.diagnose LOGDIR/00001 --output FOLDER

TensorFlow is imported only inside functions: spawned workers import this module too.
docs/learning.md says how to read the numbers, and what to turn.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from planet.control import batch_env
from planet.control.envs import assembly, opengl
from planet.scripts import runs, tasks
from planet.tools import atomic_files, cli, parameters, tables, tensorflow_start

PROG = "planet.scripts.diagnose"
SUFFIXES = ("json", "png", "svg")
DISTANCES = (1, 2, 4, 8, 12, 24)
OTHERS = ("image", "return", "divergence", "plan")  # Measures that are of no vector.


def diagnose(run: pathlib.Path, args) -> dict[str, Any]:
    """Measures a run.

    Args:
      run: its folder.
      args: `checkpoint`, `phase`, `newest`, `distances` and `episodes` of the command
        line.

    Returns:
      `step` of the checkpoint and `measures`, see `instruments.measure_run`.

    Raises:
      RunError: There is nothing to measure.
      EnvError: An environment does not work.
    """
    from planet.tools import tf1_checkpoint
    from planet.training import instruments

    try:
        config = runs.read_config(run / "config.yaml")
        step, checkpoint = runs.choose_checkpoint(run, args.checkpoint)
        chosen = tasks.load(config)
        played = chosen if args.episodes else []
        if any(task.renders for task in played):
            opengl.require_isolation(config.isolate_envs)
        folder = run / f"{args.phase}_episodes"
        spec = _spec(chosen[0], config.observations)
        episodes = instruments.read_newest(folder, args.newest, spec)
        if not episodes:
            raise runs.RunError(f"there is no episode in {folder} that can be read")
        config.test_episodes = max(1, args.episodes)
        measures = instruments.measure_run(
            config, checkpoint, episodes, args.distances, played
        )
    except (
        runs.RunError,
        parameters.ParameterError,
        opengl.OpenGLError,
        tf1_checkpoint.CheckpointError,
        OSError,
    ) as error:
        raise runs.RunError(" ".join(str(error).split())) from error
    return {"step": step, "measures": measures}


def _spec(task, seen):
    """Shapes of one step of the entries of an episode, as far as a task tells them."""
    observation = (*assembly.IMAGE_SIZE, task.channels), (task.state_size,)
    return {
        seen: observation[seen == "state"],
        "action": (task.action_size,),
        "reward": (),
        **dict.fromkeys(task.state_components),
    }


def report(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Tables of what `diagnose` found, by name of the run."""
    curves = {
        (name, title): values
        for name, result in results.items()
        for title, values in _curves(result["measures"]).items()
    }
    distances = sorted({key for values in curves.values() for key in values})
    by_distance = tables.markdown(
        ("run", "steps since the last observation", *distances),
        [
            (*names, *(_show(values.get(distance)) for distance in distances))
            for names, values in curves.items()
        ],
    )
    numbers = {name: _numbers(result) for name, result in results.items()}
    titles = dict.fromkeys(title for row in numbers.values() for title in row)
    others = tables.markdown(
        ("number", *numbers),
        [
            (title, *(_show(row.get(title)) for row in numbers.values()))
            for title in titles
        ],
    )
    return f"{by_distance}\n\n{others}"


def _curves(measures):
    """What there is for each distance, by title."""
    curves = {
        f"{key}: error / spread": measures[key]["error"]
        for key in _heads(measures)
        if measures[key]["r2"] is not None
    }
    image = measures.get("image", {})
    titles = {"psnr": "image: PSNR in dB", "ssim": "image: SSIM"}
    return curves | {titles[key]: values for key, values in image.items()}


def _heads(measures):
    """Names of the heads but that of the image, the reward first."""
    return sorted(measures.keys() - {*OTHERS}, key=lambda key: (key != "reward", key))


def _numbers(result):
    """The other numbers, by title."""
    measures = result["measures"]
    numbers = {"step of the checkpoint": result["step"]}
    numbers |= {f"R² of {key}": measures[key]["r2"] for key in _heads(measures)}
    if "return" in measures:
        found = measures["return"]
        title = f"{found['steps']}-step return"
        numbers |= {
            f"{title}: correlation": found["correlation"],
            f"{title}: bias": found["bias"],
            f"{title}: imagined spread": found["imagined_spread"],
            f"{title}: true spread": found["true_spread"],
        }
    found = measures["divergence"]
    numbers["divergence in nats"] = found["mean"]
    numbers["share of steps below the free nats"] = found["below_free_nats"]
    for kind, found in measures.get("plan", {}).items():
        for key in ("promised", "received", "correlation"):
            numbers[f"plans of {kind}: {key}"] = found[key]
    return numbers


def draw(results: Mapping[str, Mapping[str, Any]]):
    """A figure of errors against distance, with a chart for each kind of prediction."""
    from matplotlib import figure

    curves = {name: _curves(result["measures"]) for name, result in results.items()}
    titles = list(dict.fromkeys(title for found in curves.values() for title in found))
    distances = sorted(
        {x for found in curves.values() for points in found.values() for x in points}
    )
    columns = min(3, len(titles))
    lines = -(-len(titles) // columns)
    chart = figure.Figure((3.6 * columns, 2.8 * lines + 0.6), layout="constrained")
    axes = chart.subplots(lines, columns, squeeze=False).ravel()
    for axis, title in zip(axes, titles, strict=False):
        for index, (name, found) in enumerate(curves.items()):
            if title in found:
                points = list(found[title].items())
                axis.plot(*zip(*points, strict=True), f"C{index}.-", label=name)
        if title.endswith("spread"):
            axis.axhline(1, color="grey", linestyle=":")
            axis.set_ylim(bottom=0)
        axis.set_title(title, fontsize=10)
        axis.set_xscale("symlog", base=2, linthresh=1)
        axis.set_xlim(left=-0.2)
        axis.set_xticks(distances, distances)
        axis.minorticks_off()
        axis.set_xlabel("steps since the last observation")
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[len(titles) :]:
        axis.remove()
    handles = [axis.get_legend_handles_labels() for axis in axes[: len(titles)]]
    lines, labels = max(handles, key=lambda pair: len(pair[1]))
    chart.legend(lines, labels, loc="outside upper center", ncols=3)
    return chart


def _show(value):
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.3g}"


@cli.main(PROG)
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    parser = _make_parser()
    args = parser.parse_args(argv)
    paths = {}
    if args.output:
        paths = {key: args.output / f"instruments.{key}" for key in SUFFIXES}
    if not args.overwrite:
        parser.refuse_existing(*paths.values())
    tensorflow_start.load()
    try:
        results = _diagnose_all(args)
    except batch_env.EnvError as error:
        print(f"{PROG}: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", flush=True)
        return 130
    if not results:
        parser.error("no run has a checkpoint and episodes to measure")
    print(report(results))
    if paths:
        args.output.mkdir(parents=True, exist_ok=True)
        atomic_files.write_json(paths["json"], results, indent=2)
        chart = draw(results)
        for suffix in ("png", "svg"):
            with atomic_files.writing(paths[suffix], "wb") as file:
                chart.savefig(file, format=suffix, dpi=100)
    return 0


def _diagnose_all(args):
    """What was found, by name of the run; runs that can't be measured are named."""
    results = {}
    for name, run in runs.find_all(args.runs).items():
        try:
            results[name] = diagnose(run, args)
        except runs.RunError as error:
            print(f"Skip {name}: {error}", file=sys.stderr, flush=True)
    return results


def _make_parser() -> cli.Parser:
    parser = cli.Parser(
        PROG,
        "Measures how far the models of runs can be trusted: errors of rewards, "
        "diagnostics and images against the steps since the last observation; imagined "
        "against true returns; the divergence against the free nats; and, with "
        "--episodes, what plans promise against what is received.",
    )
    runs.add_runs(parser, "folder of a run, finished or not, or of several runs")
    parser.add_argument(
        "--output",
        type=cli.output_folder,
        metavar="FOLDER",
        help="where to write instruments.json, instruments.png and instruments.svg "
        "(default: nowhere)",
    )
    runs.add_checkpoint(parser)
    parser.add_argument(
        "--phase",
        choices=("train", "test"),
        default="train",
        help="episodes to measure on: train, which the agent collected last, or test, "
        "which the model has not learned from (default: %(default)s)",
    )
    parser.add_argument(
        "--newest",
        type=cli.number(int, 1, 10_000),
        default=10,
        metavar="N",
        help="how many of them, the newest (default: %(default)s)",
    )
    parser.add_argument(
        "--distances",
        nargs="+",
        type=cli.number(int, 1, 1000),
        default=DISTANCES,
        metavar="STEPS",
        help="steps since the last observation (default: 1 2 4 8 12 24)",
    )
    parser.add_argument(
        "--episodes",
        type=cli.number(int, 0, 1000),
        default=0,
        metavar="N",
        help="episodes of each task to play, to compare what plans promise with what "
        "is received (default: %(default)s)",
    )
    parser.add_overwrite()
    return parser


if __name__ == "__main__":
    sys.exit(main())
