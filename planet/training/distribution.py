"""Where updates are computed: by one replica of the model, or by several.

Each replica computes losses and gradients of its share of a batch. What is a mean over
the batch becomes one over the replicas (`planet.tools.replicas`), so that all of them
make the same update, that of the whole batch.

Of several processes, the first one, the chief, does everything else too. It tells the
others what to compute, and sends them all that it takes: weights when a run starts or
continues; batch, learning rate and seed for every update. So they read no files, and
there is nothing in them that a checkpoint would have to keep.

    the chief says    run              weights     call, call, call ...    exit
    the others        build a model    take them   compute what it calls   end
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import io
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import ml_collections
import numpy as np
import tensorflow as tf

from planet.networks import precision
from planet.tools import cluster, devices, interruption, parameters, replicas

Define = Callable[[ml_collections.ConfigDict, Mapping[str, Sequence[int]]], Sequence]
# Of messages from the chief, so far from those that strategies number upwards.
GROUP = 2**30
PROBE = 1.0  # Seconds between looks at whether the others are there.
# What TensorFlow raises where another process has ended.
_GONE = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)
PATIENCE = 30  # Seconds for the others to hear that they are to end.


def find(config: ml_collections.ConfigDict) -> Distribution:
    """The replicas that settings ask for; always the same ones in a process.

    It has to come before the first operation where there are several processes, and
    waits until all of them are there.

    Args:
      config: what `planet.scripts.configs.load` returns.

    Raises:
      LostError: another process did not come.
    """
    devices.prepare(config.tf32)
    return _make(config.distribute)


def check(config: ml_collections.ConfigDict) -> None:
    """Refuses a batch that cannot be divided; creates nothing, and waits for nobody.

    Processes are taken to have as many accelerators as this one.

    Args:
      config: what `planet.scripts.configs.load` returns.

    Raises:
      ParameterError: the replicas do not divide it, or there is no cluster.
    """
    devices.prepare(config.tf32)
    if config.distribute == "multi_worker":
        here = max(1, len(tf.config.list_physical_devices("GPU")))
        amount = here * len(cluster.read().addresses)
    else:
        amount = len(_local_devices())
    size = config.batch_shape[0]
    if size % amount:
        raise parameters.ParameterError(
            f"batch_shape must begin with a multiple of {amount}, the number of "
            f"replicas, not with {size}"
        )


@functools.cache
def _make(kind: str) -> Distribution:
    if kind == "multi_worker":
        found = cluster.read()
        if len(found.addresses) > 1:
            return Processes(found)
    if kind != "none":
        names = [device.name for device in _local_devices()]
        if len(names) > 1:
            return Distribution(tf.distribute.MirroredStrategy(names))
    return Distribution()


def _local_devices() -> list:
    """The accelerators of this machine, or what TensorFlow makes of its processors."""
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    return tf.config.list_logical_devices(kind)


class Distribution:
    """The replicas of this process.

    Args:
      strategy: of TensorFlow's; without one, there is a single replica.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None):
        self._strategy = strategy

    @property
    def amount(self) -> int:
        """How many replicas there are."""
        return self._strategy.num_replicas_in_sync if self._strategy else 1

    @contextlib.contextmanager
    def joined(self) -> Iterator[None]:
        """Context of all runs, in which the other processes are there."""
        yield

    def begin(
        self, config: ml_collections.ConfigDict, data_spec: Mapping[str, Sequence[int]]
    ) -> None:
        """Has the others build the model of a run.

        Args:
          config: its settings.
          data_spec: as for `define_model`.
        """

    def scope(self) -> contextlib.AbstractContextManager:
        """Context in which the variables of all replicas are created."""
        return self._strategy.scope() if self._strategy else contextlib.nullcontext()

    def share(self, variables: Sequence) -> None:
        """Gives the variables of all replicas the values that they have here."""

    def follow(self, define: Define) -> int:
        """Does what the chief says until it exits; alone, there is no chief.

        Args:
          define: builds the model of a run from settings and `data_spec`, with its
            functions, in the chief's order; returns the variables to be shared.

        Returns:
          Exit code of the process.
        """
        return 0

    def function(self, compute: Callable, jit: str) -> Callable:
        """A compiled function that every replica computes.

        Args:
          compute: what to compute, from a batch, entries [B, ...], maybe other tensors,
            and a seed; replicas get their share of the batch and seeds of their own. It
            returns the same for all of them.
          jit: as for `devices.function`.
        """
        strategy = self._strategy
        if not strategy:
            return devices.function(compute, jit)

        def on_replica(batch, *others):
            *others, seed = others
            return compute(replicas.share(batch), *others, replicas.own(seed))

        def run(*arguments):
            results = strategy.run(on_replica, arguments)
            return tf.nest.map_structure(
                lambda result: strategy.experimental_local_results(result)[0], results
            )

        # Replicas wait for one another; XLA can compile only what they do between that.
        return devices.function(run, "never")


