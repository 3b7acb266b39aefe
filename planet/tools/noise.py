"""Random numbers that depend on an explicit seed, wherever they are drawn.

Cells draw noise deep inside unrolls and planners whose signatures know nothing of
it. Compiled functions receive one seed and open a stream; all that is drawn inside is
then a function of that seed, so a resumed run needs no generator state but its
counters.

    with noise.stream(seed):
        noise.normal([2, 3])
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf


class _Open(threading.local):
    """The streams that are open; replicas are traced in threads of their own."""

    def __init__(self):
        self.streams: list[_Stream] = []


_open = _Open()


class _Stream:
    def __init__(self, seed: tf.Tensor):
        self._seed = seed
        self._drawn = 0

    def next_seed(self) -> tf.Tensor:
        self._drawn += 1
        return tf.random.fold_in(self._seed, self._drawn)


@contextlib.contextmanager
def stream(seed: tf.Tensor | None) -> Iterator[None]:
    """Draws everything inside the context from one seed.

    Inside the body of a graph loop, open a stream of its own with a seed that depends
    on the iteration; otherwise each iteration draws the same numbers.

    Args:
      seed: integers [2]; without it the global random state of TensorFlow is used.
    """
    if seed is None:
        yield
        return
    _open.streams.append(_Stream(tf.convert_to_tensor(seed)))
    try:
        yield
    finally:
        _open.streams.pop()


def seed() -> tf.Tensor:
    """A seed [2] of its own for every call."""
    if not _open.streams:
        return tf.random.uniform([2], maxval=tf.int32.max, dtype=tf.int32)
    return _open.streams[-1].next_seed()


def normal(shape: Sequence[int] | tf.Tensor, dtype=tf.float32) -> tf.Tensor:
    """Standard normal noise of the given shape."""
    if not _open.streams:
        return tf.random.normal(shape, dtype=dtype)
    return tf.random.stateless_normal(shape, seed(), dtype=dtype)


def coloured(shape: Sequence[int | tf.Tensor], exponent: float) -> tf.Tensor:
    """Standard normal noise whose power at frequency f is proportional to f**-exponent.

    Each entry has mean 0 and variance 1, whatever the exponent; 0 makes white noise.
    The power at frequency 0 is that at the lowest other one.

    Source: Timmer and Koenig 1995, "On generating power law noise", section 4. There,
    an inverse Fourier transform takes random coefficients to a sequence. It is linear,
    so here it is one product with a matrix.

    Args:
      shape: [..., T, X], where T is the axis of time, an integer.
      exponent: 1 for pink noise, 2 for red noise, and so on.
    """
    white = normal(shape)
    if not exponent:
        return white
    matrix = tf.constant(_colouring(shape[-2], exponent), white.dtype)
    return tf.einsum("...tx,ts->...sx", white, matrix)


def _colouring(length: int, exponent: float) -> np.ndarray:
    """Matrix [T, T] that takes white noise, as coefficients, to coloured noise.

    The real parts of all coefficients of a real sequence are followed by the imaginary
    parts of those that have one.
    """
    frequencies = np.fft.rfftfreq(length)
    frequencies[0] = 1 / length
    amplitudes = np.diag(frequencies ** (-exponent / 2))
    real = np.fft.irfft(amplitudes, length)
    imaginary = np.fft.irfft(1j * amplitudes, length)[1 : (length + 1) // 2]
    # The others have all of their power in the real part.
    real[[0] if length % 2 else [0, -1]] *= np.sqrt(2)
    matrix = np.concatenate([real, imaginary])
    return matrix / np.sqrt(np.sum(matrix**2, 0))


def uniform(shape: Sequence[int] | tf.Tensor, dtype=tf.float32) -> tf.Tensor:
    """Uniform noise in [0, 1) of the given shape."""
    if not _open.streams:
        return tf.random.uniform(shape, dtype=dtype)
    return tf.random.stateless_uniform(shape, seed(), dtype=dtype)


def categorical(logits: tf.Tensor, amount: int) -> tf.Tensor:
    """Draws `amount` classes, int32 [N, amount], for each row of logits [N, A]."""
    if not _open.streams:
        return tf.random.categorical(logits, amount, tf.int32)
    return tf.random.stateless_categorical(logits, amount, seed(), tf.int32)


class Seeds(tf.Module):
    """An endless sequence of seeds that goes on where a checkpoint left it.

    Args:
      start: where the sequence begins, at least 0 and less than 2 ** 32.
    """

    def __init__(self, start: int):
        super().__init__(name="seeds")
        self._start = tf.Variable(start, trainable=False, dtype=tf.int64)
        self._count = tf.Variable(0, trainable=False, dtype=tf.int64)

    def next(self) -> np.ndarray:
        """The next seed, int64 [2]."""
        return np.array([self._start.numpy(), self._count.assign_add(1).numpy()])

    @property
    def start(self) -> int:
        """Where the sequence begins."""
        return int(self._start.numpy())

    @property
    def position(self) -> int:
        """How many seeds were drawn."""
        return int(self._count.numpy())

    def rewind(self, position: int) -> None:
        """Goes back to where `position` was read, to draw the same seeds again."""
        self._count.assign(position)
