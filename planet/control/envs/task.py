"""Descriptions of tasks: the catalogue's, the user's choices, and the result."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium

# Share of the highest ceiling that a planning horizon has to reach to be enough.
ENOUGH = 0.9
# Steps of the environment in the longest episode, before actions are repeated.
EPISODE_STEPS = 1000


class TaskError(ValueError):
    """A task that cannot be used; the message is one line for the user."""


@dataclasses.dataclass(frozen=True)
class TaskSpec:
    """What a catalogue says about a task.

    Attributes:
      make: Makes the environment without wrappers; picklable. It is called with
          `size=`, height and width of the images to render, or None for no images; or,
          where it is `emulated`, with `frameskip=`, how often to repeat each action.
      action_repeat: How often each action is repeated, unless the user says otherwise.
      action_size: Entries of an action, or number of choices.
      discrete: Whether the environment's own actions are choices.
      action_values: Values for every entry of an action, to choose from.
      state_sizes: Numbers in each observation other than the image, by name.
      own_image: Whether the environment observes an image itself; it is not rendered
          then, and replaces all other observations.
      channels: Channels of the image: 3, or 1 for grey.
      rows: First row to keep of the environment's own image, and the row after the
          last one.
      step_limit: Most steps that the environment makes in an episode; None where it
          does not say.
      pad_to_chunk: Whether to hold the end of a short episode until the episode is as
          long as a training sequence.
      emulated: Whether an emulator repeats the actions, rather than a wrapper.
      uses_dm_control: Whether the environment is one of dm_control's.
      extra: Extra of this package that the environment needs.
      timestep: Seconds of a step, before actions are repeated; None where unknown.
      ceilings: Return of planning with a perfect model, by the seconds it looks ahead,
          as measured by `planet.scripts.ceiling`; needs `timestep`.
      restorable: Whether the environment's state can be saved and restored.
    """

    make: Callable[..., gymnasium.Env]
    action_repeat: int
    action_size: int
    discrete: bool = False
    action_values: tuple[float, ...] = ()
    state_sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    own_image: bool = False
    channels: int = 3
    rows: tuple[int, int] | None = None
    step_limit: int | None = None
    pad_to_chunk: bool = False
    emulated: bool = False
    uses_dm_control: bool = False
    extra: str | None = None
    timestep: float | None = None
    ceilings: Mapping[float, float] = dataclasses.field(default_factory=dict)
    restorable: bool = False


@dataclasses.dataclass(frozen=True)
class Selection:
    """The user's choices about tasks, as part of a configuration.

    Attributes:
      tasks: Their names, or `all`.
      action_repeat: Overrides the default of every task, unless it is None.
      action_repeats: Overrides the defaults of the tasks it names.
      observations: What the agent sees: `image`; `state`, all numbers in one vector,
          for which nothing is rendered; or `nothing`.
      batch_shape: Training sequences in a batch, and steps in a sequence. A task whose
          longest episode is shorter is refused.
      episode_steps: Steps of the environment after which an episode is cut.
      image_key: Name of the image among the observations of environments by name.
      env_params: What is passed to their constructors, by keyword.
    """

    tasks: Sequence[str] | str
    action_repeat: int | None = None
    action_repeats: Mapping[str, int] = dataclasses.field(default_factory=dict)
    observations: str = "image"
    batch_shape: tuple[int, int] = (1, 1)
    episode_steps: int = EPISODE_STEPS
    image_key: str | None = None
    env_params: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Task:
    """What is known about a task before its environment is made.

    Attributes:
      name: The name that users know it by.
      env_ctor: Makes the environment; picklable.
      show: Wraps an environment to show what the agent sees, see `EnvCtor.show`.
      max_length: Decisions in the longest episode.
      action_size: Entries of an action.
      state_components: Names of the observations beside the image that the agent sees.
      renders: Whether the environment needs OpenGL.
      discrete: Whether an action is a one-hot vector.
      channels: Channels of the image, where the agent sees one.
      state_size: Entries of the state, where the agent sees one.
      image_size: Height and width of the image.
      uses_dm_control: Whether the environment is one of dm_control's.
      extra: Extra of this package that the environment needs.
      action_repeat: Environment steps of a decision.
      seconds: Length of a decision, where it is known.
      ceilings: Return of planning with a perfect model, by the seconds it looks ahead.
      restorable: Whether the environment's state can be saved and restored.
      step_limit: Most steps that the environment itself makes in an episode; None where
          it does not say.
      episode_steps: Steps after which an episode is cut, as the user chose.
      note: What a user should know about its observations before a run, if anything.
    """

    name: str
    env_ctor: Callable[[], gymnasium.Env]
    show: Callable[..., gymnasium.Env]
    max_length: int
    action_size: int
    state_components: tuple[str, ...]
    renders: bool
    discrete: bool = False
    channels: int = 3
    state_size: int = 0
    image_size: tuple[int, int] = (0, 0)
    uses_dm_control: bool = False
    extra: str | None = None
    action_repeat: int = 1
    seconds: float | None = None
    ceilings: Mapping[float, float] = dataclasses.field(default_factory=dict)
    restorable: bool = False
    step_limit: int | None = None
    episode_steps: int = EPISODE_STEPS
    note: str = ""

    @property
    def own_end(self) -> str | None:
        """When the environment itself ends an episode; None if before it is cut."""
        if self.step_limit is None:
            return "does not say when they end"
        if self.step_limit > self.episode_steps:
            return f"ends them after {self.step_limit}"
        return None

    @property
    def foresight(self) -> float | None:
        """Seconds to plan ahead that are enough; None where that is not known."""
        goal = ENOUGH * max(self.ceilings.values(), default=0)
        enough = (time for time, ceiling in self.ceilings.items() if ceiling >= goal)
        return min(enough, default=None)

    @property
    def horizon(self) -> int | None:
        """Decisions to plan that are enough; None where that is not known."""
        if self.foresight is None or self.seconds is None:
            return None
        return math.ceil(round(self.foresight / self.seconds, 6))