class Processes(Distribution):
    """The replicas of several processes, all of which run the same program.

    Args:
      found: the processes.
    """

    def __init__(self, found: cluster.Cluster):
        self._cluster = found
        self._functions: list[Callable] = []
        self._next_look = time.monotonic() + PROBE
        if found.is_chief:
            amount = len(found.addresses)
            print(f"Waiting until all {amount} processes are there.", flush=True)
        # In a thread, so that the wait can be interrupted.
        create = tf.distribute.MultiWorkerMirroredStrategy
        with self._lost(), concurrent.futures.ThreadPoolExecutor(1) as executor:
            super().__init__(executor.submit(create).result())
        interruption.reclaim()  # TensorFlow takes SIGTERM for a machine's preemption.

    @contextlib.contextmanager
    def joined(self) -> Iterator[None]:
        """Context of all runs; at its end, the others end too."""
        code = 1
        try:
            with interruption.required(self._look):
                yield
            code = 0
        finally:
            with contextlib.suppress(cluster.LostError):
                self._tell({"kind": "exit", "code": code}, patience=PATIENCE)

    def begin(
        self, config: ml_collections.ConfigDict, data_spec: Mapping[str, Sequence[int]]
    ) -> None:
        """Has the others build the model of a run."""
        self._functions.clear()
        products = precision.resolve(config.precision)
        settings = {**config.to_dict(), "precision": products}
        self._tell({"kind": "run", "config": settings, "spec": dict(data_spec)})

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Context in which all processes create the variables of their replicas."""
        with self._lost(), super().scope():
            yield

    def share(self, variables: Sequence) -> None:
        """Gives the variables of all replicas the values that they have here."""
        self._tell({"kind": "weights"}, [variable.numpy() for variable in variables])

    def function(self, compute: Callable, jit: str) -> Callable:
        """As of `Distribution`; the chief's has the others compute it as well."""
        index, compiled = len(self._functions), super().function(compute, jit)
        self._functions.append(compiled)

        def call(batch, *others):
            arrays = [np.asarray(entry) for entry in (*batch.values(), *others)]
            self._tell({"kind": "call", "function": index, "batch": [*batch]}, arrays)
            with self._lost():
                return compiled(batch, *others)

        return call

    def follow(self, define: Define) -> int:
        """Does what the chief says until it exits."""
        variables: Sequence = ()
        while True:
            message, arrays = self._hear()
            match message["kind"]:
                case "run":
                    self._functions.clear()
                    config = ml_collections.ConfigDict(
                        message["config"], convert_dict=False
                    )
                    spec = {key: tuple(x) for key, x in message["spec"].items()}
                    variables = define(config, spec)
                case "weights":
                    for variable, value in zip(variables, arrays, strict=True):
                        variable.assign(value)
                case "call":
                    names = message["batch"]
                    batch = dict(zip(names, arrays, strict=False))
                    with self._lost():
                        self._functions[message["function"]](
                            batch, *arrays[len(names) :]
                        )
                case "exit":
                    return message["code"]

    def _tell(
        self,
        message: Mapping[str, Any],
        arrays: Sequence[np.ndarray] = (),
        patience: float = 0,
    ) -> None:
        """Sends the others a message, JSON and arrays, within seconds if not 0."""
        stream = io.BytesIO()
        stream.write(json.dumps({**message, "arrays": len(arrays)}).encode() + b"\n")
        for array in arrays:
            np.save(stream, array, allow_pickle=False)
        stream.write(bytes(-stream.tell() % 4))
        words = np.frombuffer(stream.getvalue(), np.int32)
        with self._lost(), tf.device("CPU:0"):
            for part in (np.array([len(words)], np.int32), words):
                _send(tf.constant(part), len(self._cluster.addresses), patience)

    def _hear(self) -> tuple[dict[str, Any], list[tf.Tensor]]:
        """The chief's next message."""
        with self._lost(), tf.device("CPU:0"):
            length = tf.constant([1])
            for _ in range(2):
                length = words = _receive(length, len(self._cluster.addresses))
            stream = io.BytesIO(words.numpy().tobytes())
            message = json.loads(stream.readline())
            arrays = [
                tf.constant(np.load(stream, allow_pickle=False))
                for _ in range(message["arrays"])
            ]
        return message, arrays

    def _look(self) -> None:
        """Raises LostError if it has turned out that another process is gone.

        It does so once: what has been learned can still be saved.
        """
        if time.monotonic() < self._next_look:
            return
        self._next_look = math.inf
        with self._lost(), tf.device("CPU:0"):
            _probe(self._cluster.rank)
        self._next_look = time.monotonic() + PROBE

    @contextlib.contextmanager
    def _lost(self) -> Iterator[None]:
        """Turns the error that follows from the end of another process into its own."""
        try:
            yield
        except _GONE as error:
            raise self._cluster.lost(error.message) from error


# Collective operations are told apart by their keys, so each size has its own.
@tf.function(reduce_retracing=True)
def _send(words: tf.Tensor, processes: int, patience: float) -> None:
    """Sends int32 [N] to all other processes, within seconds if not 0."""
    tf.raw_ops.CollectiveBcastSendV2(
        input=words,
        group_size=processes,
        group_key=GROUP,
        instance_key=tf.size(words),
        timeout_seconds=patience,
    )


@tf.function
def _receive(size: tf.Tensor, processes: int) -> tf.Tensor:
    """Receives int32 [N] from the chief; the size is [N]."""
    return tf.raw_ops.CollectiveBcastRecvV2(
        T=tf.int32,
        group_size=processes,
        group_key=GROUP,
        instance_key=size[0],
        shape=size,
    )


@tf.function
def _probe(rank: int) -> None:
    """Fails if an operation of all processes has failed."""
    tf.raw_ops.CollectiveReduceV2(
        input=tf.zeros([1]),
        group_size=1,
        group_key=GROUP + 1 + rank,
        instance_key=1,
        merge_op="Add",
        final_op="Id",
        ordering_token=[],
    )
