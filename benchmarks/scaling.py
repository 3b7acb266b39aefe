"""How updates scale with replicas, by `python -m benchmarks.scaling`.

Each replica is a process of one thread on a core of its own; they share each batch and
reduce gradients over loopback, as with `distribute: multi_worker`. Prints seconds per
update, speed and efficiency against a single replica, the bytes of the gradients and
losses that are reduced, and those that really crossed loopback, batches included.

From the last row follows a projection, which is no measurement: what is computed is
divided by the replicas but for the part that a single and several replicas leave over;
a ring sends 2 (N - 1) / N of the bytes for each of N replicas; a batch is sent on in
log2 N rounds. It takes accelerators that are as fast and as far apart as these cores.

More replicas than cores wait for one another; their seconds mean nothing.
"""

import json
import math
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import psutil

from planet.scripts import configs, runs, train
from planet.tools import (
    atomic_files,
    cli,
    cluster,
    machine,
    parameters,
    tables,
    tensorflow_start,
)

PROG = "benchmarks.scaling"
REPEATS = 10
PROJECTED = 8
ROLE = "PLANET_SCALING"  # Settings of a replica, in its environment.
ONE_THREAD = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")


@cli.main(PROG)
def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints a table and a projection, and writes them as JSON."""
    parser = _make_parser()
    args = parser.parse_args(argv)
    try:
        params = runs.read_params(args.params)
        config = configs.load(args.config, params)
    except parameters.ParameterError as error:
        parser.error(str(error))
    if config.observations != "image":
        parser.error(f"observations must be image, not {config.observations}")
    batch = config.batch_shape[0]
    for amount in args.replicas:
        if batch % amount:
            parser.error(f"--replicas must divide the {batch} sequences, not {amount}")
    print(f"{machine.processor()}; {args.config}, batches of {batch} sequences\n")
    cases = [
        measure(amount, args.config, params, args.repeats)
        for amount in sorted({1, *args.replicas})
    ]
    print(table(cases))
    content = {
        "machine": machine.processor(),
        "config": args.config,
        "params": params,
        "cases": cases,
    }
    if len(cases) > 1:
        content["projection"] = project(cases, PROJECTED)
        print("\n" + describe(content["projection"]))
    if args.output:
        atomic_files.write_json(args.output, content)
        print(f"\nWrote {args.output}")
    return 0


def free_addresses(amount: int) -> list[str]:
    """Some HOST:PORT of this machine at which nobody listens."""
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(amount)]
    addresses = [f"127.0.0.1:{server.getsockname()[1]}" for server in servers]
    for server in servers:
        server.close()
    return addresses


def measure(
    amount: int, config_name: str, params: dict[str, Any], repeats: int
) -> dict[str, Any]:
    """Times updates by some replicas.

    Args:
      amount: replicas.
      config_name: name of the config.
      params: settings that differ from it.
      repeats: timed updates; their median counts.

    Returns:
      `replicas`; seconds `update`, and of that `reduce` and `send`, for gradients and
      for a batch; bytes `reduced`, and `sent` over loopback, by all, for an update.
    """
    cores = sorted(os.sched_getaffinity(0))
    addresses = free_addresses(amount)
    distribute = "multi_worker" if amount > 1 else "none"
    params = {**params, "distribute": distribute}
    role = {"config": config_name, "params": params, "repeats": repeats}
    processes = []
    try:
        for rank in range(amount):
            task = {"type": "worker", "index": rank}
            variables = {
                **dict.fromkeys(ONE_THREAD, "1"),
                ROLE: json.dumps({**role, "core": cores[rank % len(cores)]}),
                cluster.VARIABLE: json.dumps(
                    {"cluster": {"worker": addresses}, "task": task}
                ),
            }
            process = subprocess.Popen(
                [sys.executable, "-m", PROG],
                env={**os.environ, **variables},
                stdout=subprocess.PIPE,
                text=True,
            )
            processes.append(process)
        output, *_ = [process.communicate()[0] for process in processes]
        if any(process.returncode for process in processes):
            raise ChildProcessError("a replica has failed")
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return {"replicas": amount, **json.loads(output.splitlines()[-1])}


def table(cases: Sequence[dict[str, Any]]) -> str:
    """The cases, the first of which has one replica, as Markdown."""
    first = cases[0]["update"]
    header = ("replicas", "seconds per update", "times as fast", "efficiency")
    header += ("seconds to reduce", "to send the batch", "MB reduced", "MB sent by all")
    rows = [
        (
            case["replicas"],
            f"{case['update']:.3f}",
            f"{first / case['update']:.2f}",
            f"{first / case['update'] / case['replicas']:.0%}",
            f"{case['reduce']:.3f}",
            f"{case['send']:.3f}",
            f"{case['reduced'] / 1e6:.1f}",
            f"{case['sent'] / 1e6:.1f}",
        )
        for case in cases
    ]
    return tables.markdown(header, rows)


def project(cases: Sequence[dict[str, Any]], amount: int) -> dict[str, float]:
    """Seconds of an update by more replicas, from one and from the last case.

    Args:
      cases: the first of one replica.
      amount: replicas.

    Returns:
      Seconds `update`, made of `divided`, `undivided`, `reduce` and `send`; `speed`
      against one replica and `efficiency`.
    """
    one, last = cases[0]["update"], cases[-1]
    known = last["replicas"]
    alone = last["update"] - last["reduce"] - last["send"]
    divided = min(one, (one - alone) * known / (known - 1))
    parts = {
        "divided": divided / amount,
        "undivided": one - divided,
        "reduce": last["reduce"] * _ring(amount) / _ring(known),
        "send": last["send"] * math.log2(amount) / math.log2(known),
    }
    update = sum(parts.values())
    speed = one / update
    return {
        "replicas": amount,
        "update": update,
        **parts,
        "speed": speed,
        "efficiency": speed / amount,
    }


def describe(projection: dict[str, float]) -> str:
    """A projection, as a sentence."""
    return (
        f"Projection, not measured: {projection['replicas']} replicas, "
        f"{projection['update']:.3f} seconds per update "
        f"({projection['divided']:.3f} divided, {projection['undivided']:.3f} not, "
        f"{projection['reduce']:.3f} to reduce, {projection['send']:.3f} to send the "
        f"batch), {projection['speed']:.2f} times as fast as one, efficiency "
        f"{projection['efficiency']:.0%}."
    )


def _ring(amount: int) -> float:
    """How often each of some replicas sends what they reduce in a ring."""
    return 2 * (amount - 1) / amount


def _be_replica(role: dict[str, Any]) -> int:
    """Makes updates; the chief prints what they took, as JSON."""
    os.sched_setaffinity(0, {role["core"]})
    tensorflow_start.load()
    config = configs.load(role["config"], role["params"])
    from planet.training import distribution

    replicas = distribution.find(config)
    if not train.is_chief(config):
        return replicas.follow(lambda *settings: _define(replicas, *settings)[0].state)
    with replicas.joined():
        print(json.dumps(_time_updates(replicas, config, role["repeats"])))
    return 0


def _define(replicas, config, data_spec) -> tuple:
    """The model, its update, and functions that only reduce, or only get a batch."""
    import tensorflow as tf

    from planet.tools import replicas as reducing
    from planet.training import define_model, trainer

    with replicas.scope():
        model = define_model.define_model(config, data_spec)
    update, _ = trainer.compile_steps(model, config)

    def reduce_zeros(amount):
        return lambda batch, seed: tf.reduce_sum(reducing.mean(tf.zeros([amount])))

    weights = sum(math.prod(x.shape) for x in model.trainable_variables)
    others = [replicas.function(reduce_zeros(x), "never") for x in (weights, 1)]
    return model, weights, update, *others


def _time_updates(replicas, config, repeats: int) -> dict[str, float]:
    """What `measure` returns, but for the number of replicas."""
    import tensorflow as tf

    from benchmarks import speed

    replicas.begin(config, speed.DATA_SPEC)
    _, weights, update, reduce, get = _define(replicas, config, speed.DATA_SPEC)
    batch, steps = config.batch_shape
    random = np.random.default_rng(0)
    data = {
        key: tf.constant(random.uniform(-0.5, 0.5, (batch, steps, *shape)), tf.float32)
        for key, shape in speed.DATA_SPEC.items()
    }
    image = random.integers(0, 256, data["image"].shape, np.uint8)
    data |= {"image": tf.constant(image), "length": tf.fill([batch], steps)}
    rate, seed, empty = tf.constant(1e-3), np.array([0, 0]), {"length": data["length"]}
    update(data, rate, seed)
    before = _sent()
    seconds = speed.measure(lambda _: update(data, rate, seed)[0]["total"], repeats)
    sent = (_sent() - before) / (repeats + 2)  # It warms up, too.
    return {
        "update": seconds,
        "reduce": speed.measure(lambda _: reduce(empty, seed), repeats),
        "send": speed.measure(lambda _: get(data, seed), repeats),
        "reduced": 4 * weights,
        "sent": sent,
    }


def _sent() -> int:
    """Bytes that anybody has sent over loopback."""
    return psutil.net_io_counters(pernic=True)["lo"].bytes_sent


def _make_parser() -> cli.Parser:
    parser = cli.Parser(PROG, __doc__)
    parser.add_argument(
        "--config",
        default="newhp",
        choices=configs.CONFIGS,
        metavar="NAME",
        help="named set of settings (default: %(default)s)",
    )
    parser.add_params("the config")
    parser.add_argument(
        "--replicas",
        nargs="+",
        type=cli.number(int, 1, 64),
        default=[1, 2],
        metavar="N",
        help="how many replicas; always one first (default: 1 2)",
    )
    parser.add_argument(
        "--repeats",
        type=cli.number(int, 1, 1000),
        default=REPEATS,
        metavar="N",
        help="timed updates of each case; their median counts (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=cli.output_file(".json"),
        metavar="FILE.json",
        help="where to write the numbers",
    )
    return parser


if __name__ == "__main__":
    role = os.environ.get(ROLE)
    sys.exit(_be_replica(json.loads(role)) if role else main())
