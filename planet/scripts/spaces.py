"""Spaces of sweeps: what varies, read from YAML and checked at every point.

    config: newhp                                   # default: default
    params: {max_steps: 400000}                     # fixed; the space overrides them
    space:
      tasks: {grid: [[cartpole_balance], [cheetah_run]]}
      learning_rate: {loguniform: [3.0e-4, 3.0e-3]}
      seed: {grid: [0, 1, 2]}
    metric: test_score                              # maximised
    samples: 4                                      # per grid point; default: 1
    search: random                                  # or optuna
    scheduler: asha                                 # or none, median, pbt

An entry of `space` is a parameter, or `config`, with values that are tried in all
combinations (`grid`) or drawn (`DRAWN`). One with `variants` has a name of its own and
sets several parameters at once: `agent: {variants: {small: {model_size: 50}, …}}`.
What is drawn is the same for all seeds, so that means over seeds compare equals.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import itertools
import json
import math
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import ml_collections
import numpy as np

from planet.scripts import configs, runs
from planet.tools import parameters

METRICS = ("test_score",)
SEARCHES = ("random", "optuna")
SCHEDULERS = ("none", "asha", "median", "pbt")
# Distributions, and what a list of their arguments holds.
DRAWN = {
    "choice": "one or more values",
    "uniform": "low and high",
    "loguniform": "low and high, above 0",
    "quniform": "low, high and the step between values",
    "randint": "the lowest and the highest whole number",
    "lograndint": "the lowest and the highest whole number, above 0",
}
KINDS = ("grid", "variants", *DRAWN)
# What the scheduler pbt may change in a run that goes on.
MUTABLE = (
    "learning_rate",
    "image_loss_scale",
    "reward_scale",
    "divergence_scale",
    "global_divergence_scale",
    "overshooting_reward_scale",
    "free_nats",
    "gradient_clipping",
    "adam_epsilon",
    "marwil_kappa",
)
MAX_TRIALS = 10_000
MAX_LABEL = 120  # Letters; names of files have at most 255 bytes.

Settings = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Distribution:
    """What the values of a parameter are drawn from.

    Attributes:
      kind: One of `DRAWN`.
      arguments: What was given to it.
    """

    kind: str
    arguments: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        """All choices, or the lowest and the highest value."""
        return self.arguments if self.kind == "choice" else self.arguments[:2]

    @property
    def examples(self) -> tuple[Any, ...]:
        """The ends and, where values need not be whole numbers, one that is not."""
        inside = ()
        if self.kind in ("uniform", "loguniform"):
            low, high = self.arguments
            inside = (low + (high - low) / math.pi,)
        elif self.kind == "quniform":
            inside = (self.clip(self.arguments[0] + self.arguments[2]),)
        return (*self.ends, *inside)

    def draw(self, rng: np.random.Generator) -> Any:
        """A value; numbers that are not whole have six digits."""
        if self.kind == "choice":
            return self.arguments[rng.integers(len(self.arguments))]
        low, high = self.ends
        if self.kind == "randint":
            return int(rng.integers(low, high, endpoint=True))
        if self.kind == "lograndint":
            value = rng.uniform(math.log(low), math.log(high + 1))
            return self.clip(math.floor(math.exp(value)))
        if self.kind == "loguniform":
            return self.clip(math.exp(rng.uniform(math.log(low), math.log(high))))
        return self.clip(rng.uniform(low, high))

    def clip(self, value: float) -> float:
        """The nearest number that can be drawn."""
        low, high = self.ends
        if self.kind.endswith("randint"):
            return min(max(round(value), low), high)
        if self.kind == "quniform":
            step = self.arguments[2]
            value = low + round((value - low) / step) * step
            value = value - step if value > high * (1 + 1e-9) else value
        return min(max(float(f"{value:.6g}"), low), high)


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Attributes:
      label: Name of its folder, from what varies.
      group: The label without the seed, which the trials of all seeds share.
      population: The label without seed and draws: that of the grid point.
      config: Name of the config, or path of a run, that it starts from.
      params: Settings that override those.
    """

    label: str
    group: str
    population: str
    config: str
    params: Settings


@dataclasses.dataclass(frozen=True)
class Point:
    """A point of the grid, for all seeds.

    Attributes:
      texts: What is said of it in labels.
      config: As of a trial.
      params: As of a trial, without what is drawn.
    """

    texts: Sequence[str]
    config: str
    params: Settings

    @property
    def label(self) -> str:
        """Label of the point."""
        return _join(self.texts)


