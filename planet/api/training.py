"""Training under the control of a program."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import ml_collections

from planet.scripts import train as script
from planet.training import running, trainer


def train(
    config: str = "default",
    params: Mapping[str, Any] | None = None,
    logdir: str | os.PathLike | None = None,
) -> Iterator[trainer.Phase]:
    """Trains an agent as `python -m planet.scripts.train` does, phase by phase.

    Whoever stops asking leaves a checkpoint behind; the same call goes on from it.

    Args:
      config: name of a set of settings, or path of a run whose settings to take.
      params: settings that override those of the config.
      logdir: the run is in its folder `00001`; None: in a temporary folder, which is
        removed at the end.

    Returns:
      The result of each phase, as it ends; nothing if the run is finished already, or
      in a process that only helps another one: `distribute: multi_worker`.

    Raises:
      ValueError: the settings cannot be used; nothing has been created.
      Exception: what went wrong in training; the run's file `FAIL` has the traceback.
      LostError: another process that takes part has ended; the same call goes on.
    """
    folder = None if logdir is None else pathlib.Path(logdir).expanduser()
    settings, given = script.prepare(config, dict(params or {}), folder)
    return _phases(settings, script.make_experiment(settings, given, folder))


def _phases(
    settings: ml_collections.ConfigDict, runs: running.Experiment
) -> Iterator[trainer.Phase]:
    if not script.is_chief(settings):
        script.follow(settings)
        return
    with script.joined(settings), runs as experiment:
        for run in experiment:
            yield from run
            if run.error:
                raise run.error
