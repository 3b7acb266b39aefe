"""Batches of sequences from folders of episodes that grow while they are read."""

from __future__ import annotations

import functools
import itertools
import os
import pathlib
import random
import sys
import time
from collections.abc import Iterator, Mapping

import numpy as np
import psutil
import tensorflow as tf

from planet.tools import episode_files

Episode = dict[str, np.ndarray]
PREFETCHED_BATCHES = 4
SETTLED = 10**9  # Nanoseconds after which a folder's time of change is to be trusted.
SHUFFLED_BATCHES = 2  # The order is random already; more would delay new episodes.


class Folder:
    """The newest readable episodes of a folder, cached in memory.

    A file that can't be read is reported once and skipped from then on.

    Args:
      path: folder of npz files.
      max_episodes: how many of the newest episodes to use.
      max_cache: memory for episodes once they are read, in GB; the oldest leave it
        first. None: a quarter of what is free, so that two phases leave half of it.
      discount: if given, episodes get an entry `return`, see `returns_to_go`.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        max_episodes: int,
        max_cache: float | None = None,
        discount: float | None = None,
    ):
        self.path = pathlib.Path(path)
        self._max_episodes = max_episodes
        self._discount = discount
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
            self._names = episode_files.scan(self.path)
        names = [name for name in self._names if name not in self._torn]
        names = names[-self._max_episodes :]
        for name in self._cache.keys() - set(names):
            self._forget(name)
        return names

    def read(self, name: pathlib.Path) -> Episode | None:
        """Arrays [T, ...] of one episode; None where the file is torn."""
        if name in self._cache:
            return self._cache[name]
        try:
            episode = episode_files.read(name)
        except episode_files.TornEpisodeError as error:
            if name not in self._torn:
                print(f"Skipping an episode: {error}", file=sys.stderr, flush=True)
            self._torn.add(name)
            return None
        if self._discount is not None:
            episode["return"] = returns_to_go(episode["reward"], self._discount)
        self._remember(name, episode)
        return episode

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


def scan(folder: Folder, every: int, rng: random.Random) -> Iterator[pathlib.Path]:
    """Yields episodes: half of them new since the last scan of the folder, half older.

    Args:
      folder: where to find episodes.
      every: episodes to yield between scans of the folder.
      rng: source of the random order.
    """
    known = set()
    while True:
        names = folder.names()
        recent = [name for name in names if name not in known]
        others = [name for name in names if name in known]
        groups = [group for group in (recent, others) if group]
        if not groups:
            raise FileNotFoundError(f"no readable episodes in {folder.path}")
        for group in groups:
            yield from itertools.islice(
                _shuffled_forever(group, rng), -(-every // len(groups))
            )
        known.update(names)


def uniform(folder: Folder, every: int, rng: random.Random) -> Iterator[pathlib.Path]:
    """Yields all episodes equally often; arguments as for `scan`."""
    while True:
        names = folder.names()
        if not names:
            raise FileNotFoundError(f"no readable episodes in {folder.path}")
        yield from itertools.islice(_shuffled_forever(names, rng), every)


def make_dataset(
    path: str | os.PathLike,
    loader: str,
    data_spec: Mapping[str, tuple[int, ...]],
    batch_shape: tuple[int, int],
    num_chunks: int = 1,
    scan_every: int = 10,
    max_episodes: int = 2000,
    max_cache: float | None = None,
    seed: int | None = None,
    discount: float | None = None,
) -> tf.data.Dataset:
    """Endless batches of chunks from the episodes of a folder.

    Episodes shorter than a chunk are padded with zeros.

    Args:
      path: folder of npz files.
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

    Returns:
      Dataset of dicts: `image` uint8 [B, T, H, W, C], the other entries float32
      [B, T, ...] and `length` int32 [B].
    """
    batch_size, steps = batch_shape
    if discount is not None:
        data_spec = {**data_spec, "return": ()}
    rng = random.Random(seed)
    if loader == "dummy":
        chunks = functools.partial(_dummy_chunks, data_spec, steps, rng)
    else:
        cache = 0.0 if loader == "reload" else max_cache
        folder = Folder(path, max_episodes, cache, discount)
        order = scan if loader in ("scan", "recent") else uniform
        chunks = functools.partial(
            _chunks,
            folder,
            order(folder, scan_every, rng),
            data_spec,
            steps,
            num_chunks,
            SHUFFLED_BATCHES * batch_size,
            rng,
        )
    signature = {
        key: tf.TensorSpec([steps, *shape], tf.uint8 if key == "image" else tf.float32)
        for key, shape in data_spec.items()
    }
    signature["length"] = tf.TensorSpec([], tf.int32)
    dataset = tf.data.Dataset.from_generator(chunks, output_signature=signature)
    dataset = dataset.batch(batch_size, drop_remainder=True)
    return dataset.prefetch(PREFETCHED_BATCHES)


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


def _chunks(folder, order, data_spec, steps, num_chunks, buffer_size, rng):
    """Chunks in shuffled order.

    The buffer holds the name of an episode and the place of the chunk in it, in [0, 1),
    which take less memory than the chunk.
    """
    places = ((name, rng.random()) for name in order for _ in range(num_chunks))
    for name, place in _shuffle(places, buffer_size, rng):
        episode = folder.read(name)
        if episode is None:
            continue
        last = max(0, len(episode["reward"]) - steps)
        yield cut(episode, int(place * (last + 1)), steps, data_spec)


def _dummy_chunks(data_spec, steps, rng):
    """Random chunks."""
    rng = np.random.default_rng(rng.getrandbits(64))
    while True:
        chunk = {
            key: rng.integers(0, 256, (steps, *shape), np.uint8)
            if key == "image"
            else rng.uniform(-1, 1, (steps, *shape)).astype(np.float32)
            for key, shape in data_spec.items()
        }
        chunk["length"] = np.int32(steps)
        yield chunk


def _shuffle(elements: Iterator, size: int, rng: random.Random) -> Iterator:
    """Yields each element after a random wait, from a buffer of `size` elements."""
    buffer = list(itertools.islice(elements, size))
    for element in elements:
        index = rng.randrange(size)
        buffer[index], element = element, buffer[index]
        yield element


def _shuffled_forever(elements: list, rng: random.Random) -> Iterator:
    """Yields one random permutation of the elements after the other."""
    while True:
        yield from rng.sample(elements, len(elements))
