"""Episodes that a run starts from instead of random ones: `seed_dataset`.

They are those of another run, npz files in a folder, or a dataset of Minari, whose
observations pass through the wrappers of the task as those of its environment would.
"""

from __future__ import annotations

import functools
import pathlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete

from planet.control.envs.task import Task
from planet.control.errors import BrokenPromiseError, UnusableEnvError
from planet.tools import episode_files, minari_datasets, parameters, wording

MINARI = "minari:"
PHASES = episode_files.PHASES
Spec = Mapping[str, tuple[int, ...] | None]
Episode = dict[str, np.ndarray]
# Of the episodes that are in no phase yet, one in so many is for testing.
TEST_EVERY = 10


class SeedError(parameters.ParameterError):
    """Episodes that a run cannot start from; the message is one line."""


def check(source: str, tasks: Sequence[Task], seen: str) -> None:
    """Checks that a run can start from episodes, without writing anything.

    Args:
      source: The setting `seed_dataset`.
      tasks: What `planet.scripts.tasks.load` returns.
      seen: What the agent sees: `image` or `state`.

    Raises:
      SeedError: There are none, or their actions or observations have other sizes.
    """
    task = tasks[0]
    image = {"image": (*task.image_size, task.channels)}
    shown = image if seen == "image" else {"state": (task.state_size,)}
    spec = {
        **shown,
        **dict.fromkeys(task.state_components),
        "action": (task.action_size,),
        "reward": (),
    }
    try:
        if source.startswith(MINARI):
            dataset = _find(source, task)
            _require_two(dataset.size)
            _convert(next(dataset.episodes()), dataset, task, spec)
        else:
            for files in _files(source).values():
                for path in files:
                    episode_files.check(path, spec)
    except _ERRORS as error:
        raise _named(source, error) from None


def copy(
    source: str,
    task: Task,
    spec: Spec,
    folders: Mapping[str, pathlib.Path],
    most: int,
) -> None:
    """Copies episodes to the folders of a run, unless they are there already.

    Args:
      source: The setting `seed_dataset`.
      task: The task of the run, or one of several, which are alike.
      spec: Shapes of one step of everything the model learns from.
      folders: Where the episodes of each phase belong.
      most: How many of the newest episodes of each phase to copy.

    Raises:
      SeedError: Something of them does not fit.
    """
    returns: dict[str, list[float]] = {phase: [] for phase in PHASES}
    try:
        for phase, identity, episode in _read(source, task, spec, most):
            folder = folders[phase]
            name = episode_files.new_name(folder, ("seed_dataset", source, identity))
            if not (folder / name).exists():
                episode_files.write(folder, episode, name)
            returns[phase].append(float(episode["reward"].sum()))
    except _ERRORS as error:
        raise _named(source, error) from None
    for phase, sums in returns.items():
        copied = wording.count(len(sums), "episode")
        mean = f"mean return {np.mean(sums):.1f}"
        print(f"Copied {copied} of {source} to {phase}; {mean}.", flush=True)


def export(
    name: str, run: pathlib.Path, tasks: Sequence[Task], seen: str
) -> tuple[pathlib.Path, int]:
    """Writes all episodes of a run as a dataset of Minari, from which others can start.

    Its steps are the decisions of the agent, its observations and actions the agent's.
    An episode shorter than the longest possible is taken to have ended by itself.

    Args:
      name: Name of the dataset.
      run: Folder of the run.
      tasks: What `planet.scripts.tasks.load` returns.
      seen: What the agent sees: `image` or `state`.

    Returns:
      The folder of the dataset, and how many episodes it has.

    Raises:
      DatasetError: There are no episodes, or they cannot be written under that name.
    """
    task = tasks[0]
    paths = [x for p in PHASES for x in episode_files.scan(run / f"{p}_episodes")]
    names = (seen, *task.state_components)
    episodes = [path for path in paths if _is_whole(path, names)]
    if not episodes:
        raise minari_datasets.DatasetError(f"there are no episodes in {run}")
    first = episode_files.read(episodes[0])
    space = Dict({name: _space(first[name]) for name in names})
    size = first["action"].shape[1]
    actions = Discrete(size) if task.discrete else Box(-1, 1, (size,), np.float32)
    longest = max(task.max_length for task in tasks)

    def record(path):
        episode = episode_files.read(path)
        taken = episode["action"][1:]
        recording = minari_datasets.Recording(
            {name: episode[name] for name in names},
            taken.argmax(1) if task.discrete else taken,
            episode["reward"][1:],
        )
        return recording, len(taken) < longest

    folder = minari_datasets.write(
        name,
        space,
        actions,
        map(record, episodes),
        task.action_repeat,
        {
            "algorithm_name": "PlaNet",
            "description": "Decisions in " + ", ".join(task.name for task in tasks),
        },
    )
    return folder, len(episodes)


def _is_whole(path: pathlib.Path, names: Iterable[str]) -> bool:
    """Tells whether a file holds a complete episode; says so where it does not."""
    try:
        episode_files.check(path, dict.fromkeys((*names, "action", "reward")))
    except episode_files.TornEpisodeError as error:
        print(f"Skip an episode: {error}", file=sys.stderr, flush=True)
        return False
    return True


def _space(entry: np.ndarray) -> Box:
    """The space of one step of an entry [T, ...]."""
    shape = entry.shape[1:]
    if entry.dtype == np.uint8:
        return Box(0, 255, shape, np.uint8)
    return Box(-np.inf, np.inf, shape, np.float32)


_ERRORS = (
    BrokenPromiseError,
    UnusableEnvError,
    episode_files.TornEpisodeError,
    minari_datasets.DatasetError,
    OSError,
)


