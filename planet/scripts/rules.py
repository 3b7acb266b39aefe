"""Rules for settings: which values make sense, alone and together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from planet.control import planners
from planet.control.envs import by_name, inspection
from planet.scripts import tasks as catalogue
from planet.tools import extensions
from planet.tools import parameters as kinds

# Models that can be the time-agnostic predictor of a model, if not just that model
# itself: the heads must fit, and there must be a distribution to compare.
TAP_CELLS = {
    "rssm": ("rssm", "rssm_ma"),
    "rssm_ma": ("rssm", "rssm_ma"),
    "rnn": (),
}

# Names that data or parts of a model have where there is a policy or a value.
BEHAVIOR = {"policy", "return", "value"}

# Settings that `resolve` changes, if they are left to it.
DERIVED = (
    "overshooting",
    "discrete_action",
    "initial_sigma",
    "exploration_noises",
    "exploration_ramps",
    "collect_horizons",
    "summary_horizons",
    "gradient_heads",
)
EPISODE_STEPS = catalogue.Selection.episode_steps

# Steps to plan, unless it is known what is enough for a task.
HORIZON = 12
# A horizon whose ceiling is below this share of a task's highest one is warned about.
FAR_BELOW = 0.8


def named(known: Iterable[str], what: str) -> kinds.Kind:
    """One of the known words, or the name of something in a user's own module."""

    def check(value: Any) -> str:
        if not {".", ":"} & set(kinds.word(value)):
            return kinds.choice(known, what)(value)
        return value

    return check


def _task(value: Any) -> str:
    """A known task, or an environment by name, such as dmc:walker_run."""
    if ":" in kinds.word(value):  # Checked when it is loaded.
        return value
    return kinds.choice(catalogue.names(), "task")(value)


def tasks(value: Any) -> list[str]:
    """Names of known tasks; `all` stands for the six of the paper."""
    names = kinds.items(kinds.word)(value)
    if names == ["all"]:
        return list(catalogue.ALL)
    for name in names:
        if name != "all":
            _task(name)
    if "all" in names or len(set(names)) < len(names):
        raise ValueError("a list of different tasks, or all")
    return names


# Action repeats by name of the task.
repeats = kinds.mapping(_task, kinds.integer(1, 1000), "tasks", "action repeats")


def resolve(values: dict[str, Any], chosen: Sequence[catalogue.Task]) -> None:
    """Resolves settings that depend on one another or on the tasks, in place."""
    longest = values["batch_shape"][1] - 1
    if values["overshooting"] is None:
        values["overshooting"] = longest
    for key, limit, reason in (
        ("overshooting", longest, "the steps of batch_shape less 1"),
        ("cem_topk", values["cem_amount"], "cem_amount"),
    ):
        if values[key] > limit:
            message = f"{key} must be at most {limit} ({reason}), not {values[key]}"
            raise kinds.ParameterError(message)
    discrete = chosen[0].discrete
    if values["discrete_action"] not in (None, discrete):
        given, kind = (
            values["discrete_action"],
            "discrete" if discrete else "continuous",
        )
        raise kinds.ParameterError(
            f"discrete_action must be {kinds.show(discrete).lower()}, or null, for the "
            f"{kind} actions of {chosen[0].name}, not {kinds.show(given).lower()}"
        )
    values["discrete_action"] = discrete
    if values["initial_sigma"] is None:
        values["initial_sigma"] = 3.0 if discrete else 1.0
    if values["exploration_noises"] is None:
        values["exploration_noises"] = [0.1 if discrete else 0.3]
    if discrete and max(values["exploration_noises"]) > 1:
        raise kinds.ParameterError(
            "exploration_noises must be at most 1, the share of random actions, where "
            f"actions are discrete, not {kinds.show(values['exploration_noises'])}"
        )
    for key in ("collect_horizons", "summary_horizons"):
        if values[key] is None:
            values[key] = [max(task.horizon or HORIZON for task in chosen)]
    horizons = len(values["collect_horizons"])
    for key in ("exploration_noises", "exploration_ramps"):
        if len(values[key]) == 1:
            values[key] = values[key] * horizons
        if len(values[key]) != horizons:
            raise kinds.ParameterError(
                f"{key} must be one value, or as many as the {horizons} of "
                f"collect_horizons, not {len(values[key])}"
            )
    for task in chosen:
        if values["planner"] == "real" and not task.restorable:
            raise kinds.ParameterError(f"planner 'real': {not_restorable(task.name)}")
    _check_model(values)
    _check_behavior(values, chosen)
    _resolve_heads(values, chosen)


