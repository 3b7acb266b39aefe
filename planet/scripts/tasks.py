"""The tasks an agent can learn: one short function each.

A new task is one more function, from the configuration to a `Task`, and its place in
`TASKS`. No environment is made here: that is for the process it will live in.

    python -m planet.scripts.tasks [NAME...]

prints what there is to know about all of these, or about the given ones.

Environments that need no function of their own are tasks by their name:

    dmc:walker_run            any task of the DeepMind Control Suite
    gym:Pendulum-v1           any id that gymnasium knows
    ale:Pong                  any Atari game
    oldgym:CartPole-v1        any id that gymnasium's predecessor knows
    package.module:function   what a function without arguments returns
"""

import dataclasses
import functools
import importlib.util
import math
import sys
from collections.abc import Callable, Mapping, Sequence

import gymnasium
from gymnasium.spaces import Dict, Discrete
from gymnasium.wrappers import FilterObservation, TimeLimit, TransformObservation

from planet.control import inspection, suite
from planet.control.dummy_env import DummyEnv
from planet.control.wrappers import (
    actions,
    adapters,
    duration,
    errors,
    observations,
    recording,
)
from planet.tools import cli, parameters, tables

EPISODE_STEPS = 1000  # Before actions are repeated.
IMAGE_SIZE = (64, 64)
# Forces on the cart of the discrete variants of cartpole.
COARSE = (-1, -0.25, 0, 0.25, 1)
FINE = (-1, -0.25, -0.05, -0.01, 0, 0.01, 0.05, 0.25, 1)


class TaskError(ValueError):
    """A task that cannot be used; the message is one line for the user."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What there is to know about a task before its environment is made.

    Attributes:
      name: The word users know it by.
      env_ctor: Makes the environment; picklable.
      max_length: Decisions in the longest episode.
      action_size: Entries of an action.
      state_components: Names of the observations beside the one that the agent sees.
      renders: Whether the environment needs OpenGL.
      discrete: Whether an action is a one-hot vector.
      channels: Of the image, where the agent sees that.
      state_size: Entries of the state, where the agent sees that.
      extra: Extra of this package that the environment needs.
    """

    name: str
    env_ctor: Callable[[], gymnasium.Env]
    max_length: int
    action_size: int
    state_components: tuple[str, ...]
    renders: bool
    discrete: bool = False
    channels: int = 3
    state_size: int = 0
    extra: str | None = None


@dataclasses.dataclass(frozen=True)
class Selection:
    """What `load` reads of a configuration.

    Attributes:
      tasks: List of names, or `all`.
      action_repeat: Replaces the usual number of every task unless it is None.
      action_repeats: Replace the usual numbers by name of the task.
      observations: What the agent sees: `image`; `state`, all numbers in one vector,
          for which nothing is rendered; or `nothing`.
      batch_shape: Sequences, and their steps, which no episode may fall short of.
    """

    tasks: Sequence[str] | str
    action_repeat: int | None = None
    action_repeats: Mapping[str, int] = dataclasses.field(default_factory=dict)
    observations: str = "image"
    batch_shape: tuple[int, int] = (1, 1)


def cartpole_balance(config: Selection) -> Task:
    """Keeps a pole upright on a cart."""
    return _cartpole(config, "cartpole_balance", "balance")


def cartpole_swingup(config: Selection) -> Task:
    """Swings a pole up on a cart and keeps it there."""
    return _cartpole(config, "cartpole_swingup", "swingup")


def cartpole_balance_da(config: Selection) -> Task:
    """Keeps a pole upright with one of five forces."""
    return _cartpole(config, "cartpole_balance_da", "balance", COARSE)


def cartpole_swingup_da(config: Selection) -> Task:
    """Swings a pole up with one of five forces."""
    return _cartpole(config, "cartpole_swingup_da", "swingup", COARSE)


def cartpole_balance_daf(config: Selection) -> Task:
    """Keeps a pole upright with one of nine forces."""
    return _cartpole(config, "cartpole_balance_daf", "balance", FINE)


def cartpole_swingup_daf(config: Selection) -> Task:
    """Swings a pole up with one of nine forces."""
    return _cartpole(config, "cartpole_swingup_daf", "swingup", FINE)


def cartpole_swingupsparse_daf(config: Selection) -> Task:
    """Swings a pole up with one of nine forces, paid only while it is upright."""
    return _cartpole(config, "cartpole_swingupsparse_daf", "swingup_sparse", FINE)


def finger_spin(config: Selection) -> Task:
    """Spins a hinged body with a planar finger."""
    numbers = {"position": 4, "velocity": 3, "touch": 2}
    return _control_suite(config, "finger_spin", numbers, repeat=2, action_size=2)


