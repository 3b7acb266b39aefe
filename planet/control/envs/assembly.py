"""Turns specifications of tasks into tasks: environments with all their wrappers.

No environment is made until a task's `env_ctor` is called, which is left to the process
that the environment will live in.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import gymnasium
from gymnasium.spaces import Dict, Discrete
from gymnasium.wrappers import FilterObservation, TimeLimit, TransformObservation

from planet.control.envs import inspection, suite
from planet.control.envs.task import (
    EPISODE_STEPS,
    Selection,
    Task,
    TaskError,
    TaskSpec,
)
from planet.control.wrappers import (
    actions,
    duration,
    observations,
    promises,
    recording,
    simulation,
)

IMAGE_SIZE = (64, 64)


def assemble(name: str, spec: TaskSpec, selection: Selection) -> Task:
    """Combines the specification of a task with the user's choices.

    Args:
      name: Name of the task.
      spec: What the catalogue says about it.
      selection: The user's choices, or any settings with the same attributes.

    Raises:
      TaskError: The agent is to see the task's state, but it has none; or an episode
          would have no decision.
    """
    seen = selection.observations
    if seen == "state" and not spec.state_sizes:
        raise TaskError(f"task {name!r} has no state; set `observations: image`")
    sizes = {} if seen == "image" and spec.own_image else spec.state_sizes
    usual = selection.action_repeats.get(name, spec.action_repeat)
    repeat = selection.action_repeat or usual
    shortest = selection.batch_shape[1] if spec.pad_to_chunk else 0
    longest = selection.episode_steps // repeat
    if not longest:
        raise TaskError(
            f"episode_steps must be at least {repeat}, the action repeat of task "
            f"{name!r}, not {selection.episode_steps}"
        )
    if spec.step_limit:
        longest = min(longest, max(shortest, math.ceil(spec.step_limit / repeat)))
    make = EnvCtor(spec, seen, repeat, shortest, longest, selection.image_key)
    return Task(
        name,
        env_ctor=functools.partial(_make_as_declared, make, name, sizes),
        max_length=longest,
        action_size=spec.action_size,
        state_components=tuple(sizes) if seen == "image" else (),
        renders=seen == "image" and not spec.own_image,
        discrete=spec.discrete or bool(spec.action_values),
        channels=spec.channels,
        state_size=sum(sizes.values()),
        image_size=IMAGE_SIZE,
        show=make.show,
        uses_dm_control=spec.uses_dm_control,
        extra=spec.extra,
        action_repeat=repeat,
        seconds=spec.timestep and spec.timestep * repeat,
        ceilings=spec.ceilings,
        restorable=spec.restorable,
        step_limit=spec.step_limit,
        episode_steps=selection.episode_steps,
    )


def prepare(tasks: Sequence[Task], selection: Selection) -> list[Task]:
    """Prepares assembled tasks to be learned together, and to be recorded.

    Several tasks are made alike: their environments show only what the agent sees, and
    states and actions are padded to the widest of them.

    Raises:
      TaskError: A task cannot be used as requested, or does not fit the others.
    """
    for task in tasks:
        _require_libraries(task)
        _require_length(task, selection.batch_shape[1])
    if len(tasks) > 1:
        tasks = _made_alike(tasks, selection.observations)
    return [
        dataclasses.replace(
            task, env_ctor=functools.partial(_make_recorded, task.env_ctor, task.name)
        )
        for task in tasks
    ]


@dataclasses.dataclass(frozen=True)
class EnvCtor:
    """Makes an environment and puts the wrappers around it, in the original's order.

    Attributes:
      spec: Specification of the task.
      seen: What the agent sees: `image`, `state` or `nothing`.
      repeat: How often each action is repeated.
      shortest: Least number of decisions in an episode.
      longest: Greatest number of decisions in an episode.
      image_key: Name of the image among the environment's observations.
    """

    spec: TaskSpec
    seen: str
    repeat: int = 1
    shortest: int = 0
    longest: int = EPISODE_STEPS
    image_key: str | None = None

    def __call__(self) -> gymnasium.Env:
        """Makes the environment in this process.

        Raises:
          UnusableEnvError: The agent cannot act in it, or cannot see what it should.
          OpenGLError: Rendering would crash this process.
        """
        env = self._make()
        env.unwrapped.spec = None  # Wrapped, it is not what its id stands for.
        env = promises.CheckResults(env)
        env = actions.ActionRepeat(env, 1 if self.spec.emulated else self.repeat)
        if not isinstance(env.action_space, Discrete):
            env = actions.NormalizeActions(env)
        env = duration.MinimumDuration(env, self.shortest)
        env = TimeLimit(env, self.longest)
        env = observations.ConvertTo32Bit(self._choose(env))
        if self.spec.action_values:
            env = actions.DiscretizeActions(env, self.spec.action_values)
        if isinstance(env.action_space, Discrete):
            env = actions.OneHotActions(env)
        return env

    def _make(self):
        if self.spec.emulated:
            return self.spec.make(frameskip=self.repeat)
        return self.spec.make(size=IMAGE_SIZE if self.seen == "image" else None)

    def show(self, env: gymnasium.Env, again: bool = False) -> gymnasium.Env:
        """Wraps an environment to show of its observations what the agent sees.

        Args:
          env: An environment with observations as those of `make`.
          again: Whether its observations are what an agent saw already.

        Raises:
          UnusableEnvError: It lacks what the agent sees.
        """
        ctor = self
        if again:
            spec = dataclasses.replace(self.spec, rows=None)
            ctor = dataclasses.replace(self, spec=spec, image_key=None)
        return observations.ConvertTo32Bit(ctor._choose(env))

    def _choose(self, env):
        if self.seen == "nothing":
            env = promises.CheckObservations(env)
            return TransformObservation(env, lambda _: {}, Dict())
        pixels, key = self.seen == "image", self.image_key
        image = observations.find_image(env.observation_space, key, pixels)
        env = promises.CheckObservations(env, image=image)
        env = observations.NameObservation(env, key, pixels)
        env = observations.FlattenNumbers(env)
        if self.seen == "state":
            return observations.StateVector(env)
        if "image" in env.observation_space.spaces:
            env = observations.ConvertImage(env)
            grey = self.spec.channels == 1
            return observations.ResizeImage(env, IMAGE_SIZE, self.spec.rows, grey)
        return observations.RenderImage(env, IMAGE_SIZE)


def _make_as_declared(env_ctor, name, sizes):
    """Makes an environment; refuses one whose state sizes differ from the declared."""
    env = env_ctor()
    spaces = env.observation_space.items()
    shown = {key: math.prod(box.shape) for key, box in spaces if key != "image"}
    if env_ctor.seen == "state":
        fits = sum(shown.values()) == sum(sizes.values())
    else:
        fits = env_ctor.seen == "nothing" or shown == sizes
    if not fits:
        raise TaskError(
            f"task {name!r} declares the state sizes {_sum_up(sizes)}, but its "
            f"environment has {_sum_up(shown)}"
        )
    return env


def _sum_up(sizes):
    return f"{dict(sorted(sizes.items()))}, {sum(sizes.values())} in all"


def _require_libraries(task):
    hint = suite.missing() if task.uses_dm_control else None
    if task.extra and not inspection.is_importable(inspection.EXTRAS[task.extra]):
        hint = inspection.missing_extra(task.extra)
    if hint:
        raise TaskError(f"task {task.name!r} cannot be used: {hint}")


def _require_length(task, steps):
    """Refuses a task none of whose episodes can fill a training sequence."""
    entries = task.max_length + 1
    if entries < steps:
        raise TaskError(
            f"episodes of task {task.name!r} have {entries} steps with this action "
            f"repeat, fewer than the {steps} of batch_shape"
        )


def _made_alike(tasks, seen):
    _require_alike(tasks, "actions", ["continuous", "discrete"], lambda x: x.discrete)
    if seen == "image":
        colours = ["in colour", "grey"]
        _require_alike(tasks, "images", colours, lambda task: task.channels == 1)
    sizes = {
        "action_size": max(task.action_size for task in tasks),
        "state_size": max(task.state_size for task in tasks),
    }
    return [
        dataclasses.replace(
            task,
            env_ctor=functools.partial(_make_alike, task.env_ctor, seen, **sizes),
            state_components=(),
            **sizes,
        )
        for task in tasks
    ]


def _require_alike(tasks, what, kinds, kind):
    first, others = tasks[0], [x for x in tasks if kind(x) != kind(tasks[0])]
    if others:
        raise TaskError(
            f"the {what} of {first.name} are {kinds[kind(first)]} and those of "
            f"{others[0].name} {kinds[kind(others[0])]}: they cannot share an agent"
        )


def _make_alike(env_ctor, seen, action_size, state_size):
    env = actions.PadActions(env_ctor(), action_size)
    if seen == "image":
        return FilterObservation(env, ["image"])
    return observations.PadState(env, state_size) if seen == "state" else env


def _make_recorded(env_ctor, name):
    env = promises.KeepPromises(env_ctor(), name)
    return simulation.Simulator(recording.Record(env))
