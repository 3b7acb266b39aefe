"""Trying actions in an environment, and undoing them."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from planet.control.errors import UnusableEnvError
from planet.control.wrappers import rollouts
from planet.control.wrappers.actions import OneHot
from planet.control.wrappers.observations import ConvertTo32Bit
from planet.control.wrappers.promises import KeepPromises
from planet.control.wrappers.recording import Record

# Wrappers that neither change what happens in an environment nor remember any of it.
_STATELESS = (
    gymnasium.ActionWrapper,
    gymnasium.ObservationWrapper,
    ConvertTo32Bit,
    KeepPromises,
    Record,
)
# Chance that a game does not forget which action it was about to repeat.
_NEGLIGIBLE = 1e-9


class State(NamedTuple):
    """State of an environment: of its engine, and of the objects around that."""

    engine: Any
    attributes: list[dict[str, tuple[Any, Any]]]


class Simulator(gymnasium.Wrapper):
    """A perfect model of an environment: itself, as its state is saved and restored.

    This is for environments of dm_control's suite, those of gymnasium that use MuJoCo,
    and Atari games. All others can be played as usual. What they observe and record is
    not part of the state.

    Random numbers are part of the state, so even sticky actions are foreseen. But a
    game does not save which action it would repeat; once it has been saved or restored,
    that is the last one chosen.

    Raises:
      UnusableEnvError: By `save`, `restore` and `rewards`: the state is out of reach.
    """

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        self._translators = []
        while isinstance(env, _STATELESS):
            if isinstance(env, gymnasium.ActionWrapper):
                self._translators.append(env.action)
            env = env.env
        self._inner = env
        self._rollouts = rollouts.find(env)
        self._engine = _find_engine(env.unwrapped)
        self._layers = self._engine.objects if self._engine else []
        while isinstance(env, gymnasium.Wrapper):
            self._layers = [*self._layers, env]
            env = env.env

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        """Starts an episode."""
        if self._engine:
            self._engine.last_action = 0  # Games start by doing nothing.
        return self.env.reset(seed=seed, options=options)

    def step(self, action: np.ndarray) -> tuple:
        """Applies an action [A]."""
        if self._engine:
            self._engine.last_action = self._translate(action)
        return self.env.step(action)

    def save(self) -> State:
        """The current state."""
        state = State(
            self._require_engine().save(),
            [_attributes(layer) for layer in self._layers],
        )
        self.restore(state)  # A game does not save everything.
        return state

    def restore(self, state: State) -> None:
        """Goes back to a state of the same episode."""
        self._require_engine().restore(state.engine)
        for layer, attributes in zip(self._layers, state.attributes, strict=True):
            _set_attributes(layer, attributes)

    def rewards(self, candidates: np.ndarray) -> np.ndarray:
        """Tries sequences of actions, each from the current state, and undoes them.

        Nothing is rendered or recorded.

        Args:
          candidates: N sequences of H actions each, [N, H, A].

        Returns:
          The reward of each decision, float64 [N, H]; 0 after the end of the episode.
        """
        if self._rollouts:
            return self._rollouts.rewards(self._translate_all(candidates))
        state = self.save()
        rewards = np.zeros(candidates.shape[:2])
        with self._require_engine().unobserved():
            for index, actions in enumerate(candidates):
                for step, action in enumerate(actions):
                    result = self._inner.step(self._translate(action))
                    _, rewards[index, step], terminated, truncated, _ = result
                    if terminated or truncated:
                        break
                self.restore(state)
        return rewards

    def _translate(self, action):
        """What the inner environment takes for an action [A]."""
        for translate in self._translators:
            action = translate(action)
        return action

    def _translate_all(self, candidates):
        """What the inner environment takes for actions [N, H, A]."""
        if isinstance(self.action_space, OneHot):
            choices = np.eye(candidates.shape[-1], dtype=candidates.dtype)
            choices = np.array([self._translate(vector) for vector in choices])
            return choices[candidates.argmax(-1)]
        return np.array([[self._translate(x) for x in plan] for plan in candidates])

    def _require_engine(self):
        if not self._engine:
            raise UnusableEnvError(
                "its state cannot be saved and restored, unlike that of dm_control's "
                "suite, of gymnasium's MuJoCo environments and of Atari games"
            )
        return self._engine


def is_restorable(env: gymnasium.Env) -> bool:
    """Tells whether the state of an environment can be saved and restored."""
    return _find_engine(env.unwrapped) is not None


class _Engine:
    """What computes an environment.

    Attributes:
      objects: What has state in its attributes.
      last_action: The last one chosen, as the inner environment takes it.
    """

    def __init__(self, objects: list):
        self.objects = objects
        self.last_action: Any = 0

    def save(self) -> Any:
        """The state that is not in attributes."""
        raise NotImplementedError

    def restore(self, saved: Any) -> None:
        """Goes back to a state."""
        raise NotImplementedError

    def unobserved(self) -> contextlib.AbstractContextManager[None]:
        """A context in which observations may be missing."""
        return contextlib.nullcontext()


class _MuJoCo(_Engine):
    """Saves all of MuJoCo's data: positions, time, warm start, derived quantities."""

    def __init__(self, model, data, objects: list):
        super().__init__(objects)
        self._model = model
        self._data = data

    def save(self):
        return copy.copy(self._data)

    def restore(self, saved):
        import mujoco  # Loaded by the environment, with or without OpenGL.

        mujoco.mj_copyData(self._data, self._model, saved)


