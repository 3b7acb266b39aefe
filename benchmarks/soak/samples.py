"""One file of each kind that is read from disk, in a small folder of runs.

Nothing here needs TensorFlow.
"""

import json
import pathlib
import pickle
import struct

import google_crc32c
import numpy as np
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.util import tensor_util

from planet.scripts import compile_histograms, compile_scores, configs, runs
from planet.tools import episode_files, latent_files, video, weight_files

# What is expected of the episodes.
EXPECTED = {"image": (8, 8, 3), "action": (2,), "reward": (), "position": (3,)}
GIF_TAG = "film"


class Malicious:
    """Makes a file when it is unpickled."""

    def __init__(self, path: pathlib.Path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def write(folder: pathlib.Path) -> None:
    """Writes the samples.

    Args:
      folder: receives `runs/label/00001` and `00002`, with settings, heartbeat, events,
        episodes, states and weights; `scores.json`, `baseline.json` and `film.gif`.
    """
    random = np.random.default_rng(0)
    film = random.integers(0, 255, (3, 8, 8, 3), np.uint8)
    video.write(folder / "film.gif", film, 10)
    metrics = {metric: [1.0, 2.5] for metric in (*compile_scores.TAGS, "steps")}
    (folder / "scores.json").write_text(json.dumps({"label/00001": metrics}))
    baseline = {"dummy": {"label": "random actions", "mean": 3.5, "returns": [3, 4]}}
    (folder / "baseline.json").write_text(json.dumps(baseline))
    settings = configs.load("debug", {"tasks": ["dummy"], "isolate_envs": "thread"})
    for name in ("00001", "00002"):
        run = folder / "runs" / "label" / name
        run.mkdir(parents=True)
        runs.save_config(settings, run / "config.yaml")
        (run / "PING").write_text(json.dumps({"worker": "another", "time": 0.0}))
        _write_events(run, (folder / "film.gif").read_bytes())
        for phase in ("train", "test"):
            episode_files.write(run / f"{phase}_episodes", _episode(random))
        for step, phase in enumerate(("train", "test"), 1):
            arrays = {
                "sample": random.normal(size=(20, 4)),
                "position": random.normal(size=(20, 2)),
                "sequence": np.repeat([0, 1], 10),
                "phase": phase,
            }
            latent_files.write(run / "latents", step - 1, step, arrays)
        weights = {"kernel": random.normal(size=(4, 4)), "bias": np.zeros(4)}
        weight_files.write(run / "checkpoints" / "ckpt-5", weights)


def malicious(marker: pathlib.Path) -> bytes:
    """A pickle that makes a file when it is loaded."""
    return pickle.dumps(Malicious(marker))


def _episode(random: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        key: random.integers(0, 255, (6, *shape), np.uint8)
        if key == "image"
        else random.normal(size=(6, *shape)).astype(np.float32)
        for key, shape in EXPECTED.items()
    }


def _write_events(run: pathlib.Path, gif: bytes) -> None:
    """Writes what two epochs report."""
    for phase in ("train", "test"):
        tags = [tag for choices in compile_scores.TAGS.values() for tag in choices]
        tags += [f"test/{axis}" for axis in compile_scores.AXES]
        values = [("scalars", tag, 1.5) for tag in tags]
        values += [
            ("histograms", tag, [[0.0, 1.0, 2.0]])
            for tag in compile_histograms.TAGS.values()
        ]
        values.append(("images", f"test/{GIF_TAG}", [b"8", b"8", gif]))
        events = [event_pb2.Event(wall_time=1.0, file_version="brain.Event:2")]
        for step in (10, 20):
            summary = summary_pb2.Summary()
            for plugin, tag, value in values:
                if tag.startswith(f"{phase}/"):
                    entry = summary.value.add(tag=tag.removeprefix(f"{phase}/"))
                    entry.metadata.plugin_data.plugin_name = plugin
                    entry.tensor.CopyFrom(tensor_util.make_tensor_proto(value))
            events.append(event_pb2.Event(wall_time=step, step=step, summary=summary))
        (run / phase).mkdir()
        with (run / phase / "events.out.tfevents.1").open("wb") as file:
            file.writelines(record(event.SerializeToString()) for event in events)


def record(data: bytes, size: int | None = None) -> bytes:
    """A record of an event file with right checksums, whatever its data and size are.

    Args:
      data: what the record holds.
      size: what it says about the length of that; None: the truth.
    """
    length = struct.pack("<Q", len(data) if size is None else size)
    return b"".join(part + _checksum(part) for part in (length, data))


def _checksum(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
