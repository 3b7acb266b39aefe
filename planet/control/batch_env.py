"""Environments in this thread, in threads or in processes, stepped as one batch.

A proxy stands for one environment wherever it lives:

    env = make(functools.partial(DummyEnv, action_size=3), isolate="process")
    wait = env.step_async(action)  # The environment works...
    observation, *others = wait()  # ...and this waits for its result.

A process is spawned and serves one environment. It imports what the constructor needs,
which must not include TensorFlow; it leaves signals to its parent; and it ends when its
parent does, however that ended. One that died or gives no answer can be replaced.
"""

import abc
import concurrent.futures
import contextlib
import functools
import itertools
import multiprocessing
import os
import queue
import socket
import struct
import sys
import threading
import traceback
import types
from collections.abc import Callable, Sequence
from multiprocessing import reduction, util
from typing import Any, TypeVar

import gymnasium
import numpy as np

from planet.tools import interruption

EnvCtor = Callable[[], gymnasium.Env]
Wait = Callable[[], Any]
Result = TypeVar("Result")
RETRIES = 3  # In a row.
GLANCE = 0.5  # Seconds between looks at whether to go on waiting.
FAREWELL = 3  # Seconds in which a process should end by itself.


class EnvError(RuntimeError):
    """An environment failed; the message includes its traceback."""


class _Host:
    """Holds the environment and answers calls with (result, traceback)."""

    def __init__(self, env_ctor: EnvCtor):
        self._env_ctor = env_ctor

    @functools.cached_property
    def _env(self):
        return self._env_ctor()

    def answer(self, method, *args, **kwargs):
        try:
            if method == "spaces":
                return (self._env.observation_space, self._env.action_space), None
            return getattr(self._env, method)(*args, **kwargs), None
        except Exception:
            return None, traceback.format_exc()

    def close(self):
        if "_env" in vars(self):
            self._env.close()


class EnvProxy(abc.ABC):
    """One environment, in this thread or elsewhere.

    Args:
      env_ctor: Makes the environment.
      timeout: Seconds to wait for an answer; None: forever.
    """

    def __init__(self, env_ctor: EnvCtor, timeout: float | None = None):
        self._env_ctor = env_ctor
        self._timeout = timeout
        self._start()
        self._wait_for_spaces = self._call("spaces")

    def restart(self) -> None:
        """Makes the environment anew, without waiting for it to be ready."""
        with contextlib.suppress(Exception):  # It may be too broken to be closed.
            self.close()
        self._start()
        vars(self).pop("_spaces", None)
        self._wait_for_spaces = self._call("spaces")

    @functools.cached_property
    def _spaces(self):
        return self._wait_for_spaces()

    @property
    def observation_space(self) -> gymnasium.spaces.Dict:
        """Space of observations; waits until the environment has started."""
        return self._spaces[0]

    @property
    def action_space(self) -> gymnasium.spaces.Box:
        """Space of actions; waits until the environment has started."""
        return self._spaces[1]

    def reset(self, seed: int | None = None, options: dict | None = None):
        """Starts an episode; returns observation and info as gymnasium does."""
        return self.reset_async(seed, options)()

    def step(self, action: np.ndarray):
        """Applies an action [A]; returns what gymnasium does.

        Raises:
          EnvError: The environment raised an exception, its process died, or it gave
              no answer in time.
        """
        return self.step_async(action)()

    def reset_async(self, seed: int | None = None, options: dict | None = None) -> Wait:
        """Starts an episode; call the returned function to wait for the result."""
        return self._call("reset", seed=seed, options=options)

    def step_async(self, action: np.ndarray) -> Wait:
        """Applies an action [A]; call the returned function to wait for the result."""
        return self._call("step", action)

    def rewards_async(self, candidates: np.ndarray) -> Wait:
        """Tries actions, and undoes them; see `simulation.Simulator.rewards`."""
        return self._call("rewards", candidates)

    def _call(self, method, *args, **kwargs):
        wait = self._post(method, *args, **kwargs)

        def wait_for_result():
            result, failure = wait()
            if failure:
                summary = failure.strip().splitlines()[-1]
                raise EnvError(f"{summary}\n\nIn the environment:\n{failure}")
            return result

        return wait_for_result

    def _wait_until(self, is_there: Callable[[float], bool]) -> None:
        """Waits until a function of how long to wait says that the answer is there."""
        waited = 0.0
        while not is_there(GLANCE):
            interruption.check()
            waited += GLANCE  # Not by a clock, as this process may be stopped too.
            if self._timeout and waited > self._timeout:
                raise EnvError(self._no_answer())

    def _no_answer(self) -> str:
        return f"the environment gave no answer for {self._timeout:g} s"

    @abc.abstractmethod
    def _start(self) -> None:
        """Makes the host, and the thread or process that it is in."""

    @abc.abstractmethod
    def _post(self, method, *args, **kwargs):
        """Hands a call to the host; returns a function that waits for its answer."""

    def hang_up(self) -> None:
        """Tells the environment that it will be closed, without waiting for it."""
        return

    @abc.abstractmethod
    def close(self) -> None:
        """Closes the environment and ends its thread or process, if any."""


