"""Writes what there is to know of runs as one HTML page, to look at and to pass on.

    python -m planet.scripts.report RUN... --output report.html

The page needs nothing beside it: curves, strips and films are inside.
"""

import base64
import contextlib
import dataclasses
import io
import pathlib
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import numpy as np

import planet
from planet.scripts import compile_scores, configs, plot_scores, runs
from planet.tools import atomic_files, cli, events, parameters, wording

PROG = "planet.scripts.report"
TEMPLATE = pathlib.Path(__file__).with_suffix(".html")
METRICS = (*plot_scores.DEFAULT_METRICS, "image_loss", "reward_loss")
# Pictures by their title, as patterns of tags; the newest of each is shown.
PICTURES = {
    "The last test episode": r"test/simulation/.*/video",
    "Truth, dream and difference of test sequences": r"test/open_loop/video",
    "Rewards of the last test episode": r"test/simulation/.*/rewards",
    "Reconstruction, from all images so far": r"test/posterior/strip",
    "Open loop: five images seen, then actions alone": r"test/open_loop/strip",
    "What the model says of a test sequence": r"test/trajectories/.*",
}
FILMS = 2  # Of an evaluation; each takes some megabytes.
GIF = b"GIF8"  # What GIFs begin with.
SPEEDS = {
    "updates per second": "train/updates_per_second",
    "decisions per second": "train/decisions_per_second",
}


@dataclasses.dataclass
class Report:
    """What the page says of a run; all of it is text, or HTML that is safe.

    Attributes:
      name: Name of the run.
      state: Whether it is finished, failed or neither.
      facts: What is to be seen first, by title.
      command: How to train it again.
      scores: Scores and losses by epoch; None before the first one is complete.
      curves: Their curves, as SVG.
      evaluations: Rows of checkpoint, task, episodes, mean and standard deviation.
      pictures: Addresses of pictures that hold all of their data, by title.
      readouts: R² of what the state is asked for, by its name.
      errors: Errors by distance, by title.
      changed: Settings that differ from those of the config.
      settings: All settings.
      model: The table of the model.
    """

    name: str
    state: str
    facts: dict[str, str]
    command: str
    scores: plot_scores.Scores | None
    curves: str | None
    evaluations: list[tuple[str, ...]]
    pictures: dict[str, list[str]]
    readouts: dict[str, str]
    errors: dict[str, dict[int, str]]
    changed: dict[str, Any]
    settings: dict[str, Any]
    model: str


def read(name: str, path: pathlib.Path) -> Report:
    """Collects what the page says of a run.

    Args:
      name: Name of the run.
      path: Its folder.

    Raises:
      RunError: There are no events to read.
      ParameterError: Its settings cannot be read.
    """
    config = runs.read_config(path / "config.yaml")
    run = events.Run(name, "", path)
    try:
        scalars = events.read_run(run, "scalars")
        patterns = re.compile("|".join(PICTURES.values()))
        images = events.read_run(
            run, "images", lambda tag: bool(patterns.fullmatch(tag))
        )
    except events.EventsError as error:
        raise runs.RunError(str(error)) from None
    tasks = {"tasks": config.tasks}
    changed = runs.differences(configs.load(config.config_name, tasks), config)
    settings = {key: config[key] for key in configs.PARAMETERS}
    scores = _scores(run)
    evaluations = _read_evaluations(path)
    return Report(
        name,
        _state(path, run),
        _facts(config, scalars),
        runs.train_command(config, str(path.parent)),
        scores,
        _curves({name: scores}) if scores else None,
        [row for evaluation in evaluations for row in evaluation.rows],
        _films(evaluations) | _pictures(images),
        _readouts(scalars),
        _errors(scalars),
        {key: settings[key] for key in changed},
        settings,
        _model(path / "config.yaml"),
    )


def render(reports: Sequence[Report], comparison: str | None) -> str:
    """The page, as HTML.

    Args:
      reports: Of each run.
      comparison: Curves of all runs, as SVG, if there are several.
    """
    template = jinja2.Template(
        TEMPLATE.read_text(encoding="utf-8"), autoescape=True, trim_blocks=True
    )
    return template.render(
        reports=reports, comparison=comparison, version=planet.__version__
    )


def _state(path, run) -> str:
    if failure := run.failure():
        return f"failed: {failure}"
    return "finished" if (path / "DONE").exists() else "not finished"


def _facts(config, scalars) -> dict[str, str]:
    last = {tag: found[-1].value for tag, found in scalars.items()}
    tasks = config.tasks if config.tasks == "all" else ", ".join(config.tasks)
    facts = {"tasks": tasks, "config": config.config_name}
    scores = [event.value for event in scalars.get("test/score", ())]
    if scores:
        facts["last test score"] = f"{scores[-1]:.1f}"
        facts["best test score"] = f"{np.nanmax(scores):.1f}"
        facts["test phases"] = str(len(scores))
    for title, tag in {
        "updates": "updates",
        "environment steps": "env_steps",
        "episodes": "episodes",
        "minutes": "minutes",
    }.items():
        found = [last[f"{p}/{tag}"] for p in events.PHASES if f"{p}/{tag}" in last]
        if found:
            facts[title] = f"{found[0] if tag == 'episodes' else max(found):,.0f}"
    for title, tag in SPEEDS.items():
        if tag in last:
            facts[title] = f"{last[tag]:.3g}"
    return facts