class _ControlSuite(_MuJoCo):
    """An environment of dm_control's suite, with the task that pays its rewards."""

    def __init__(self, suite):
        model, data = suite.physics.model.ptr, suite.physics.data.ptr
        super().__init__(model, data, [suite, suite.task])
        self._task = suite.task

    @contextlib.contextmanager
    def unobserved(self) -> Iterator[None]:
        """Spares the task its observations, which take as long as simple physics."""
        self._task.get_observation = lambda physics: {}
        try:
            yield
        finally:
            del self._task.get_observation


class _Atari(_Engine):
    """Saves the state of the emulator, with its random numbers.

    That lacks the action which the emulator would repeat if the next one is sticky. So
    the last action is played until it is certain that the emulator has taken it.
    """

    def __init__(self, env):
        super().__init__([env])
        self._ale = env.ale
        self._codes = env._action_set
        sticky = env.ale.getFloat("repeat_action_probability")
        self._plays = math.ceil(math.log(_NEGLIGIBLE, sticky)) if sticky else 0

    def save(self):
        return self._ale.cloneSystemState(), self.last_action

    def restore(self, saved):
        state, self.last_action = saved
        self._ale.restoreSystemState(state)
        if self._plays:
            for _ in range(self._plays):
                self._ale.act(self._codes[self.last_action])
            self._ale.restoreSystemState(state)


def _find_engine(env) -> _Engine | None:
    """What computes an environment without wrappers; None where that is unknown."""
    parts = vars(env)
    suite = parts.get("_env")  # Shimmy has no public way to it.
    if type(suite).__module__ == "dm_control.rl.control":
        return _ControlSuite(suite)
    if type(parts.get("data")).__name__ == "MjData":
        return _MuJoCo(env.model, env.data, [env])
    if type(parts.get("ale")).__name__ == "ALEInterface" and not env.continuous:
        return _Atari(env)
    return None


def _attributes(layer) -> dict[str, tuple[Any, Any]]:
    """Attributes of an object, and what can change inside of each of them."""
    return {name: (value, _content(value)) for name, value in vars(layer).items()}


def _set_attributes(layer, attributes) -> None:
    for name, (value, content) in attributes.items():
        vars(layer)[name] = value
        if isinstance(value, np.ndarray) and value.flags.writeable:
            value[...] = content
        elif isinstance(value, np.random.RandomState):
            value.set_state(content)
        elif isinstance(value, np.random.Generator):
            value.bit_generator.state = content


def _content(value):
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, np.random.RandomState):
        return value.get_state(legacy=False)
    if isinstance(value, np.random.Generator):
        return value.bit_generator.state
    return None