class LocalEnv(EnvProxy):
    """An environment in the calling thread, which runs when its result is awaited.

    Nobody could stop waiting for it: there is no timeout.
    """

    def _start(self):
        self._host = _Host(self._env_ctor)

    def _post(self, method, *args, **kwargs):
        return functools.partial(self._host.answer, method, *args, **kwargs)

    def close(self) -> None:
        """Closes the environment."""
        self._host.close()


class ThreadEnv(EnvProxy):
    """An environment in a thread of its own, which is left alone if it hangs."""

    def _start(self):
        self._calls = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=_serve_thread, args=(self._calls, self._env_ctor), daemon=True
        )
        self._thread.start()

    def _post(self, method, *args, **kwargs):
        future = concurrent.futures.Future()
        self._calls.put((future, method, args, kwargs))
        return functools.partial(self._receive, future)

    def _receive(self, future):
        def is_there(seconds):
            return bool(concurrent.futures.wait([future], seconds).done)

        self._wait_until(is_there)
        return future.result()

    def close(self) -> None:
        """Closes the environment and ends its thread."""
        self._calls.put(None)
        self._thread.join(timeout=FAREWELL)


def _serve_thread(calls, env_ctor):
    """Answers calls in a thread until one is None."""
    host = _Host(env_ctor)
    while call := calls.get():
        future, method, args, kwargs = call
        future.set_result(host.answer(method, *args, **kwargs))
    host.close()


class ProcessEnv(EnvProxy):
    """An environment in a spawned process of its own."""

    def _start(self):
        context = multiprocessing.get_context("spawn")
        self._connection, connection = context.Pipe()
        if self._timeout:
            _limit(self._connection, self._timeout)
        # A process that is bound to a thread would end with that.
        bound = threading.current_thread() is threading.main_thread()
        self._process = context.Process(
            target=_serve, args=(connection, self._env_ctor, bound), daemon=True
        )
        with interruption.left_to_parent(), _spawning(self._env_ctor):
            self._process.start()
        connection.close()  # So that the pipe closes when the other process ends.
        # At exit, daemons are waited for, after a signal that this one does not obey.
        util.Finalize(self, self._process.kill, exitpriority=0)
        self._tickets = itertools.count()
        self._answers = {}
        self._patience = FAREWELL

    def _post(self, method, *args, **kwargs):
        ticket = next(self._tickets)
        with self._expect_life():
            self._connection.send((ticket, method, args, kwargs))
        return functools.partial(self._receive, ticket)

    def _receive(self, ticket):
        with self._expect_life():
            while ticket not in self._answers:
                self._wait_until(self._is_there)
                answered, answer = self._connection.recv()
                self._answers[answered] = answer
        return self._answers.pop(ticket)

    def _is_there(self, seconds):
        """Whether there is something to read; EOFError if there never will be.

        A process that has died may have left others that hold the pipe.
        """
        alive = self._process.is_alive()
        if self._connection.poll(seconds):
            return True
        if not alive:
            raise EOFError
        return False

    @contextlib.contextmanager
    def _expect_life(self):
        try:
            yield
        except EnvError:
            self._patience = 0
            raise
        except BlockingIOError as error:  # It stopped in the middle of a message.
            self._patience = 0
            raise EnvError(self._no_answer()) from error.with_traceback(None)
        except (EOFError, OSError) as error:
            self._process.join(timeout=FAREWELL)
            code = self._process.exitcode
            message = f"the process of an environment ended by itself with code {code}"
            # Frames that failed to send hold a buffer that crashes the garbage
            # collector of Python 3.12.1 and before.
            raise EnvError(message) from error.with_traceback(None)

    def hang_up(self) -> None:
        """Tells the process to end."""
        self._connection.close()

    def close(self) -> None:
        """Ends the process, which closes the environment unless it hangs."""
        self.hang_up()
        self._process.join(self._patience)
        self._process.kill()
        self._process.join()


@contextlib.contextmanager
def _spawning(env_ctor):
    """Keeps a process that is spawned from importing the script that runs here.

    The script would run again, up to where it spawns a process, unless all of it were
    in `if __name__ == "__main__"`. Only a constructor that it defines needs it.
    """
    script = sys.modules["__main__"]
    if b"__main__" not in bytes(reduction.ForkingPickler.dumps(env_ctor)):
        sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _limit(connection, seconds):
    """Limits how long a connection waits in the middle of a message."""
    with socket.socket(fileno=os.dup(connection.fileno())) as end:
        limit = struct.pack("ll", max(1, round(seconds)), 0)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            end.setsockopt(socket.SOL_SOCKET, option, limit)