@dataclasses.dataclass(frozen=True)
class Space:
    """What a sweep tries.

    Attributes:
      values: What the file holds.
      points: All points of the grid, without seeds.
      drawn: Distributions by parameter.
      seeds: Values of `seed`; None where it does not vary.
      samples: Draws for each point of the grid.
      metric: One of `METRICS`.
      search: One of `SEARCHES`.
      scheduler: One of `SCHEDULERS`.
      source: Where it was read, for messages.
    """

    values: Settings
    points: Sequence[Point]
    drawn: Mapping[str, Distribution]
    seeds: Sequence[int | None]
    samples: int
    metric: str
    search: str
    scheduler: str
    source: str

    def __len__(self) -> int:
        return len(self.points) * self.samples * len(self.seeds)

    def trials(self) -> list[Trial]:
        """All trials, with values that are drawn the same way each time."""
        digest = hashlib.sha256(json.dumps(self.values, sort_keys=True).encode())
        rng = np.random.default_rng(list(digest.digest()))
        result: list[Trial] = []
        taken: set[str] = set()
        for point, _ in itertools.product(self.points, range(self.samples)):
            values = {key: x.draw(rng) for key, x in self.drawn.items()}
            result += self.at(point, values, taken)
            taken.add(result[-1].group)
        return result

    def at(self, point: Point, values: Settings, taken: set[str]) -> list[Trial]:
        """The trials of a point and drawn values, one for each seed.

        Args:
          point: Where in the grid.
          values: What was drawn.
          taken: Groups of other trials.
        """
        texts = [*point.texts]
        if self.scheduler != "pbt":  # It changes them later.
            texts += [f"{key}={_short(value)}" for key, value in values.items()]
        group = _join(texts)
        if group in taken or (values and self.scheduler == "pbt"):
            numbered = (_join([*texts, f"sample={n}"]) for n in itertools.count(1))
            group = next(label for label in numbered if label not in taken)
        params = point.params | own_names(values, self.source)
        result = []
        for seed in self.seeds:
            label = group
            if len(self.seeds) > 1:
                label = _join([*([group] if texts else []), f"seed={seed}"])
            own = params if seed is None else params | {"seed": seed}
            result.append(Trial(label, group, point.label, point.config, own))
        return result

    def check(self) -> None:
        """Loads the settings of all points, for the ends of what is drawn.

        Raises:
          ParameterError: Some cannot be used.
        """
        ends = [x.ends for x in self.drawn.values()]
        corners = itertools.product(*ends)
        if math.prod(map(len, ends)) * len(self.points) > MAX_TRIALS:
            corners = iter([tuple(x[0] for x in ends), tuple(x[-1] for x in ends)])
        alone = dataclasses.replace(self, seeds=self.seeds[:1])
        tried = [
            alone.at(point, dict(zip(self.drawn, values, strict=True)), set())[0]
            for point, values in itertools.product(self.points, corners)
        ]
        if self.drawn and self.search == "random":
            tried += self.trials()[:: len(self.seeds)]
        for trial in tried:
            load(trial, self.source)


def load(trial: Trial, source: str) -> ml_collections.ConfigDict:
    """The settings of a trial.

    Raises:
      ParameterError: They cannot be used.
    """
    try:
        return runs.new_config(trial.config, trial.params, source=source)
    except parameters.ParameterError as error:
        message = f"{source}, at {trial.label}: {error}"
        raise parameters.ParameterError(message) from None