def _named(source: str, error: Exception) -> SeedError:
    reason = " ".join(str(error).split())
    return SeedError(f"seed_dataset {source!r} cannot be used: {reason}")


def _read(
    source: str, task: Task, spec: Spec, most: int
) -> Iterator[tuple[str, Any, Episode]]:
    """Episodes with their phase, and what tells them apart."""
    if source.startswith(MINARI):
        dataset = _find(source, task)
        phases = _split(range(dataset.size))
        chosen = {i: phase for phase in PHASES for i in phases[phase][-most:]}
        for index, recording in enumerate(dataset.episodes()):
            if index in chosen:
                episode = _convert(recording, dataset, task, spec)
                yield chosen[index], index, episode
    else:
        for phase, files in _files(source).items():
            for path in files[-most:]:
                episode = episode_files.read(path, spec)
                yield phase, path.name, {name: episode[name] for name in spec}


def _files(source: str) -> dict[str, list[pathlib.Path]]:
    """Files of another run's episodes, or of those in a folder, by phase."""
    folder = pathlib.Path(source).expanduser()
    if not folder.is_dir():
        raise minari_datasets.DatasetError(
            f"it is no folder, and {MINARI}NAME is a dataset of Minari"
        )
    found = {x: episode_files.scan(folder / f"{x}_episodes") for x in PHASES}
    if not any(found.values()):
        files = episode_files.scan(folder)
        _require_two(len(files))
        found = _split(files)
    for phase, files in found.items():
        if not files:
            raise minari_datasets.DatasetError(f"it has no episodes to {phase} with")
    return found


def _require_two(amount: int) -> None:
    if amount < len(PHASES):
        raise minari_datasets.DatasetError(
            "it takes two episodes at least, one to train and one to test with; there "
            f"{'is' if amount == 1 else 'are'} {amount}"
        )


def _split(episodes: Iterable) -> dict[str, list]:
    """Divides episodes among the phases."""
    phases: dict[str, list] = {phase: [] for phase in PHASES}
    for index, episode in enumerate(episodes):
        phases["train" if index % TEST_EVERY else "test"].append(episode)
    return phases


@functools.cache
def _dataset(name: str) -> minari_datasets.Dataset:
    return minari_datasets.find(name)


def _find(source: str, task: Task) -> minari_datasets.Dataset:
    """A dataset of Minari whose steps are as long as the decisions of the task."""
    dataset = _dataset(source.removeprefix(MINARI))
    if dataset.repeat != task.action_repeat:
        raise minari_datasets.DatasetError(
            f"its steps repeat each action {dataset.repeat} times, but the action "
            f"repeat of {task.name} is {task.action_repeat}"
        )
    return dataset


def _convert(
    recording: minari_datasets.Recording,
    dataset: minari_datasets.Dataset,
    task: Task,
    spec: Spec,
) -> Episode:
    """An episode of Minari as the environment of the task would have recorded it."""
    replay = _Replay(dataset.observation_space, recording.observations)
    env = task.show(replay, dataset.is_ours)
    steps = len(recording.rewards)
    shown = [env.reset()[0], *(env.step(None)[0] for _ in range(steps))]
    actions = _actions(dataset.action_space, recording.actions, task)
    rewards = np.asarray(recording.rewards, np.float32).reshape(steps)
    episode = {
        **{name: np.stack([x[name] for x in shown]) for name in shown[0]},
        "action": np.concatenate([np.zeros_like(actions[:1]), actions]),
        "reward": np.concatenate([np.zeros(1, np.float32), rewards]),
    }
    for name, shape in spec.items():
        if problem := episode_files.find_problem(name, shape, episode.get(name)):
            raise minari_datasets.DatasetError(f"in its episodes, {problem}")
    return {name: episode[name] for name in spec}


def _actions(space: gymnasium.Space, actions: np.ndarray, task: Task) -> np.ndarray:
    """Actions [N, ...] of a space as the agent's [N, A]: in [-1, 1], or one-hot."""
    if isinstance(space, Discrete) and task.discrete:
        return np.eye(int(space.n), dtype=np.float32)[actions - space.start]
    if not isinstance(space, Box) or space.dtype.kind != "f" or task.discrete:
        kind = "one of a number of choices" if task.discrete else "real numbers"
        raise minari_datasets.DatasetError(
            f"its actions are {space}, but those of {task.name} are {kind}"
        )
    bounded = space.bounded_below & space.bounded_above
    low, high = np.where(bounded, space.low, -1), np.where(bounded, space.high, 1)
    unit = (low == -1) & (high == 1)
    actions = np.where(unit, actions, (actions - low) / (high - low) * 2 - 1)
    return actions.reshape(len(actions), -1).astype(np.float32)


class _Replay(gymnasium.Env):
    """Shows recorded observations, whatever is done.

    Args:
      space: Their space.
      observations: Arrays [N + 1, ...], nested as the space is.
    """

    action_space = Discrete(1)

    def __init__(self, space: gymnasium.Space, observations: Any):
        self.observation_space = space
        self._observations = observations
        self._step = 0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        """Returns the first observation."""
        self._step = 0
        return _at(self._observations, 0), {}

    def step(self, action: Any) -> tuple:
        """Returns the next observation."""
        self._step += 1
        return _at(self._observations, self._step), 0.0, False, False, {}


def _at(observations: Any, step: int) -> Any:
    """The observation of one step."""
    if isinstance(observations, dict):
        return {name: _at(entry, step) for name, entry in observations.items()}
    if isinstance(observations, tuple):
        return tuple(_at(entry, step) for entry in observations)
    return observations[step]