def _serve(connection, env_ctor, bound):
    """Answers calls in a process until the pipe closes.

    If it is bound to the thread that started it, it even ends within a call.
    """
    if bound:
        interruption.end_with_parent()
    interruption.ignore()
    host = _Host(env_ctor)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            ticket, method, args, kwargs = connection.recv()
            connection.send((ticket, host.answer(method, *args, **kwargs)))
    host.close()


def make(
    env_ctor: EnvCtor, isolate: str = "process", timeout: float | None = None
) -> EnvProxy:
    """Starts an environment without waiting for it to be ready.

    Args:
      env_ctor: Makes the environment; has to be picklable for `process`.
      isolate: `none`, `thread` or `process`.
      timeout: Seconds to wait for an answer; None: forever.
    """
    proxies: dict[str, Callable[..., EnvProxy]] = {
        "none": LocalEnv,
        "thread": ThreadEnv,
        "process": ProcessEnv,
    }
    return proxies[isolate](env_ctor, timeout)


class BatchEnv:
    """Several environments with the same spaces, stepped at the same time.

    Args:
      envs: B proxies, which other batches may share.
    """

    def __init__(self, envs: Sequence[EnvProxy]):
        self.envs = list(envs)
        self._observations = []
        self._done = np.ones(len(self.envs), bool)

    def __len__(self) -> int:
        return len(self.envs)

    def __enter__(self) -> "BatchEnv":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    @property
    def observation_space(self) -> gymnasium.spaces.Dict:
        """Space of the observations of one environment."""
        return self.envs[0].observation_space

    @property
    def action_space(self) -> gymnasium.spaces.Box:
        """Space of the actions of one environment."""
        return self.envs[0].action_space

    def reset(
        self,
        seed: Sequence[int] | None = None,
        options: dict | Sequence[dict] | None = None,
    ) -> dict[str, np.ndarray]:
        """Starts an episode in each environment.

        Args:
          seed: One per environment.
          options: One per environment, or one that is handed to all.

        Returns:
          Observations by name, each [B, ...].
        """
        seeds = [None] * len(self) if seed is None else seed
        if not isinstance(options, Sequence):
            options = [options] * len(self)
        triples = zip(self.envs, seeds, options, strict=True)
        waits = [env.reset_async(seed, option) for env, seed, option in triples]
        self._observations = [wait()[0] for wait in waits]
        self._done = np.zeros(len(self), bool)
        return self._stacked_observations()

    def step(
        self, actions: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, list[dict]]:
        """Applies one action in each environment whose episode has not ended.

        Args:
          actions: One per environment [B, A].

        Returns:
          Observations by name, each [B, ...]; rewards [B]; whether the episode is
          done [B]; one info dict per environment. Where no step was made, the last
          observation is held, the reward is 0 and the info is empty.
        """
        return self.step_async(actions)()

    def step_async(self, actions: np.ndarray) -> Wait:
        """As `step`; call the returned function to wait for the results."""
        running = (~self._done).nonzero()[0]
        waits = {i: self.envs[i].step_async(actions[i]) for i in running}
        return functools.partial(self._finish_step, waits)

    def _finish_step(self, waits):
        rewards = np.zeros(len(self), np.float32)
        infos = [{} for _ in self.envs]
        for i, wait in waits.items():
            observation, rewards[i], terminated, truncated, infos[i] = wait()
            self._observations[i] = observation
            self._done[i] = terminated or truncated
        return self._stacked_observations(), rewards, self._done.copy(), infos

    def rewards(self, candidates: np.ndarray) -> np.ndarray:
        """Tries sequences of actions in all environments at once, and undoes them.

        Args:
          candidates: N sequences of H actions for each environment, [B, N, H, A].

        Returns:
          The rewards, [B, N, H]; 0 where the episode has ended.
        """
        running = ~self._done
        waits = {
            i: self.envs[i].rewards_async(candidates[i]) for i in running.nonzero()[0]
        }
        rewards = np.zeros(candidates.shape[:3])
        for i, wait in waits.items():
            rewards[i] = wait()
        return rewards

    def _stacked_observations(self):
        names = self._observations[0]
        return {name: np.stack([o[name] for o in self._observations]) for name in names}

    def retry(self, name: str, play: Callable[[], Result]) -> Result:
        """Plays episodes, which are dropped and played again where they fail.

        All environments are made anew for that, up to three times.

        Args:
          name: Of the task.
          play: Plays an episode in each environment, the same each time.

        Raises:
          EnvError: It failed once more.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                return play()
            except EnvError as error:
                if attempt > RETRIES:
                    attempts = f"task {name!r} failed {attempt} times in a row"
                    raise EnvError(f"{attempts}; the last time: {error}") from error
                reason = str(error).splitlines()[0]
            print(
                f"Episode of {name} dropped, tried again ({attempt} of {RETRIES}): "
                f"{reason}",
                flush=True,
            )
            for env in self.envs:
                env.restart()

    def close(self) -> None:
        """Closes all environments."""
        for env in self.envs:
            env.hang_up()
        for env in self.envs:
            env.close()
