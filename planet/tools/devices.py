"""What TensorFlow computes on, and how it makes use of it."""

from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf

from planet.tools import machine


@functools.cache
def prepare(tf32: bool) -> None:
    """Lets accelerators grow their memory as needed, and says how they multiply.

    It has to come before the first operation: what a device may use is settled then.

    Args:
      tf32: whether GPUs may round what float32 products multiply to 19 bits.

    Raises:
      RuntimeError: TensorFlow has used an accelerator before.
    """
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)
    tf.config.experimental.enable_tensor_float_32_execution(tf32)


def describe() -> str:
    """The devices that do the computing, by name."""
    details = map(
        tf.config.experimental.get_device_details,
        tf.config.list_physical_devices("GPU"),
    )
    names = [entry.get("device_name", "of unknown name") for entry in details]
    return f"GPU ({', '.join(names)})" if names else f"CPU ({machine.processor()})"


def function(compute: Callable, jit: str) -> Callable:
    """A compiled function: a graph of TensorFlow's, or one that XLA compiles in turn.

    Args:
      compute: what to compute, from tensors.
      jit: `always` or `never` uses XLA; `auto` does on accelerators. On processors it
        takes minutes to compile, and what it makes of convolutions is slower.
    """
    return tf.function(compute, jit_compile=uses_xla(jit) or None)


def uses_xla(jit: str) -> bool:
    """Whether XLA compiles functions; `jit` as for `function`."""
    accelerated = bool(tf.config.list_physical_devices("GPU"))
    return jit == "always" or (jit == "auto" and accelerated)
