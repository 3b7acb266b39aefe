"""The tasks an agent can learn: one short function each.

A new task is one more function, which returns its specification, a `TaskSpec`. No
environment is made here: that is left to the process it will live in.

    python -m planet.scripts.tasks [NAME...]

prints a table of all of these, or all about the given ones.

Environments that need no function of their own are tasks by their name:

    dmc:walker_run            any task of the DeepMind Control Suite
    gym:Pendulum-v1           any id that gymnasium knows
    ale:Pong                  any Atari game
    oldgym:CartPole-v1        any id that gymnasium's predecessor knows
    package.module:function   the environment that your function, or class, returns
"""

import functools
import sys
from collections.abc import Callable, Sequence

from planet.control.envs import adapters, assembly, by_name, dummy_env
from planet.control.envs.task import Selection, Task, TaskError, TaskSpec
from planet.scripts import task_table

__all__ = [
    "ALL",
    "TASKS",
    "Selection",
    "Task",
    "TaskError",
    "TaskSpec",
    "load",
    "names",
]

TASKS: dict[str, Callable[[], TaskSpec]] = {}
# The six tasks of the paper.
ALL = (
    "cartpole_balance",
    "cartpole_swingup",
    "finger_spin",
    "cheetah_run",
    "cup_catch",
    "walker_walk",
)
# Forces on the cart in the discrete variants of cartpole.
COARSE = (-1, -0.25, 0, 0.25, 1)
FINE = (-1, -0.25, -0.05, -0.01, 0, 0.01, 0.05, 0.25, 1)


def names() -> list[str]:
    """Lists the tasks with a function of their own."""
    return list(TASKS)


def load(config: Selection) -> list[Task]:
    """Describes the tasks of a configuration, ready to be learned by one agent.

    Args:
      config: A `Selection`, or any settings with its attributes.

    Raises:
      TaskError: A task is unknown, cannot be used as requested, or does not fit the
          others.
    """
    chosen = ALL if config.tasks == "all" else config.tasks
    found = [by_name.find(name, config, TASKS) for name in chosen]
    return assembly.prepare(found, config)


def task(function: Callable[[], TaskSpec]) -> Callable[[], TaskSpec]:
    """Registers a function as the task of its name."""
    TASKS[function.__name__] = function
    return function


@task
def cartpole_balance() -> TaskSpec:
    """Keeps a pole upright on a cart."""
    return _cartpole("balance", ceilings={0.48: 663, 0.96: 976, 1.92: 972})


@task
def cartpole_swingup() -> TaskSpec:
    """Swings a pole up on a cart and keeps it there."""
    return _cartpole("swingup", ceilings={0.48: 401, 0.96: 817, 1.92: 825})


@task
def cartpole_balance_da() -> TaskSpec:
    """Keeps a pole upright with one of five forces."""
    return _cartpole("balance", COARSE, ceilings={0.24: 475, 0.48: 631, 0.96: 954})


@task
def cartpole_swingup_da() -> TaskSpec:
    """Swings a pole up with one of five forces."""
    return _cartpole("swingup", COARSE, ceilings={0.24: 180, 0.48: 395, 0.96: 751})


@task
def cartpole_balance_daf() -> TaskSpec:
    """Keeps a pole upright with one of nine forces."""
    return _cartpole("balance", FINE, ceilings={0.24: 539, 0.48: 734, 0.96: 990})


@task
def cartpole_swingup_daf() -> TaskSpec:
    """Swings a pole up with one of nine forces."""
    return _cartpole("swingup", FINE, ceilings={0.24: 179, 0.48: 391, 0.96: 724})


@task
def cartpole_swingupsparse_daf() -> TaskSpec:
    """Swings a pole up with one of nine forces, rewarded only while it is upright."""
    return _cartpole("swingup_sparse", FINE)


@task
def finger_spin() -> TaskSpec:
    """Spins a hinged body with a planar finger."""
    spec = {"action_repeat": 2, "action_size": 2, "timestep": 0.02}
    sizes = {"position": 4, "velocity": 3, "touch": 2}
    ceilings = {0.24: 98, 0.48: 338, 0.96: 510}
    return _suite("finger_spin", state_sizes=sizes, ceilings=ceilings, **spec)


@task
def cheetah_run() -> TaskSpec:
    """Runs forward on two legs."""
    spec = {"action_repeat": 4, "action_size": 6, "timestep": 0.01}
    sizes = {"position": 8, "velocity": 9}
    ceilings = {0.24: 470, 0.48: 538, 0.96: 396}
    return _suite("cheetah_run", state_sizes=sizes, ceilings=ceilings, **spec)