def check_collectors(values: Mapping[str, Any]) -> None:
    """Refuses collectors where what runs them is not installed."""
    if values["collectors"] and not inspection.is_importable("ray"):
        reason = inspection.missing_extra("ray")
        raise kinds.ParameterError(f"collectors {values['collectors']}: {reason}")


def not_restorable(task: str) -> str:
    """Message that nothing can plan in the environment of a task itself."""
    return (
        f"the state of task {task!r} cannot be saved and restored, unlike that of "
        "dm_control's suite, gymnasium's MuJoCo environments and Atari games"
    )


def warn_of_short_horizons(
    values: Mapping[str, Any], chosen: Sequence[catalogue.Task]
) -> list[str]:
    """Says, in a line for each such task, that the shortest horizon is far too short.

    Args:
      values: All settings.
      chosen: The tasks.
    """
    horizon = min(values["collect_horizons"] + values["summary_horizons"])
    warnings = []
    for task in chosen:
        # Rounded, as 3 steps of 0.08 s are a little more than 0.24 s.
        ahead = round(horizon * (task.seconds or 0), 6)
        seen = max((time for time in task.ceilings if time <= ahead), default=None)
        enough = task.foresight
        if seen is None or enough is None:
            continue
        if task.ceilings[seen] < FAR_BELOW * max(task.ceilings.values()):
            warnings.append(
                f"Horizon {horizon} sees {ahead:.2f} s ahead. With a perfect model, "
                f"{seen:.2f} s reach {task.ceilings[seen]:.0f} in {task.name}, but "
                f"{enough:.2f} s, a horizon of {task.horizon}, "
                f"{task.ceilings[enough]:.0f}."
            )
    return warnings


def describe_episodes(chosen: Iterable[catalogue.Task]) -> list[str]:
    """Says, in a line each, which episodes are cut and what else is worth knowing."""
    notes = []
    for task in chosen:
        # Those of our own that set no limit never end.
        if task.own_end and (task.step_limit or task.name not in catalogue.TASKS):
            notes.append(
                f"Episodes of {task.name} are cut after {task.episode_steps} steps of "
                f"the environment, which itself {task.own_end}; episode_steps changes "
                "that."
            )
        if task.note:
            notes.append(task.note)
    return notes


def _check_model(values: dict[str, Any]) -> None:
    """Refuses settings that do not fit together in a model."""
    states, beliefs, periods = (
        values[key] for key in ("state_size", "model_size", "cw_tau")
    )
    shapes = [
        len(value) if isinstance(value, list) else None
        for value in (states, beliefs, periods)
    ]
    if len(set(shapes)) > 1:
        raise kinds.ParameterError(
            "state_size, model_size and cw_tau must be three numbers or three lists of "
            f"equal length, not {kinds.show(states)}, {kinds.show(beliefs)} and "
            f"{kinds.show(periods)}"
        )
    if isinstance(states, int):
        states, beliefs, periods = [states], [beliefs], [periods]
    if periods[0] != 1:
        raise kinds.ParameterError(f"cw_tau must start with 1, not {periods[0]}")
    alike = len(states) > 1 and len(set(states)) == len(set(beliefs)) == 1
    if values["cell_as_prior"] and not alike:
        raise kinds.ParameterError(
            "cell_as_prior must be 0 unless state_size and model_size are lists of two "
            f"or more equal sizes, not {kinds.show(values['state_size'])} and "
            f"{kinds.show(values['model_size'])}"
        )
    if "rssm_ma" in (values["model"], values["tap_cell"]):
        for size in (*states, *beliefs):
            if not 0 < int(values["ma_ppn"] * size) < size:
                raise kinds.ParameterError(
                    "ma_ppn must leave neither part of state_size and model_size "
                    f"empty, as {values['ma_ppn']} does for a size of {size}"
                )
    predictors = TAP_CELLS.get(values["model"], (values["model"],))
    if values["tap_cell"] not in (None, *predictors):
        raise kinds.ParameterError(
            f"tap_cell must be {', '.join(predictors) or 'null'} for a model "
            f"{values['model']!r}, not {values['tap_cell']!r}"
        )


def _check_behavior(values: dict[str, Any], chosen: Sequence[catalogue.Task]) -> None:
    """Refuses a policy or a value that could not learn."""
    wanted = [key for key in ("use_policy", "use_value") if values[key]]
    if wanted and values["batch_shape"][1] < 2:
        raise kinds.ParameterError(
            f"batch_shape must have at least 2 steps with {wanted[0]}, which learns "
            f"from what follows a step, not {kinds.show(values['batch_shape'])}"
        )
    taken = {name for task in chosen for name in task.state_components}
    for name in sorted(taken & BEHAVIOR if wanted else ()):
        raise kinds.ParameterError(
            f"{wanted[0]} must be false for a task whose observations have the name "
            f"{name!r}, which means something else then"
        )