def cheetah_run(config: Selection) -> Task:
    """Runs forward on two legs."""
    numbers = {"position": 8, "velocity": 9}
    return _control_suite(config, "cheetah_run", numbers, repeat=4, action_size=6)


def cup_catch(config: Selection) -> Task:
    """Catches a ball in the cup it is tied to."""
    numbers = {"position": 4, "velocity": 4}
    make = functools.partial(adapters.dm_control, "ball_in_cup_catch", _size(config))
    return _task(config, "cup_catch", make, numbers, repeat=6, action_size=2)


def walker_walk(config: Selection) -> Task:
    """Walks on two legs in the plane."""
    numbers = {"height": 1, "orientations": 14, "velocity": 9}
    return _control_suite(config, "walker_walk", numbers, repeat=2, action_size=6)


def reacher_easy(config: Selection) -> Task:
    """Reaches a large target with an arm of two links."""
    numbers = {"position": 2, "velocity": 2, "to_target": 2}
    return _control_suite(config, "reacher_easy", numbers, repeat=4, action_size=2)


def humanoid_walk(config: Selection) -> Task:
    """Walks with a whole body of 21 joints."""
    posture = {"extremities": 12, "head_height": 1, "joint_angles": 21}
    numbers = {"com_velocity": 3, **posture, "torso_vertical": 3, "velocity": 27}
    return _control_suite(config, "humanoid_walk", numbers, repeat=2, action_size=21)


def gym_cheetah(config: Selection) -> Task:
    """Runs forward on two legs, in the version of gymnasium."""
    make = functools.partial(adapters.gym, "HalfCheetah-v5", _size(config))
    numbers = {"state": 17}
    return _task(
        config, "gym_cheetah", make, numbers, repeat=2, action_size=6, hold=True
    )


def gym_racecar(config: Selection) -> Task:
    """Drives a car around a race track, seen from above."""
    make = functools.partial(adapters.gym, "CarRacing-v3", None)  # Its own image.
    kind = {"renders": False, "hold": True, "extra": "box2d"}
    return _task(config, "gym_racecar", make, {}, repeat=2, action_size=3, **kind)


def gym_breakout(config: Selection) -> Task:
    """Breaks bricks with a ball; in grey and without sticky actions."""
    view = {"rows": (17, 210), "channels": 1}
    return _atari(
        config, "gym_breakout", "Breakout", 0.0, repeat=4, action_size=4, **view
    )


def gym_qbert(config: Selection) -> Task:
    """Hops on the cubes of a pyramid."""
    return _atari(config, "gym_qbert", "Qbert", 0.25, repeat=3, action_size=6)


def gym_freeway(config: Selection) -> Task:
    """Leads a chicken across the lanes of a freeway."""
    return _atari(config, "gym_freeway", "Freeway", 0.25, repeat=3, action_size=3)


def dummy(config: Selection) -> Task:
    """Shows noise, for tests."""
    numbers = {} if config.observations == "image" else {"state": 4}
    make = functools.partial(DummyEnv, state_size=sum(numbers.values()))
    return _task(config, "dummy", make, numbers, repeat=1, action_size=2, renders=False)