@task
def cup_catch() -> TaskSpec:
    """Catches a ball in the cup it is tied to."""
    name, sizes = "ball_in_cup_catch", {"position": 4, "velocity": 4}
    spec = {"action_repeat": 6, "action_size": 2, "timestep": 0.02}
    ceilings = {0.72: 996, 1.44: 996, 2.88: 992}
    return _suite(name, state_sizes=sizes, ceilings=ceilings, **spec)


@task
def walker_walk() -> TaskSpec:
    """Walks on two legs in the plane."""
    sizes = {"height": 1, "orientations": 14, "velocity": 9}
    spec = {"action_repeat": 2, "action_size": 6, "timestep": 0.025}
    ceilings = {0.3: 975, 0.6: 967, 1.2: 827}
    return _suite("walker_walk", state_sizes=sizes, ceilings=ceilings, **spec)


@task
def reacher_easy() -> TaskSpec:
    """Reaches a large target with an arm of two links."""
    spec = {"action_repeat": 4, "action_size": 2, "timestep": 0.02}
    sizes = {"position": 2, "velocity": 2, "to_target": 2}
    ceilings = {0.48: 945, 0.96: 977, 1.92: 972}
    return _suite("reacher_easy", state_sizes=sizes, ceilings=ceilings, **spec)


@task
def humanoid_walk() -> TaskSpec:
    """Walks with a whole body of 21 joints."""
    posture = {"extremities": 12, "head_height": 1, "joint_angles": 21}
    sizes = {"com_velocity": 3, **posture, "torso_vertical": 3, "velocity": 27}
    spec = {"action_repeat": 2, "action_size": 21, "timestep": 0.025}
    ceilings = {0.3: 29, 0.6: 157, 1.2: 11}
    return _suite("humanoid_walk", state_sizes=sizes, ceilings=ceilings, **spec)


@task
def gym_cheetah() -> TaskSpec:
    """Runs forward on two legs, in gymnasium's version."""
    return TaskSpec(
        functools.partial(adapters.gym, "HalfCheetah-v5"),
        action_repeat=2,
        action_size=6,
        state_sizes={"state": 17},
        step_limit=1000,
        pad_to_chunk=True,
        timestep=0.05,
        ceilings={0.6: 1191, 1.2: 1633, 2.4: 311},
        restorable=True,
    )


@task
def gym_racecar() -> TaskSpec:
    """Drives a car around a race track, seen from above."""
    return TaskSpec(
        functools.partial(adapters.gym, "CarRacing-v3"),
        action_repeat=2,
        action_size=3,
        own_image=True,
        step_limit=1000,
        pad_to_chunk=True,
        extra="box2d",
    )


@task
def gym_breakout() -> TaskSpec:
    """Breaks bricks with a ball; in grey and without sticky actions."""
    view = {"rows": (17, 210), "channels": 1}
    return _atari("Breakout", sticky=0.0, action_repeat=4, action_size=4, **view)


@task
def gym_qbert() -> TaskSpec:
    """Hops on the cubes of a pyramid."""
    return _atari("Qbert", sticky=0.25, action_repeat=3, action_size=6)


@task
def gym_freeway() -> TaskSpec:
    """Leads a chicken across the lanes of a freeway."""
    return _atari("Freeway", sticky=0.25, action_repeat=3, action_size=3)


@task
def dummy() -> TaskSpec:
    """Shows noise, for tests."""
    return TaskSpec(
        dummy_env.make,
        action_repeat=1,
        action_size=2,
        state_sizes={"state": 4},
        own_image=True,
    )


def _suite(name, **spec):
    make = functools.partial(adapters.dm_control, name)
    spec |= {"uses_dm_control": True, "step_limit": 1000, "restorable": True}
    return TaskSpec(make, **spec)


def _cartpole(goal, forces=(), *, ceilings=None):
    spec = {"action_repeat": 8, "action_size": 1}
    if forces:
        spec = {"action_repeat": 4, "action_size": len(forces), "action_values": forces}
    spec |= {"timestep": 0.01, "ceilings": ceilings or {}}
    sizes = {"position": 3, "velocity": 2}
    return _suite(f"cartpole_{goal}", state_sizes=sizes, **spec)


def _atari(game, sticky, **spec):
    make = functools.partial(adapters.atari, game, sticky=sticky)
    kind = {"discrete": True, "own_image": True, "pad_to_chunk": True, "emulated": True}
    spec |= {"extra": "atari", "step_limit": 108_000, "restorable": True}
    return TaskSpec(make, **kind, **spec)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    by_name = __doc__.partition("given ones.\n\n")[2]
    return task_table.run(TASKS, by_name, argv)


if __name__ == "__main__":
    sys.exit(main())