def read(path: pathlib.Path) -> Space:
    """Reads a space and checks all of its points.

    Raises:
      ParameterError: It cannot be used; the message is one line for the user.
    """
    try:
        values = parameters.read_file(path)
        values = json.loads(json.dumps(values, allow_nan=False))
    except (OSError, TypeError, ValueError) as error:
        if isinstance(error, parameters.ParameterError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise parameters.ParameterError(f"{path} cannot be read: {reason}") from None
    return parse(values, path.name)


def parse(values: Settings, source: str) -> Space:
    """Makes a space of what a file holds, and checks all of its points.

    Args:
      values: As JSON has them.
      source: Name of the file, for messages.

    Raises:
      ParameterError: It cannot be used.
    """
    given = {key: _take(values, key, source) for key in _KEYS}
    for key in values:
        if key not in _KEYS:
            raise parameters.UnknownWordError("key", key, _KEYS).at(f" in {source}")
    params = own_names(given["params"], source)
    axes, drawn, seeds = _read_entries(given["space"], params, source)
    points = _combine(given["config"], params, axes, source)
    space = Space(
        values,
        points,
        drawn,
        seeds,
        source=source,
        **{key: given[key] for key in ("samples", "metric", "search", "scheduler")},
    )
    _check_together(space)
    space.check()
    return space


def _check_together(space: Space) -> None:
    """Refuses what makes no sense together."""
    source = space.source
    if space.samples > 1 and not space.drawn:
        raise parameters.ParameterError(
            f"samples in {source} must be 1 where nothing is drawn, not "
            f"{space.samples}; a grid of seeds repeats runs"
        )
    if space.search == "optuna" and not space.drawn:
        message = f"search in {source} must be random where nothing is drawn"
        raise parameters.ParameterError(f"{message}, not 'optuna'")
    if len(space) > MAX_TRIALS:
        raise parameters.ParameterError(
            f"{source} has {len(space):,} trials, more than {MAX_TRIALS:,}"
        )
    if space.scheduler != "pbt":
        return
    if space.search != "random":
        message = f"search in {source} must be random with scheduler pbt"
        raise parameters.ParameterError(f"{message}, not {space.search!r}")
    if not space.drawn:
        message = f"{source} draws nothing that scheduler pbt could change"
        raise parameters.ParameterError(message)
    for key in space.drawn:
        if key not in MUTABLE:
            raise parameters.ParameterError(
                f"{key} in {source} cannot be drawn with scheduler pbt, which changes "
                f"runs as they go on; it may change {', '.join(MUTABLE)}"
            )


_KEYS: dict[str, tuple[Any, parameters.Kind]] = {
    "config": ("default", parameters.word),
    "params": ({}, parameters.mapping(str, lambda x: x, "names", "values")),
    "space": ({}, parameters.mapping(str, lambda x: x, "names", "values")),
    "metric": ("test_score", parameters.choice(METRICS, "metric")),
    "samples": (1, parameters.integer(1, MAX_TRIALS)),
    "search": ("random", parameters.choice(SEARCHES, "search")),
    "scheduler": ("none", parameters.choice(SCHEDULERS, "scheduler")),
}


def _take(values: Settings, key: str, source: str) -> Any:
    """The value of a key of the file, or its default."""
    default, kind = _KEYS[key]
    value = values.get(key)
    if value is None:
        value = default
    parameter = parameters.Parameter(default, kind, "")
    try:
        return parameters.plain(key, parameter, value, f" in {source}")
    except parameters.UnknownWordError as error:
        raise error.at(f" in {source}") from None


def own_names(params: Mapping[str, Any], source: str = "") -> Settings:
    """Settings by their own names; `config` is one."""
    others = {key: value for key, value in params.items() if key != "config"}
    place = f" in {source}"
    try:
        found = parameters.by_own_names(configs.PARAMETERS, others, place)
        for key, value in found.items():
            parameters.plain(key, configs.PARAMETERS[key], value, place)
    except parameters.UnknownWordError as error:
        raise error.at(place) from None
    config = {"config": params["config"]} if "config" in params else {}
    return config | found


def _read_entries(
    entries: Mapping[str, Any], params: Settings, source: str
) -> tuple[dict[str, list[tuple[str, Settings]]], dict[str, Distribution], list]:
    """Axes of the grid with a text and settings for each value; draws; and seeds."""
    axes, drawn, seeds = {}, {}, [params.get("seed")]
    owners = dict.fromkeys(params, "params")
    for name, entry in entries.items():
        if not isinstance(entry, Mapping) or len(entry) != 1:
            raise parameters.ParameterError(
                f"{name} in {source} must be one of {', '.join(KINDS)} with its "
                f"values, not {parameters.show(entry)}"
            )
        ((kind, arguments),) = entry.items()
        if kind not in KINDS:
            error = parameters.UnknownWordError(f"distribution of {name}", kind, KINDS)
            raise error.at(f" in {source}")
        keys = set()
        if kind == "variants":
            axes[name] = _read_variants(name, arguments, source)
            keys = {key for _, settings in axes[name] for key in settings}
            keys -= params.keys()  # A variant may override what is fixed.
        elif kind == "grid":
            values = _read_list(name, kind, arguments, source)
            axes[name] = [
                (_text(name, value), own_names({name: value}, source))
                for value in values
            ]
            keys = {*axes[name][0][1]}
        else:
            found = _read_distribution(name, kind, arguments, source)
            for value in found.examples:
                keys = {*own_names({name: value}, source)}
            drawn[min(keys) if len(keys) == 1 else name] = found
        for key in keys:
            if key in owners:
                places = f"{owners[key]} and {name}"
                raise parameters.ParameterError(f"{key} in {source} is set by {places}")
            owners[key] = name
    if "seed" in axes:
        seeds = [settings["seed"] for _, settings in axes.pop("seed")]
    if drawn.keys() & {"seed", "config"}:
        (key, *_) = drawn.keys() & {"seed", "config"}
        raise parameters.ParameterError(f"{key} in {source} takes a grid, not a draw")
    return axes, drawn, seeds


def _read_variants(name: str, variants: Any, source: str) -> list:
    """Texts and settings of variants."""
    if not isinstance(variants, Mapping) or not variants:
        raise parameters.ParameterError(
            f"variants of {name} in {source} must be a mapping from names to "
            f"parameters, not {parameters.show(variants)}"
        )
    result = []
    for variant, settings in variants.items():
        if not isinstance(settings, Mapping):
            raise parameters.ParameterError(
                f"variant {parameters.show(variant)} of {name} in {source} must be a "
                f"mapping of parameters, not {parameters.show(settings)}"
            )
        result.append((str(variant), own_names(settings, source)))
    return result


def _read_list(name: str, kind: str, arguments: Any, source: str) -> list:
    """Values of a grid or of a distribution."""
    if not isinstance(arguments, list) or not arguments:
        raise parameters.ParameterError(
            f"{kind} of {name} in {source} must be a list of "
            f"{DRAWN.get(kind, 'one or more values')}, not {parameters.show(arguments)}"
        )
    counts = collections.Counter(map(repr, arguments))
    if kind in ("grid", "choice") and max(counts.values()) > 1:
        text, _ = counts.most_common(1)[0]
        raise parameters.ParameterError(
            f"{kind} of {name} in {source} has {text} more than once"
        )
    return arguments


def _read_distribution(
    name: str, kind: str, arguments: Any, source: str
) -> Distribution:
    """A distribution whose limits are in order."""
    arguments = _read_list(name, kind, arguments, source)
    if kind == "choice":
        return Distribution(kind, tuple(arguments))
    whole, logarithmic = kind.endswith("randint"), kind.startswith("log")
    number = parameters.number(-1e18, whole=whole)
    try:
        numbers = [number(value) for value in arguments]
        if len(numbers) != (3 if kind == "quniform" else 2):
            raise ValueError
        low, high = numbers[:2]
        if low >= high or (logarithmic and low <= 0):
            raise ValueError
        if kind == "quniform" and not 0 < numbers[2] <= high - low:
            raise ValueError
    except ValueError:
        raise parameters.ParameterError(
            f"{kind} of {name} in {source} must be a list of {DRAWN[kind]}, in this "
            f"order, not {parameters.show(arguments)}"
        ) from None
    return Distribution(kind, tuple(numbers))


def _combine(
    config: str, params: Settings, axes: Mapping[str, list], source: str
) -> list[Point]:
    """All points of the grid."""
    amount = math.prod(len(values) for values in axes.values())
    if amount > MAX_TRIALS:
        message = (
            f"the grid in {source} has {amount:,} points, more than {MAX_TRIALS:,}"
        )
        raise parameters.ParameterError(message)
    words = collections.Counter(
        text for values in axes.values() for text in {text for text, _ in values}
    )
    points = []
    for chosen in itertools.product(*axes.values()):
        texts, settings = [], dict(params)
        for (name, values), (text, changed) in zip(axes.items(), chosen, strict=True):
            settings |= changed
            if len(values) > 1:
                texts.append(f"{name}={text}" if words[text] > 1 else text)
        start = settings.pop("config", config)
        if not isinstance(start, str):
            message = f"config in {source} must be a word, not {parameters.show(start)}"
            raise parameters.ParameterError(message)
        points.append(Point(texts, start, settings))
    return points


def _text(name: str, value: Any) -> str:
    """A value in a label; words and lists of words speak for themselves."""
    values = value if isinstance(value, list) else [value]
    speaks = all(isinstance(entry, str) for entry in values)
    text = "+".join(
        entry if isinstance(entry, str) else json.dumps(entry) for entry in values
    )
    return text if speaks else f"{name}={text}"


def _short(value: Any) -> str:
    """A drawn value in a label."""
    return f"{value:.3g}" if isinstance(value, float) else _text("", value).lstrip("=")


def _join(texts: Iterable[str]) -> str:
    """A label that can be the name of a folder."""
    text = re.sub(r"[^\w.,=+-]", "_", ",".join(texts)).strip(".-")
    if len(text.encode()) > MAX_LABEL:
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        text = f"{text[: MAX_LABEL // 2]}-{digest}"
    return text or "run"