TASKS = {
    task.__name__: task
    for task in (
        cartpole_balance,
        cartpole_swingup,
        cartpole_balance_da,
        cartpole_swingup_da,
        cartpole_balance_daf,
        cartpole_swingup_daf,
        cartpole_swingupsparse_daf,
        finger_spin,
        cheetah_run,
        cup_catch,
        walker_walk,
        reacher_easy,
        humanoid_walk,
        gym_cheetah,
        gym_racecar,
        gym_breakout,
        gym_qbert,
        gym_freeway,
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
# Libraries whose environments are tasks by name, and their usual action repeat.
BY_NAME = {"dmc": 1, "gym": 1, "ale": 4, "oldgym": 1}


def names() -> list[str]:
    """Lists the tasks with a function of their own."""
    return list(TASKS)


def load(config: Selection) -> list[Task]:
    """Describes the tasks of a configuration.

    Several tasks are made alike: their environments show nothing but what the agent
    sees, states are filled up with zeros, and actions are as wide as the widest.

    Args:
      config: A `Selection`, or any settings with its attributes.

    Raises:
      TaskError: A task is unknown, cannot be used as asked for, or does not fit the
          others.
    """
    chosen = ALL if config.tasks == "all" else config.tasks
    tasks = [_find(config, name) for name in chosen]
    for task in tasks:
        _check(config, task)
    if len(tasks) > 1:
        tasks = _made_alike(config, tasks)
    return [_recorded(task) for task in tasks]


def _control_suite(config, name, numbers, **kind):
    make = functools.partial(adapters.dm_control, name, _size(config))
    return _task(config, name, make, numbers, **kind)


def _cartpole(config, name, goal, forces=()):
    make = functools.partial(adapters.dm_control, f"cartpole_{goal}", _size(config))
    kind = {"repeat": 8, "action_size": 1}
    if forces:
        kind = {"repeat": 4, "action_size": len(forces), "choices": forces}
    return _task(config, name, make, {"position": 3, "velocity": 2}, **kind)


def _atari(config, name, game, sticky, repeat, **kind):
    repeat = _repeat(config, name, repeat)
    make = functools.partial(adapters.atari, game, repeat, sticky)
    kind |= {"discrete": True, "hold": True, "emulated": True, "renders": False}
    return _task(config, name, make, {}, repeat=repeat, extra="atari", **kind)


def _find(config, name):
    """The task of a name."""
    if name in TASKS:
        return TASKS[name](config)
    package = name.partition(":")[0].partition(".")[0]
    if ":" not in name:
        raise TaskError(parameters.unknown("task", name, TASKS))
    if package not in BY_NAME and not _is_importable(package):
        known = ", ".join(f"{prefix}:" for prefix in BY_NAME)
        raise TaskError(
            f"unknown task {name!r}: there is no module {package!r}, and the libraries "
            f"are {known}"
        )
    try:
        return _by_name(config, name)
    except errors.UnusableEnvError as error:
        raise TaskError(f"task {name!r} cannot be used: {error}") from None


def _by_name(config, name):
    prefix = name.partition(":")[0]
    repeat = _repeat(config, name, BY_NAME.get(prefix, 1))
    found = _describe(name, config.observations)
    shapes = {key: box.shape for key, box in found.observation_space.items()}
    image = shapes.pop("image", (0,))
    return _task(
        config,
        name,
        _maker(name, _size(config), repeat),
        {key: math.prod(shape) for key, shape in shapes.items()},
        repeat=repeat,
        action_size=found.action_space.shape[0],
        discrete=isinstance(found.action_space, actions.OneHot),
        limit=found.max_steps,
        hold=prefix != "dmc",
        emulated=prefix == "ale",
        renders=found.uses_opengl,
        channels=image[-1],
        extra=None if prefix == "dmc" else found.extra,
    )


@functools.cache
def _describe(name, seen):
    """What the environment of a name is like, found out in a process of its own."""
    make = _maker(name, IMAGE_SIZE if seen == "image" else None, repeat=1)
    return inspection.describe(_EnvCtor(make, seen=seen))


def _maker(name, size, repeat):
    prefix, _, rest = name.partition(":")
    if prefix == "ale":
        return functools.partial(adapters.atari, rest, repeat)
    if prefix not in BY_NAME:
        return functools.partial(adapters.constructed, name)
    libraries = {
        "dmc": adapters.dm_control,
        "gym": adapters.gym,
        "oldgym": adapters.old_gym,
    }
    return functools.partial(libraries[prefix], rest, size)


def _is_importable(package):
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # No name, or a module without a specification.
        return False


def _task(
    config,
    name,
    make,
    numbers,
    *,
    repeat,
    action_size,
    discrete=False,
    limit=None,
    hold=False,
    emulated=False,
    renders=None,
    channels=3,
    extra=None,
    choices=(),
    rows=None,
):
    """Completes what a function of a task says.

    Args:
      config: What the user wants.
      name: Of the task.
      make: Makes the environment without any wrappers.
      numbers: Sizes of what it shows beside images.
      repeat: Usual action repeat.
      action_size: Entries of an action, or number of choices.
      discrete: Whether the actions are choices by themselves.
      limit: Steps after which the environment ends at the latest, if they are few.
      hold: Whether episodes can end early, and are to be prolonged to a chunk.
      emulated: Whether the environment repeats actions by itself.
      renders: Whether it needs OpenGL; None: if it is to show images.
      channels: Of these.
      extra: Which is to be installed for it.
      choices: Values of an action entry, to make its actions choices.
      rows: Of its own image that are shown; None for all.
    """
    repeat = _repeat(config, name, repeat)
    seen = config.observations
    if seen == "state" and not numbers:
        raise TaskError(f"task {name!r} has no state; set `observations: image`")
    shortest = config.batch_shape[1] if hold else 0
    longest = EPISODE_STEPS // repeat
    if limit:
        longest = min(longest, max(shortest, math.ceil(limit / repeat)))
    env_ctor = _EnvCtor(
        make,
        repeat=1 if emulated else repeat,
        shortest=shortest,
        longest=longest,
        seen=seen,
        choices=choices,
        rows=rows,
        grey=channels == 1,
    )
    return Task(
        name,
        env_ctor,
        longest,
        action_size,
        tuple(numbers) if seen == "image" else (),
        seen == "image" if renders is None else renders,
        discrete or bool(choices),
        channels,
        sum(numbers.values()),
        extra,
    )


@dataclasses.dataclass(frozen=True)
class _EnvCtor:
    """Makes an environment and puts the wrappers around it, in their order."""

    make: Callable[[], gymnasium.Env]
    seen: str
    repeat: int = 1
    shortest: int = 0
    longest: int = EPISODE_STEPS
    choices: tuple[float, ...] = ()
    rows: tuple[int, int] | None = None
    grey: bool = False

    def __call__(self):
        env = self.make()
        env.unwrapped.spec = None  # It is no longer what is registered under an id.
        env = actions.ActionRepeat(env, self.repeat)
        if not isinstance(env.action_space, Discrete):
            env = actions.NormalizeActions(env)
        env = duration.MinimumDuration(env, self.shortest)
        env = TimeLimit(env, self.longest)
        env = observations.ConvertTo32Bit(self._show(env))
        if self.choices:
            env = actions.DiscretizeActions(env, self.choices)
        if isinstance(env.action_space, Discrete):
            env = actions.OneHotActions(env)
        return env

    def _show(self, env):
        if self.seen == "nothing":
            return TransformObservation(env, lambda _: {}, Dict())
        env = observations.FlattenNumbers(observations.NameObservation(env))
        if self.seen == "state":
            return observations.StateVector(env)
        if "image" in env.observation_space.spaces:
            return observations.ResizeImage(env, IMAGE_SIZE, self.rows, self.grey)
        return observations.RenderImage(env, IMAGE_SIZE)


def _size(config):
    return IMAGE_SIZE if config.observations == "image" else None


def _repeat(config, name, usual):
    return config.action_repeat or config.action_repeats.get(name, usual)


def _check(config, task):
    """Refuses tasks that cannot be had, or whose episodes are shorter than a chunk."""
    hint = None
    if task.env_ctor.make.func is adapters.dm_control:
        hint = suite.missing()
    elif task.extra and not _is_importable(inspection.EXTRAS[task.extra]):
        hint = inspection.missing_extra(task.extra)
    if hint:
        raise TaskError(f"task {task.name!r} cannot be used: {hint}")
    entries, steps = task.max_length + 1, config.batch_shape[1]
    if entries < steps:
        raise TaskError(
            f"episodes of task {task.name!r} have {entries} steps with this action "
            f"repeat, fewer than the {steps} of batch_shape"
        )


def _made_alike(config, tasks):
    _require_alike(tasks, "actions", ["continuous", "discrete"], lambda x: x.discrete)
    if config.observations == "image":
        grey = ["in colour", "grey"]
        _require_alike(tasks, "images", grey, lambda task: task.channels == 1)
    sizes = {
        "action_size": max(task.action_size for task in tasks),
        "state_size": max(task.state_size for task in tasks),
    }
    return [
        dataclasses.replace(
            task,
            env_ctor=functools.partial(
                _wrap_alike, task.env_ctor, config.observations, **sizes
            ),
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


def _wrap_alike(env_ctor, seen, action_size, state_size):
    env = actions.PadActions(env_ctor(), action_size)
    if seen == "image":
        return FilterObservation(env, ["image"])
    return observations.PadState(env, state_size) if seen == "state" else env


def _recorded(task):
    env_ctor = functools.partial(_wrap_recorded, task.env_ctor)
    return dataclasses.replace(task, env_ctor=env_ctor)


def _wrap_recorded(env_ctor):
    return recording.Record(env_ctor())


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    parser = cli.Parser(
        prog="planet.scripts.tasks",
        description="Prints what there is to know about tasks.",
        epilog=__doc__.partition("given ones.\n\n")[2],
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="a task (default: all of the project)"
    )
    chosen = parser.parse_args(argv).names or names()
    try:
        tasks = [_find(Selection(chosen), name) for name in chosen]
    except TaskError as error:
        parser.error(str(error))
    header = ("task", "actions", "decisions", "observations", "extra")
    print(tables.markdown(header, map(_row, tasks)))
    return 0


def _row(task):
    size = task.action_size
    choices = f"one of {size}" if task.discrete else f"{size} number{'s'[: size > 1]}"
    image = "grey image" if task.channels == 1 else "image"
    seen = ", ".join((image, *task.state_components))
    return task.name, choices, task.max_length, seen, task.extra or ""


if __name__ == "__main__":
    sys.exit(main())
