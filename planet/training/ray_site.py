"""Collectors as actors of Ray, on this machine or on those of a cluster.

Ray is an extra, and is imported only inside functions.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import ml_collections
import numpy as np
import tensorflow as tf

from planet.control.batch_env import EnvError
from planet.tools import ray_cluster, wording
from planet.training import collectors
from planet.training.simulations import Simulation

PULSE = 1  # Seconds between an actor's signs of life.
MOST_THREADS = 4  # Of a collector; deciding gains little from more.
MEMORY = 512 * 2**20  # Bytes for weights and episodes on their way, on one machine.


class RaySite(collectors.Site):
    """Actors of Ray.

    A local Ray, and all that belongs to it, ends with this process, however that ends.

    Args:
      config: what `planet.scripts.configs.load` returns.
      tasks: what `planet.scripts.tasks.load` returns.
      data_spec: as for `define_model.define_model`.
    """

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        tasks: Sequence,
        data_spec: Mapping[str, tuple[int, ...]],
    ):
        self._stack = contextlib.ExitStack()
        try:
            self._threads, gpus = self._connect(config)
        except BaseException:
            self._stack.close()
            raise
        import ray

        actor = ray.remote(num_cpus=self._threads, num_gpus=gpus, max_restarts=0)(Actor)
        values = {key: config[key] for key in config}
        arguments = ray.put((values, list(tasks), dict(data_spec)))
        self._make = lambda: actor.remote(arguments, self._threads, self._folder)
        self._collectors: list[RayCollector] = []

    def _connect(self, config: ml_collections.ConfigDict) -> tuple[int, float]:
        """Starts Ray or joins a cluster; threads and GPUs for each collector."""
        amount = config.collectors
        threads = share([len(os.sched_getaffinity(0))], amount + 1)
        cluster = ray_cluster.connected(
            config.ray_address,
            num_cpus=threads * amount,
            object_store_memory=MEMORY,
            include_dashboard=False,
        )
        place, self._folder, _ = self._stack.enter_context(cluster)
        import ray

        if self._folder is None:
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            threads = share((int(node.get("CPU", 0)) for node in nodes), amount + 1)
        gpus = ray.cluster_resources().get("GPU", 0)
        each = wording.count(threads, "thread")
        self.description = f"{place}, with {each} each"
        # As many share a GPU as have to.
        return threads, 1 / -(-amount // gpus) if gpus else 0

    def start(self) -> RayCollector:
        """Starts an actor without waiting for it to be ready."""
        collector = RayCollector(self._make())
        self._collectors.append(collector)
        return collector

    def share(self, weights: collectors.Weights) -> Any:
        """Puts weights into the object store, which hands them to each machine once."""
        import ray

        return ray.put(dict(weights))

    def wait(self, seconds: float) -> None:
        """Waits until an actor has something new, but not longer than that."""
        import ray

        self._collectors = [x for x in self._collectors if not x.closed]
        streams = [x.stream for x in self._collectors if x.stream is not None]
        if streams:
            ray.wait(streams, timeout=seconds)
        else:
            time.sleep(seconds)

    def close(self) -> None:
        """Ends all actors, and Ray if it was started or joined here."""
        for collector in self._collectors:
            collector.close()
        self._stack.close()


class RayCollector(collectors.Collector):
    """An actor of Ray that plays.

    Attributes:
      stream: what comes of the episode that it plays, if any.
      closed: whether it was ended.
    """

    def __init__(self, actor: Any):
        self._actor = actor
        self.stream: Any = None
        self.closed = False

    def play(self, place: collectors.Place, weights: Any) -> None:
        """Begins to play an episode, as soon as the actor has started."""
        method = self._actor.play.options(num_returns="streaming")
        self.stream = method.remote(place, weights)

    def poll(self) -> Simulation | int | None:
        """The episode if it is over; or decisions so far; None if nothing is new."""
        import ray

        news = None
        while self.stream is not None:
            ready, _ = ray.wait([self.stream], timeout=0)
            if not ready:
                break
            try:
                news = ray.get(next(self.stream))
            except ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, EnvError):
                    raise error.cause from None
                raise
            except ray.exceptions.RayError as error:
                raise collectors.CollectorError(str(error)) from None
            if isinstance(news, Simulation):
                self.stream = None
                # Otherwise it would keep the memory that all machines share.
                episode = {key: np.array(x) for key, x in news.episode.items()}
                return news._replace(episode=episode)
        return news

    def close(self) -> None:
        """Kills the actor."""
        import ray

        self.closed, self.stream = True, None
        with contextlib.suppress(ray.exceptions.RayError):
            ray.kill(self._actor)


class Actor:
    """What runs in a process of Ray's: a player.

    Args:
      arguments: those of `collectors.Player`, the settings as a mapping.
      threads: for TensorFlow.
      folder: for what libraries write, such as the code that TensorFlow generates;
        None: the usual one.
    """

    def __init__(
        self,
        arguments: tuple[Mapping[str, Any], Sequence, Any],
        threads: int,
        folder: str | None,
    ):
        tempfile.tempdir = folder
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        values, tasks, data_spec = arguments
        config = ml_collections.ConfigDict(values, convert_dict=False).lock()
        self._player = collectors.Player(config, tasks, data_spec)

    def play(
        self, place: collectors.Place, weights: collectors.Weights
    ) -> Iterator[int | Simulation]:
        """Yields decisions so far, now and then, and at last the episode."""
        episode = self._player.play(place, weights)
        told = -float("inf")
        while True:
            try:
                decisions = next(episode)
            except StopIteration as end:
                yield end.value
                return
            if time.monotonic() - told >= PULSE:
                yield decisions
                told = time.monotonic()


def share(cores: Iterable[int], amount: int) -> int:
    """The most threads for each of some processes, which find room on some machines.

    Args:
      cores: those of each machine.
      amount: how many processes there are.
    """
    cores = list(cores)
    for threads in range(MOST_THREADS, 1, -1):
        if sum(count // threads for count in cores) >= amount:
            return threads
    return 1