def _resolve_heads(values: dict[str, Any], chosen: Sequence[catalogue.Task]) -> None:
    """Names the head of what is observed; refuses heads that none of the tasks has."""
    diagnostics = {name for task in chosen for name in task.state_components}
    observed = values["observations"]
    known = kinds.choice([observed, "reward", *sorted(diagnostics)], "head")
    values["gradient_heads"] = [
        known(observed if head == "image" else head)
        for head in values["gradient_heads"]
    ]


def find_classes(
    values: dict[str, Any], models: Mapping[str, str], networks: Mapping[str, str]
) -> None:
    """Adds what the names of model, network and planner stand for, in place.

    These are `cell_class`, `tap_class` (or None), `network_module` and
    `planner_function`, as `module:name`. The user's own are imported here, to check
    them.

    Args:
      values: All settings.
      models: Models of the project, by name.
      networks: Networks of the project, by name.

    Raises:
      ParameterError: Something of the user's own cannot be used.
    """
    _check_known_planner(values)
    found = {
        "model": models.get(values["model"], values["model"]),
        "tap_cell": models.get(values["tap_cell"], values["tap_cell"]),
        "network": networks.get(values["network"], values["network"]),
        "planner": planners.find(values["planner"], values["discrete_action"]),
    }
    checks = {
        "model": _check_cell,
        "tap_cell": _check_cell,
        "network": _check_network,
        "planner": _check_planner,
    }
    for key, check in checks.items():
        if values[key] is not None and found[key] == values[key]:
            try:
                check(extensions.load(values[key]), values)
            except extensions.ExtensionError as error:
                message = f"{key} {values[key]!r} cannot be used: {error}"
                raise kinds.ParameterError(message) from None
    values["cell_class"], values["tap_class"] = found["model"], found["tap_cell"]
    values["network_module"] = found["network"]
    values["planner_function"] = found["planner"]


def modules(values: Mapping[str, Any]) -> list[str]:
    """The modules of the user's own that settings name.

    Args:
      values: All settings, with what `find_classes` adds.
    """
    names = [by_name.module_of(name) for name in values["tasks"]]
    for key in ("cell_class", "tap_class", "network_module", "planner_function"):
        names.append((values[key] or "").partition(":")[0])
    return [name for name in names if name and not name.startswith("planet.")]


def _check_cell(cell: Any, values: Mapping[str, Any]) -> None:
    """Refuses what is not a class of cells, or cannot be built from the settings."""
    names = [f"{x.__module__}.{x.__name__}" for x in getattr(cell, "__mro__", ())]
    if "planet.models.base.Base" not in names:
        raise extensions.ExtensionError(
            "it is not a subclass of planet.models.base.Base"
        )
    extensions.check_arguments(cell, values)


def _check_network(module: Any, values: Mapping[str, Any]) -> None:
    """Refuses a module without an encoder and a decoder that can be built."""
    for name, given in (("Encoder", ()), ("Decoder", ("shape",))):
        if not isinstance(getattr(module, name, None), type):
            raise extensions.ExtensionError(f"it has no class {name!r}")
        extensions.check_arguments(getattr(module, name), (*values, *given))


def _check_known_planner(values: Mapping[str, Any]) -> None:
    """Refuses one of the project's planners that the other settings do not allow."""
    name = values["planner"]
    if name not in planners.PLANNERS:
        return
    if planners.find(name, values["discrete_action"]) is None:
        able = [key for key, planner in planners.PLANNERS.items() if planner.discrete]
        raise kinds.ParameterError(
            f"planner must be one of {', '.join(able)} where actions are discrete, not "
            f"{name!r}"
        )
    if planners.PLANNERS[name].guided and not values["use_policy"]:
        raise kinds.ParameterError(
            f"use_policy must be true for planner {name!r}, which needs a policy, not "
            "false"
        )


def _check_planner(planner: Any, values: Mapping[str, Any]) -> None:
    """Refuses what does not have the signature of a planner."""
    if not callable(planner):
        raise extensions.ExtensionError("it is not a function")
    known = (*planners.GIVEN, planners.POLICY, *planners.SETTINGS, *values)
    extensions.check_arguments(planner, known)
    if not values["use_policy"]:
        known = (name for name in known if name != planners.POLICY)
        try:
            extensions.check_arguments(planner, tuple(known))
        except extensions.ExtensionError:
            raise extensions.ExtensionError(
                f"its argument {planners.POLICY!r} takes use_policy: true"
            ) from None
    missing = extensions.missing_arguments(planner, planners.GIVEN)
    if missing:
        raise extensions.ExtensionError(f"it takes no argument {missing[0]!r}")
