"""Environments in this thread, in threads or in processes, stepped as one batch.

A proxy stands for one environment wherever it lives:

    env = make(functools.partial(DummyEnv, action_size=3), isolate="process")
    wait = env.step_async(action)  # The environment works...
    observation, *others = wait()  # ...and this waits for its result.

A process is spawned and serves one environment. It imports what the constructor needs,
which must not include TensorFlow; it leaves Ctrl-C to its parent; and it ends when the
pipe to its parent closes, however the parent ended.
"""

import abc
import concurrent.futures
import contextlib
import functools
import itertools
import multiprocessing
import signal
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import resource_tracker
from typing import Any

import gymnasium
import numpy as np

EnvCtor = Callable[[], gymnasium.Env]
Wait = Callable[[], Any]


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
    """One environment, in this thread or elsewhere."""

    def __init__(self):
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
          EnvError: The environment raised an exception, or its process died.
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

    @abc.abstractmethod
    def _post(self, method, *args, **kwargs):
        """Hands a call to the host; returns a function that waits for its answer."""

    @abc.abstractmethod
    def close(self) -> None:
        """Closes the environment and ends its thread or process, if any."""


class LocalEnv(EnvProxy):
    """An environment in the calling thread, which runs when its result is awaited."""

    def __init__(self, env_ctor: EnvCtor):
        self._host = _Host(env_ctor)
        super().__init__()

    def _post(self, method, *args, **kwargs):
        return functools.partial(self._host.answer, method, *args, **kwargs)

    def close(self) -> None:
        """Closes the environment."""
        self._host.close()


class ThreadEnv(EnvProxy):
    """An environment in a thread of its own."""

    def __init__(self, env_ctor: EnvCtor):
        self._host = _Host(env_ctor)
        self._executor = concurrent.futures.ThreadPoolExecutor(max_workers=1)
        super().__init__()

    def _post(self, method, *args, **kwargs):
        return self._executor.submit(self._host.answer, method, *args, **kwargs).result

    def close(self) -> None:
        """Closes the environment and ends its thread."""
        self._executor.submit(self._host.close)
        self._executor.shutdown()


class ProcessEnv(EnvProxy):
    """An environment in a spawned process of its own."""

    def __init__(self, env_ctor: EnvCtor):
        context = multiprocessing.get_context("spawn")
        self._connection, connection = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(connection, env_ctor), daemon=True
        )
        with _interrupts_blocked():
            self._process.start()
        connection.close()  # So that the pipe closes when the other process ends.
        self._tickets = itertools.count()
        self._answers = {}
        super().__init__()

    def _post(self, method, *args, **kwargs):
        ticket = next(self._tickets)
        with self._expect_life():
            self._connection.send((ticket, method, args, kwargs))
        return functools.partial(self._receive, ticket)

    def _receive(self, ticket):
        with self._expect_life():
            while ticket not in self._answers:
                answered, answer = self._connection.recv()
                self._answers[answered] = answer
        return self._answers.pop(ticket)

    @contextlib.contextmanager
    def _expect_life(self):
        try:
            yield
        except (EOFError, ConnectionError) as error:
            self._process.join(timeout=5)
            code = self._process.exitcode
            message = f"the process of an environment ended by itself with code {code}"
            # Frames that failed to send hold a buffer that crashes the garbage
            # collector of Python 3.12.1 and before.
            raise EnvError(message) from error.with_traceback(None)

    def close(self) -> None:
        """Ends the process, which closes the environment."""
        self._connection.close()
        self._process.join(timeout=5)
        self._process.kill()
        self._process.join()


@contextlib.contextmanager
def _interrupts_blocked():
    """Makes processes that are started in this context ignore Ctrl-C."""
    resource_tracker.ensure_running()  # Starting it later would unblock SIGINT.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection, env_ctor):
    """Answers calls in a process until the pipe closes."""
    host = _Host(env_ctor)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            ticket, method, args, kwargs = connection.recv()
            connection.send((ticket, host.answer(method, *args, **kwargs)))
    host.close()


def make(env_ctor: EnvCtor, isolate: str = "process") -> EnvProxy:
    """Starts an environment without waiting for it to be ready.

    Args:
      env_ctor: Makes the environment; has to be picklable for `process`.
      isolate: `none`, `thread` or `process`.
    """
    proxies: dict[str, Callable[[EnvCtor], EnvProxy]] = {
        "none": LocalEnv,
        "thread": ThreadEnv,
        "process": ProcessEnv,
    }
    return proxies[isolate](env_ctor)


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
        self, seed: Sequence[int] | None = None, options: dict | None = None
    ) -> dict[str, np.ndarray]:
        """Starts an episode in each environment.

        Args:
          seed: One per environment.
          options: Handed to every environment.

        Returns:
          Observations by name, each [B, ...].
        """
        seeds = [None] * len(self) if seed is None else seed
        pairs = zip(self.envs, seeds, strict=True)
        waits = [env.reset_async(seed, options) for env, seed in pairs]
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

    def close(self) -> None:
        """Closes all environments."""
        for env in self.envs:
            env.close()
