"""Batches of sequences from folders of episodes that grow while they are read."""

from __future__ import annotations

import concurrent.futures
import itertools
import json
import os
import pathlib
import random
import sys
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import psutil
import tensorflow as tf

from planet.tools import episode_files

Episode = dict[str, np.ndarray]
SETTLED = 10**9  # Nanoseconds after which a folder's time of change is to be trusted.


class Folder:
    """The newest readable episodes of a folder, cached in memory.

    A file that can't be read is reported once and skipped from then on.

    Args:
      path: folder of npz files.
      max_episodes: how many of the newest episodes to use.
      max_cache: memory for episodes once they are read, in GB; the oldest leave it
        first. None: a quarter of what is free, so that two phases leave half of it.
      discount: if given, episodes get an entry `return`, see `returns_to_go`.
      data_spec: if given, an episode has to have these entries, of that shape in each
        step.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        max_episodes: int,
        max_cache: float | None = None,
        discount: float | None = None,
        data_spec: Mapping[str, tuple[int, ...]] | None = None,
    ):
        self.path = pathlib.Path(path)
        self._max_episodes = max_episodes
        self._discount = discount
        self._spec = data_spec
        if max_cache is None:
            max_cache = psutil.virtual_memory().available / 4e9
        self._free = max_cache * 1e9  # Bytes left for the cache.
        self._cache: dict[pathlib.Path, Episode] = {}
        self._torn: set[pathlib.Path] = set()
        self._names: list[pathlib.Path] = []
        self._listed = 0  # When the folder had changed last, as it was listed.

    def names(self) -> list[pathlib.Path]:
        """Files of the episodes, oldest first."""
        changed = self.path.stat().st_mtime_ns if self.path.is_dir() else 0
        if changed != self._listed:
            # A file that comes in the same tick of the clock would go unnoticed.
            settled = time.time_ns() - changed > SETTLED
            self._listed = changed if settled else 0
            newest = self._max_episodes + len(self._torn)
            self._names = episode_files.scan(self.path, newest)
        names = list(filter(self.is_readable, self._names))
        names = names[-self._max_episodes :]
        for name in self._cache.keys() - set(names):
            self._forget(name)
        return names

    def read(self, name: pathlib.Path) -> Episode | None:
        """Arrays [T, ...] of one episode; None where the file is torn."""
        if name in self._cache:
            return self._cache[name]
        try:
            episode = episode_files.read(name, self._spec)
        except episode_files.TornEpisodeError as error:
            if name not in self._torn:
                print(f"Skipping an episode: {error}", file=sys.stderr, flush=True)
            self._torn.add(name)
            self._listed = 0  # An older one takes its place.
            return None
        if self._discount is not None:
            episode["return"] = returns_to_go(episode["reward"], self._discount)
        self._remember(name, episode)
        return episode

    def is_readable(self, name: pathlib.Path) -> bool:
        """Whether no attempt to read the episode has failed."""
        return name not in self._torn

    def _remember(self, name, episode):
        """Caches an episode, in place of older ones if there is no room."""
        self._cache[name] = episode
        self._free -= _size(episode)
        while self._free < 0 and self._cache:
            self._forget(min(self._cache))

    def _forget(self, name):
        self._free += _size(self._cache.pop(name))


def returns_to_go(rewards: np.ndarray, discount: float) -> np.ndarray:
    """Discounted sums of the rewards after each step, to the end of an episode.

    The reward of a step belongs to the action that led to it, so it is part of the
    return of the step before; the last step has none.

    Args:
      rewards: of a whole episode, [T].
      discount: weight of a step's reward relative to the step before.

    Returns:
      float32 [T]; entry t is rewards[t + 1] + discount * rewards[t + 2] + ...
    """
    returns = np.zeros(len(rewards))
    for step in reversed(range(len(rewards) - 1)):
        returns[step] = rewards[step + 1] + discount * returns[step + 1]
    return returns.astype(np.float32)


def _size(episode: Episode) -> int:
    """Bytes of memory that an episode takes."""
    return sum(array.nbytes for array in episode.values())


def scan(
    names: Sequence[pathlib.Path],
    known: Container[pathlib.Path],
    amount: int,
    rng: random.Random,
) -> list[pathlib.Path]:
    """A round of episodes: half of them new since the round before, half older.

    Args:
      names: files of all episodes.
      known: those that the round before had to choose from.
      amount: episodes in the round.
      rng: source of the random order.
    """
    recent = [name for name in names if name not in known]
    others = [name for name in names if name in known]
    groups = [group for group in (recent, others) if group]
    shares = [-(-amount // len(groups)), amount // len(groups)]
    return [
        name
        for group, share in zip(groups, shares, strict=False)
        for name in itertools.islice(_shuffled_forever(group, rng), share)
    ]


def uniform(
    names: Sequence[pathlib.Path],
    known: Container[pathlib.Path],
    amount: int,
    rng: random.Random,
) -> list[pathlib.Path]:
    """A round of episodes, all equally often; arguments as for `scan`."""
    del known
    return list(itertools.islice(_shuffled_forever(names, rng), amount))


ORDERS = {"scan": scan, "recent": scan, "cache": uniform, "reload": uniform}


class Position(NamedTuple):
    """How far an endless order of chunks has been followed.

    Attributes:
      batches: batches that were built.
      rounds: rounds that were begun.
      used: chunks of the last round that were used.
      known: name of the newest episode that the round before had to choose from.
      newest: name of the newest episode of the last round.
    """

    batches: int = 0
    rounds: int = 0
    used: int = 0
    known: str = ""
    newest: str = ""


class Batches:
    """Endless batches of chunks from the episodes of a folder.

    Which chunks they are depends only on the seed and on the episodes that there were
    when the batch before was handed out. So a run that is interrupted between two
    batches sees the same ones as another that is not, given the `state` it was in. The
    next batch is built in a thread while the last one is used.

    Episodes shorter than a chunk are padded with zeros.

    Args:
      path: folder of npz files; None for `dummy`.
      loader: `scan` or `recent` (new episodes make up half of what is seen), `cache`
        (all equally often), `reload` (the same, read from disk each time) or `dummy`
        (random numbers, no folder needed).
      data_spec: shape of one step of each entry, as for `define_model`.
      batch_shape: sequences and steps of a batch, (B, T).
      num_chunks: chunks cut from each episode that the loader yields.
      scan_every: episodes between scans of the folder.
      max_episodes: how many of the newest episodes to use.
      max_cache: see `Folder`.
      seed: makes the order reproducible.
      discount: if given, there is another entry, `return`, see `returns_to_go`.

    Attributes:
      files: the episodes from which the sequences of the last batch were cut.
      signature: TensorSpecs of a batch, by name.
    """

    def __init__(
        self,
        path: str | os.PathLike | None,
        loader: str,
        data_spec: Mapping[str, tuple[int, ...]],
        batch_shape: tuple[int, int],
        num_chunks: int = 1,
        scan_every: int = 10,
        max_episodes: int = 2000,
        max_cache: float | None = None,
        seed: int | None = None,
        discount: float | None = None,
    ):
        self._loader = loader
        self._spec = dict(data_spec)
        self._size, self._steps = batch_shape
        self._num_chunks = num_chunks
        self._every = scan_every
        self._seed = random.randrange(2**32) if seed is None else seed
        cache = 0.0 if loader == "reload" else max_cache
        self._folder = Folder(
            path or os.curdir, max_episodes, cache, discount, data_spec
        )
        if discount is not None:
            self._spec["return"] = ()
        self._position = Position()
        self._round: list[tuple[pathlib.Path, float]] = []
        self._listed: str | None = None
        self._pending: concurrent.futures.Future | None = None
        self._builder = concurrent.futures.ThreadPoolExecutor(1)
        self.files: list[pathlib.Path] = []
        self.signature = {
            key: tf.TensorSpec([self._size, self._steps, *shape], _dtype(key))
            for key, shape in self._spec.items()
        }
        self.signature["length"] = tf.TensorSpec([self._size], tf.int32)

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> dict[str, tf.Tensor]:
        """The next batch.

        Returns:
          `image` uint8 [B, T, H, W, C], the other entries float32 [B, T, ...] and
          `length` int32 [B].

        Raises:
          FileNotFoundError: there is no readable episode.
        """
        pending = self._pending or self._prepare()
        batch, self.files, self._position = pending.result()
        self._listed = None
        self._prepare()
        return batch

    @property
    def state(self) -> str:
        """What is needed to go on with the batch after the last one, as JSON."""
        return json.dumps([*self._position, self._listed, self._seed])

    @state.setter
    def state(self, state: str) -> None:
        *position, self._listed, self._seed = json.loads(state)
        self._position = Position(*position)
        self._round = []
        self._pending = None

    def _prepare(self) -> concurrent.futures.Future:
        """Begins to build the next batch, of the episodes that there are now."""
        names = [] if self._loader == "dummy" else self._folder.names()
        if self._listed is not None:
            names = [name for name in names if name.name <= self._listed]
        self._listed = names[-1].name if names else ""
        self._pending = self._builder.submit(self._build, self._position, names)
        return self._pending

    def _build(self, position, names):
        """A batch, its files and the position after it."""
        if self._loader == "dummy":
            chunks, files = self._random_chunks(position.batches), []
        else:
            chunks, files, position = self._cut_chunks(position, names)
        batch = {
            key: tf.constant(np.stack([chunk[key] for chunk in chunks]), spec.dtype)
            for key, spec in self.signature.items()
        }
        return batch, files, position._replace(batches=position.batches + 1)

    def _cut_chunks(self, position, names):
        """Chunks for a batch, their files and the position after them."""
        if not self._round and position.rounds:
            self._round = self._draw(position, names)
        chunks, files = [], []
        while len(chunks) < self._size:
            if position.used >= len(self._round):
                position = position._replace(
                    rounds=position.rounds + 1,
                    used=0,
                    known=position.newest,
                    newest=names[-1].name if names else "",
                )
                self._round = self._draw(position, names)
            name, place = self._round[position.used]
            position = position._replace(used=position.used + 1)
            episode = self._folder.read(name)
            if episode is not None:
                last = max(0, len(episode["reward"]) - self._steps)
                offset = int(place * (last + 1))
                chunks.append(cut(episode, offset, self._steps, self._spec))
                files.append(name)
        return chunks, files, position

    def _draw(self, position, names):
        """Episodes of a round, and where in them to cut, in [0, 1), in random order."""
        names = [
            name
            for name in names
            if name.name <= position.newest and self._folder.is_readable(name)
        ]
        if not names:
            raise FileNotFoundError(f"no readable episodes in {self._folder.path}")
        known = {name for name in names if name.name <= position.known}
        rng = random.Random(f"{self._seed} {position.rounds}")
        chosen = ORDERS[self._loader](names, known, self._every, rng)
        places = [
            (name, rng.random()) for name in chosen for _ in range(self._num_chunks)
        ]
        rng.shuffle(places)
        return places

    def _random_chunks(self, index):
        """Chunks of random numbers for a batch."""
        rng = np.random.default_rng([self._seed, index])
        shapes = {key: (self._steps, *shape) for key, shape in self._spec.items()}
        return [
            {
                key: rng.integers(0, 256, shape, np.uint8)
                if key == "image"
                else rng.uniform(-1, 1, shape)
                for key, shape in shapes.items()
            }
            | {"length": self._steps}
            for _ in range(self._size)
        ]


def make_dataset(*args, **kwargs) -> tf.data.Dataset:
    """`Batches` as a dataset; same arguments."""
    batches = Batches(*args, **kwargs)
    dataset = tf.data.Dataset.from_generator(
        lambda: batches, output_signature=batches.signature
    )
    options = tf.data.Options()
    options.autotune.enabled = False  # Its thread takes half a minute to end.
    return dataset.with_options(options)


def cut(
    episode: Episode, offset: int, steps: int, data_spec: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """One chunk of an episode, padded with zeros after its end.

    Args:
      episode: arrays [T, ...].
      offset: first step of the chunk.
      steps: length of the chunk.
      data_spec: entries to take, with the shape of one step.

    Returns:
      Arrays [steps, ...] and `length`, the number of steps before the padding.
    """
    chunk: dict[str, np.ndarray] = {}
    for key, shape in data_spec.items():
        part = episode[key][offset : offset + steps]
        chunk[key] = np.zeros((steps, *shape), part.dtype)
        chunk[key][: len(part)] = part
    chunk["length"] = np.array(len(part), np.int32)
    return chunk


def _dtype(key: str) -> tf.DType:
    """Type of an entry of a batch."""
    return tf.uint8 if key == "image" else tf.float32


def _shuffled_forever(
    elements: Sequence[pathlib.Path], rng: random.Random
) -> Iterator[pathlib.Path]:
    """Yields one random permutation of the elements after the other."""
    while True:
        yield from rng.sample(elements, len(elements))
