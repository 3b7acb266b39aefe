"""Faults of environments in worker processes, at random moments of an episode."""

from __future__ import annotations

import functools
import multiprocessing
import os
import pathlib
import random
import signal
import threading
import time

import gymnasium

from benchmarks.soak import outcome
from planet.control import batch_env
from planet.control.envs import dummy_env
from planet.control.random_episodes import random_episodes
from planet.control.wrappers import recording
from planet.tools import episode_files

SIGNALS = {
    "killed": signal.SIGKILL,
    "stopped": signal.SIGSTOP,
    "crashed": signal.SIGSEGV,
}
KINDS = (*SIGNALS, "raised", "raises always")
DECISIONS = 50
TIMEOUT = 3  # Seconds.


class Slow(gymnasium.Wrapper):
    """An environment with short episodes that last half a second.

    Args:
      env: the environment.
      fault: file whose existence makes a step raise an error; the step removes it.
      always: whether the step leaves it there.
    """

    def __init__(self, env: gymnasium.Env, fault: pathlib.Path, always: bool):
        super().__init__(env)
        self._fault, self._always = fault, always

    def step(self, action):
        """Applies an action, or raises an error."""
        time.sleep(0.5 / DECISIONS)
        if self._fault.exists():
            if not self._always:
                self._fault.unlink()
            raise ZeroDivisionError("a fault")
        return self.env.step(action)


def run(
    tries: int, folder: pathlib.Path, progress: outcome.Progress
) -> outcome.Outcome:
    """Records two episodes at a time while one environment fails."""
    random.seed(0)
    losses = []
    for index in range(tries):
        kind = KINDS[index % len(KINDS)]
        problems = _try(folder / str(index), kind, index)
        losses += [f"{index}: {kind}: {problem}" for problem in problems]
        progress()
    return outcome.count(tries, losses)


def _try(folder, kind, seed):
    """What goes wrong as an environment fails in one way."""
    folder.mkdir()
    ctor = functools.partial(_make, folder / "fault", kind == "raises always")
    found = []
    envs = [batch_env.make(ctor, timeout=TIMEOUT) for _ in range(2)]
    with batch_env.BatchEnv(envs) as batch:
        batch.reset()  # Waits for the processes to start.
        timer = threading.Timer(random.uniform(0, 0.4), _fail, (folder, kind))
        timer.start()
        try:
            random_episodes(batch, 2, folder / "episodes", seed, retry_as="mine")
        except batch_env.EnvError as error:
            expected = "task 'mine' failed 4 times in a row; the last time: "
            if kind != "raises always" or not str(error).startswith(expected):
                found.append(str(error).splitlines()[0])
        else:
            if kind == "raises always":
                found.append("no error")
            found += _incomplete(folder / "episodes")
        timer.join()
    if left := multiprocessing.active_children():
        found.append(f"processes {[process.pid for process in left]} are left")
    return found


def _make(fault, always):
    """The environment, recorded."""
    env = gymnasium.wrappers.TimeLimit(dummy_env.DummyEnv(), DECISIONS)
    return recording.Record(Slow(env, fault, always))


def _fail(folder, kind):
    """Makes an environment fail."""
    if kind in SIGNALS:
        os.kill(random.choice(multiprocessing.active_children()).pid, SIGNALS[kind])
    else:
        (folder / "fault").touch()


def _incomplete(folder):
    """What is wrong with the two episodes."""
    paths = episode_files.scan(folder)
    lengths = [len(episode_files.read(path)["reward"]) for path in paths]
    return [] if lengths == [DECISIONS + 1] * 2 else [f"episodes of {lengths} steps"]