def _scores(run: events.Run) -> plot_scores.Scores | None:
    """Scores and losses of a run by epoch; None where no epoch is complete."""
    try:
        values = compile_scores.compile_run(run, ["updates"])
    except events.EventsError:
        return None
    return {key: np.array(x, float) for key, x in values.items()}


def _curves(found: Mapping[str, plot_scores.Scores]) -> str:
    """Curves of runs, as an element of HTML."""
    curves = {name: [scores] for name, scores in found.items()}
    drawing, stream = plot_scores.plot(curves, METRICS, x="updates"), io.StringIO()
    drawing.savefig(stream, format="svg")
    text = stream.getvalue()
    return text[text.index("<svg") :]


@dataclasses.dataclass
class _Evaluation:
    """What evaluate has written: rows of results, and the first films."""

    title: str
    rows: Sequence[tuple[str, ...]]
    films: Sequence[pathlib.Path]


def _read_evaluations(path: pathlib.Path) -> list[_Evaluation]:
    """What evaluate has written to a run, oldest first; other files are left out."""
    found = []
    files = sorted(path.glob("evaluation*.json"), key=lambda x: x.stat().st_mtime)
    for file in files:
        try:
            content = atomic_files.read_json(file)
            step = f"step {content['checkpoint']}"
            rows = [
                (
                    step,
                    str(task),
                    str(result["episodes"]),
                    f"{result['mean']:.1f}",
                    f"{result['stddev']:.1f}",
                )
                for task, result in content["tasks"].items()
            ]
            films = [pathlib.Path(name) for name in content.get("films", [])[:FILMS]]
        except (ValueError, TypeError, KeyError, AttributeError):
            print(f"Skip {file}: it is no evaluation", file=sys.stderr, flush=True)
        else:
            found.append(_Evaluation(f"Evaluation of {step}", rows, films))
    return found


def _films(found: Sequence[_Evaluation]) -> dict[str, list[str]]:
    """Films of the newest evaluation that has made any, by title."""
    for evaluation in reversed(found):
        films = filter(_is_gif, evaluation.films)
        if sources := [_source(film.read_bytes()) for film in films]:
            return {evaluation.title: sources}
    return {}


def _is_gif(path: pathlib.Path) -> bool:
    """Whether it is a film: the name of anything may stand in a file."""
    with contextlib.suppress(OSError, ValueError):
        if path.is_file():
            with path.open("rb") as file:
                return file.read(len(GIF)) == GIF
    return False


def _pictures(images) -> dict[str, list[str]]:
    """The newest pictures by title."""
    found = {}
    for title, pattern in PICTURES.items():
        tags = [tag for tag in images if re.fullmatch(pattern, tag)]
        sources = [_source(image) for tag in tags for image in images[tag][-1].value]
        if sources:
            found[title] = sources
    return found


def _source(image: bytes) -> str:
    """The address of a picture that holds all of its data."""
    kind = "gif" if image.startswith(GIF) else "png"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def _readouts(scalars) -> dict[str, str]:
    pattern = re.compile(r"train/instruments/(.+)/r2")
    return {
        match[1]: f"{found[-1].value:.3f}"
        for tag, found in scalars.items()
        if (match := pattern.fullmatch(tag))
    }


def _errors(scalars) -> dict[str, dict[int, str]]:
    """Errors and likeness of the newest train episodes, by distance, by title."""
    pattern = re.compile(r"train/instruments/(.+)/(error|psnr|ssim)/(\d+)")
    units = {"error": "error / spread", "psnr": "PSNR in dB", "ssim": "SSIM"}
    table: dict[str, dict[int, str]] = {}
    for tag, found in scalars.items():
        if match := pattern.fullmatch(tag):
            row = table.setdefault(f"{match[1]}: {units[match[2]]}", {})
            row[int(match[3])] = f"{found[-1].value:.3g}"
    return {title: dict(sorted(row.items())) for title, row in sorted(table.items())}


def _model(path: pathlib.Path) -> str:
    """What a run notes below its settings."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line[2:] for line in lines if line.startswith("# "))


@cli.main(PROG)
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    parser = _make_parser()
    args = parser.parse_args(argv)
    if not args.overwrite:
        parser.refuse_existing(args.output)
    reports = []
    for name, path in runs.find_all(args.runs).items():
        try:
            reports.append(read(name, path))
        except (runs.RunError, parameters.ParameterError) as error:
            print(f"Skip {name}: {error}", file=sys.stderr, flush=True)
    if not reports:
        parser.error("there is no run to report")
    scores = {report.name: report.scores for report in reports if report.scores}
    comparison = _curves(scores) if scores and len(reports) > 1 else None
    with atomic_files.writing(args.output) as file:
        file.write(render(reports, comparison))
    size = args.output.stat().st_size / 1e6
    number = wording.count(len(reports), "run")
    print(f"Reported {number} in {args.output}: {size:.1f} MB.")
    return 0


def _make_parser() -> cli.Parser:
    parser = cli.Parser(
        PROG,
        "Writes a page about runs, finished or not: settings, model, curves, films and "
        "strips, what the states hold, speed, evaluations, and how to train them "
        "again. The page is a single file of HTML.",
    )
    runs.add_runs(parser, "folder of a run, or of several runs")
    parser.add_argument(
        "--output",
        type=cli.output_file(".html"),
        default=pathlib.Path("report.html"),
        metavar="FILE",
        help="the page (default: %(default)s)",
    )
    parser.add_overwrite()
    return parser


if __name__ == "__main__":
    sys.exit(main())
