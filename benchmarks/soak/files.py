"""Damaged files: whatever reads them says so in a line, and runs nothing in them."""

import pathlib
import random
import shutil
from collections.abc import Callable

from benchmarks.soak import ending, outcome, samples
from planet.scripts import (
    analyse_latents,
    compile_histograms,
    compile_scores,
    create_video,
    fetch_events,
    plot_scores,
    runs,
)
from planet.tools import episode_files, latent_files, parameters, weight_files
from planet.training import running


def run(
    tries: int, folder: pathlib.Path, progress: outcome.Progress
) -> outcome.Outcome:
    """Damages a file of each kind in turn, in every way, and reads it."""
    whole = folder / "whole"
    whole.mkdir()
    samples.write(whole)
    marker, losses = folder / "executed", []
    for attempt in range(tries):
        rng = random.Random(attempt)
        place = folder / f"{attempt:06}"
        shutil.copytree(whole, place)
        kind = list(READERS)[attempt % len(READERS)]
        pattern, read = READERS[kind]
        path = rng.choice(sorted(place.glob(pattern)))
        damage = rng.choice(list(DAMAGES))
        DAMAGES[damage](path, rng, marker)
        problem = _end(lambda read=read, path=path: read(path))
        if marker.exists():
            problem = "code in it was executed"
            marker.unlink()
        if problem:
            losses.append(f"{kind}, {damage}, attempt {attempt}: {problem}")
        shutil.rmtree(place)
        progress()
    return outcome.Outcome(tries, tries - len(losses), losses)


def _end(read: Callable[[], str | None]) -> str:
    """What is wrong with the end of reading a file; empty if nothing is."""
    try:
        return read() or ""
    except REFUSALS as error:
        return "" if len(str(error).splitlines()) == 1 else f"many lines: {error}"
    except Exception as error:  # Any other is what we look for.
        return f"{type(error).__name__}: {error}"


# What those raise that read a single file, in one line.
REFUSALS = (
    episode_files.TornEpisodeError,
    latent_files.TornFileError,
    parameters.ParameterError,
)


def _read_episode(path: pathlib.Path) -> None:
    episode_files.read(path, samples.EXPECTED)
    episode_files.count_decisions(path)


def _read_events(path: pathlib.Path) -> str:
    """Everything that reads events reads them."""
    parent = path.parents[3]
    output, found = parent.parent, ["--logdir", str(parent), "--output"]
    commands = [
        (compile_scores.main, [str(parent), f"{output}/a.json"]),
        (compile_histograms.main, [str(parent), f"{output}/b.json"]),
        (fetch_events.main, [*found, f"{output}/out"]),
        (create_video.main, [*found, f"{output}/out.gif", "--tag", samples.GIF_TAG]),
    ]
    return "; ".join(
        filter(None, (ending.end(*command).problem for command in commands))
    )


def _read_latents(path: pathlib.Path) -> str:
    return ending.end(analyse_latents.main, [str(path.parents[2])]).problem


def _read_config(path: pathlib.Path) -> None:
    try:
        runs.read_config(path)
    except OSError:  # The commands print it; it is one line.
        return


def _read_scores(path: pathlib.Path) -> str:
    folder, plot = path.parent, path.parent / "plot.svg"
    arguments = [f"{folder}/scores.json", "--baseline", f"{folder}/baseline.json"]
    return ending.end(plot_scores.main, [*arguments, "--output", str(plot)]).problem


def _read_weights(path: pathlib.Path) -> None:
    try:
        weight_files.read(path.parent)
    except ValueError as error:
        if "is damaged" not in str(error) or len(str(error).splitlines()) > 1:
            raise


def _read_ping(path: pathlib.Path) -> str | None:
    heartbeat = running.Heartbeat(path.parent, every=1000)
    heartbeat.owner()
    if not heartbeat.start():
        return None  # It seems to be alive.
    heartbeat.stop()
    return "PING is left behind" if path.exists() else None


def _read_film(path: pathlib.Path) -> str:
    output = str(path.with_name("other.gif"))
    return ending.end(create_video.main, [str(path), "--output", output]).problem


# By kind: where the files are, and what reads them.
READERS: dict[str, tuple[str, Callable[[pathlib.Path], str | None]]] = {
    "episode": ("runs/label/*/*_episodes/*.npz", _read_episode),
    "events": ("runs/label/*/t*/*tfevents*", _read_events),
    "states": ("runs/label/*/latents/*.npz", _read_latents),
    "settings": ("runs/label/*/config.yaml", _read_config),
    "heartbeat": ("runs/label/*/PING", _read_ping),
    "scores": ("*.json", _read_scores),
    "weights": ("runs/label/*/checkpoints/*/*.npz", _read_weights),
    "film": ("*.gif", _read_film),
}


def _truncate(path: pathlib.Path, rng: random.Random, marker: pathlib.Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


def _flip(path: pathlib.Path, rng: random.Random, marker: pathlib.Path) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= rng.randrange(1, 256)
    path.write_bytes(content)


def _exchange(path: pathlib.Path, rng: random.Random, marker: pathlib.Path) -> None:
    """Puts another file of the samples, or nonsense, in place of a file."""
    (top,) = [parent for parent in path.parents if (parent / "film.gif").is_file()]
    others = sorted(other for other in top.rglob("*") if other.is_file())
    contents = [b"[" * 100_000, rng.randbytes(1000), rng.choice(others).read_bytes()]
    path.write_bytes(rng.choice(contents))


def _pickle(path: pathlib.Path, rng: random.Random, marker: pathlib.Path) -> None:
    path.write_bytes(samples.malicious(marker))


DAMAGES: dict[str, Callable[[pathlib.Path, random.Random, pathlib.Path], object]] = {
    "truncated": _truncate,
    "empty": lambda path, *_: path.write_bytes(b""),
    "flipped": _flip,
    "foreign": _exchange,
    "pickled": _pickle,
    "deleted": lambda path, *_: path.unlink(),
}
