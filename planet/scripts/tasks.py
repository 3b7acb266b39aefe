"""The tasks an agent can learn: one short function each.

A new task is one more function, from the configuration to a `Task`, and its place in
`TASKS`. No environment is made here: that is for the process it will live in.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import gymnasium
from gymnasium.wrappers import FilterObservation, TimeLimit

from planet.control.dummy_env import DummyEnv
from planet.control.wrappers import actions, adapters, observations, recording

EPISODE_STEPS = 1000  # Before actions are repeated.
IMAGE_SIZE = (64, 64)


@dataclasses.dataclass(frozen=True)
class Task:
    """What there is to know about a task before its environment is made.

    Attributes:
      name: The word users know it by.
      env_ctor: Makes the environment; picklable.
      max_length: Decisions in the longest episode.
      action_size: Entries of an action.
      state_components: Names of the observations beside the image.
      renders: Whether the environment needs OpenGL.
    """

    name: str
    env_ctor: Callable[[], gymnasium.Env]
    max_length: int
    action_size: int
    state_components: tuple[str, ...]
    renders: bool


def cartpole_balance(config: Any) -> Task:
    """Keeps a pole upright on a cart."""
    adapter = _control_suite("cartpole", "balance")
    return _task(config, "cartpole_balance", adapter, repeat=8, action_size=1)


def cartpole_swingup(config: Any) -> Task:
    """Swings a pole up on a cart and keeps it there."""
    adapter = _control_suite("cartpole", "swingup")
    return _task(config, "cartpole_swingup", adapter, repeat=8, action_size=1)


def finger_spin(config: Any) -> Task:
    """Spins a hinged body with a planar finger."""
    adapter = _control_suite("finger", "spin")
    components = ("position", "velocity", "touch")
    return _task(config, "finger_spin", adapter, components, repeat=2, action_size=2)


def cheetah_run(config: Any) -> Task:
    """Runs forward on two legs."""
    adapter = _control_suite("cheetah", "run")
    return _task(config, "cheetah_run", adapter, repeat=4, action_size=6)


def cup_catch(config: Any) -> Task:
    """Catches a ball in the cup it is tied to."""
    adapter = _control_suite("ball_in_cup", "catch")
    return _task(config, "cup_catch", adapter, repeat=6, action_size=2)


def walker_walk(config: Any) -> Task:
    """Walks on two legs in the plane."""
    adapter = _control_suite("walker", "walk")
    components = ("height", "orientations", "velocity")
    return _task(config, "walker_walk", adapter, components, repeat=2, action_size=6)


def reacher_easy(config: Any) -> Task:
    """Reaches a large target with an arm of two links."""
    adapter = _control_suite("reacher", "easy")
    components = ("position", "velocity", "to_target")
    return _task(config, "reacher_easy", adapter, components, repeat=4, action_size=2)


def humanoid_walk(config: Any) -> Task:
    """Walks with a whole body of 21 joints."""
    adapter = _control_suite("humanoid", "walk")
    extent = ("extremities", "head_height", "joint_angles", "torso_vertical")
    components = ("com_velocity", *extent, "velocity")
    return _task(config, "humanoid_walk", adapter, components, repeat=2, action_size=21)


def dummy(config: Any) -> Task:
    """Shows noise, for tests."""
    return _task(config, "dummy", DummyEnv, (), repeat=1, action_size=2, renders=False)


TASKS = {
    task.__name__: task
    for task in (
        cartpole_balance,
        cartpole_swingup,
        finger_spin,
        cheetah_run,
        cup_catch,
        walker_walk,
        reacher_easy,
        humanoid_walk,
        dummy,
    )
}
ALL = (
    "cartpole_balance",
    "cartpole_swingup",
    "finger_spin",
    "cheetah_run",
    "cup_catch",
    "walker_walk",
)


def names() -> list[str]:
    """Lists the known tasks."""
    return list(TASKS)


def load(config: Any) -> list[Task]:
    """Describes the tasks of a configuration.

    Several tasks are made alike: their environments show nothing but the image, and
    their actions are as wide as the widest.

    Args:
      config: Has `tasks`, a list of names or `all`; `action_repeat`, which replaces
          the usual number of every task unless it is None; and `action_repeats`,
          numbers that replace the usual ones by name of the task.
    """
    chosen = ALL if config.tasks == "all" else config.tasks
    tasks = [TASKS[name](config) for name in chosen]
    if len(tasks) > 1:
        width = max(task.action_size for task in tasks)
        tasks = [_made_alike(task, width) for task in tasks]
    return [_recorded(task) for task in tasks]


def _task(
    config,
    name,
    adapter,
    state_components=("position", "velocity"),
    *,
    repeat,
    action_size,
    renders=True,
):
    repeat = config.action_repeat or config.action_repeats.get(name, repeat)
    length = EPISODE_STEPS // repeat
    env_ctor = functools.partial(_wrap, adapter, repeat, length, renders)
    return Task(name, env_ctor, length, action_size, state_components, renders)


def _control_suite(domain, task):
    return functools.partial(adapters.dm_control, domain, task, IMAGE_SIZE)


def _wrap(adapter, repeat, length, renders):
    env = actions.ActionRepeat(adapter(), repeat)
    env = actions.NormalizeActions(env)
    env = TimeLimit(env, length)
    if renders:
        env = observations.RenderImage(env, IMAGE_SIZE)
    return observations.ConvertTo32Bit(env)


def _made_alike(task, width):
    env_ctor = functools.partial(_wrap_alike, task.env_ctor, width)
    return dataclasses.replace(
        task, env_ctor=env_ctor, action_size=width, state_components=()
    )


def _wrap_alike(env_ctor, width):
    return actions.PadActions(FilterObservation(env_ctor(), ["image"]), width)


def _recorded(task):
    env_ctor = functools.partial(_wrap_recorded, task.env_ctor)
    return dataclasses.replace(task, env_ctor=env_ctor)


def _wrap_recorded(env_ctor):
    return recording.Record(env_ctor())
