"""What must stay below a limit, by `python -m benchmarks.limits`.

Prints the milliseconds of a step of the agent that plans nothing; the frames a second
that an environment renders in its worker process, as a share of dm_control's own; the
seconds from the command to the first update; and the memory at the peak of updates.

TensorFlow is imported inside functions only: workers import this module too.
"""

import argparse
import functools
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np

from planet.control import batch_env
from planet.control.envs import opengl
from planet.scripts import configs, tasks

REPEATS = 5
FRAMES = 250
# Prints the memory of a process that makes updates.
UPDATES = "from benchmarks import limits; print(limits.update_here())"
TASK = "cheetah_run"


def main() -> None:
    """Measures everything and prints a table."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.limits",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args()
    print("| what | measured | limit |\n| --- | ---: | ---: |", flush=True)
    for name, measure, limit in ROWS:
        print(f"| {name} | {measure()} | {limit} |", flush=True)


def step_without_planning() -> str:
    """Milliseconds to encode an image, filter and act by the initial mean."""
    from benchmarks import speed
    from planet.training import define_model

    config = configs.load("default", {"cem_iterations": 0})
    model = define_model.define_model(config, speed.DATA_SPEC)
    seconds = speed.measure(speed.decide(config, model, speed.DATA_SPEC), 100)
    return f"{1000 * seconds:.1f} ms"


def frames_per_second() -> str:
    """Steps a second through a worker, as a share of those of dm_control alone.

    Each step repeats its action and renders an image, which the worker also scales and
    sends. They take turns, so that a busy machine slows both.
    """
    (task,) = tasks.load(configs.load("default", {"tasks": [TASK]}))
    raw, through = [], []
    with batch_env.BatchEnv([batch_env.make(task.env_ctor)]) as envs:
        alone = batch_env.make(functools.partial(RawFrames, task.action_repeat))
        alone.reset()
        envs.reset(seed=[0])
        action = np.zeros([1, task.action_size], np.float32)
        for _ in range(REPEATS):
            start = time.perf_counter()
            alone.step(FRAMES)
            raw.append(FRAMES / (time.perf_counter() - start))
            start = time.perf_counter()
            for _ in range(FRAMES):
                done = envs.step(action)[2]
                if done.all():
                    envs.reset(seed=[0])
            through.append(FRAMES / (time.perf_counter() - start))
        alone.close()
    here, there = np.median(through), np.median(raw)
    return f"{here:.0f}/s of {there:.0f}/s, {here / there:.0%}"


class RawFrames:
    """dm_control itself in a process: a step simulates and renders many times over.

    Args:
      repeat: control steps for each frame.
    """

    observation_space = action_space = None

    def __init__(self, repeat: int):
        opengl.select_backend()
        from dm_control import suite

        self._env = suite.load("cheetah", "run")
        self._repeat = repeat

    def reset(self, seed=None, options=None):
        """Starts an episode and renders once."""
        self._env.reset()
        self._env.physics.render(height=64, width=64, camera_id=0)

    def step(self, frames: int):
        """Simulates and renders so many frames."""
        action = np.zeros(self._env.action_spec().shape)
        for _ in range(frames):
            for _ in range(self._repeat):
                ended = self._env.step(action).last()
            self._env.physics.render(height=64, width=64, camera_id=0)
            if ended:
                self._env.reset()

    def close(self):
        """Frees the renderer."""
        self._env.close()


def seconds_to_first_update(config: str) -> str:
    """Seconds from the command for training until an update is made."""
    settings = {"tasks": ["cartpole_balance"], "train_steps": 1}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "planet.scripts.train", "--logdir", folder]
        command += ["--config", config, "--params", json.dumps(settings)]
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout
        for line in process.stdout:
            if line.startswith("step/"):  # Of a phase of one update.
                break
        seconds = time.perf_counter() - start
        process.kill()
        process.wait()
        process.stdout.close()
    return f"{seconds:.0f} s"


def memory_of_updates() -> str:
    """Peak memory of a process that makes updates of 50 x 50, with the images."""
    command = [sys.executable, "-c", UPDATES]
    result = subprocess.run(
        command,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=pathlib.Path(__file__).parent.parent,
    )
    return f"{float(result.stdout) / 2**20:.1f} GB"


def update_here() -> int:
    """Makes updates in this process; returns its peak of resident memory, in KB."""
    from benchmarks import speed

    run, _ = speed.update("icml", "float32")
    speed.measure(run, 2)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


ROWS: list[tuple[str, Callable[[], str], str]] = [
    ("step of the agent without planning", step_without_planning, "5 ms"),
    ("frames of cheetah_run through a worker", frames_per_second, "95%"),
    (
        "command to first update, debug",
        functools.partial(seconds_to_first_update, "debug"),
        "25 s",
    ),
    (
        "command to first update, newhp",
        functools.partial(seconds_to_first_update, "newhp"),
        "25 s",
    ),
    ("peak memory of updates 50 x 50, icml", memory_of_updates, "4 GB"),
]

if __name__ == "__main__":
    main()
