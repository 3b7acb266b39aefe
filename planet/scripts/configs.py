"""Every setting of an experiment, its default, and the named sets of settings.

A setting is one line in `PARAMETERS`; a named config is one function below it that
returns what it sets differently. What the user gives wins over both.
"""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections
from ruamel import yaml

from planet.scripts import tasks
from planet.tools import atomic_files
from planet.tools import parameters as kinds

# Classes and modules by name, as `module:attribute`, so that settings can be checked
# without importing TensorFlow.
MODELS = {
    "rssm": "planet.models.rssm:RSSM",
    "ssm": "planet.models.ssm:SSM",
    "rssm_ma": "planet.models.rssm_ma:MovingAverageRSSM",
    "drnn": "planet.models.drnn:DRNN",
    "rnn": "planet.models.rnn:RNN",
}
# Time-agnostic predictors of each model: the heads must fit, and there must be a
# distribution to compare.
TAP_CELLS = {
    "rssm": ("rssm", "rssm_ma"),
    "rssm_ma": ("rssm", "rssm_ma"),
    "ssm": ("ssm",),
    "drnn": ("drnn",),
    "rnn": (),
}
NETWORKS = {"conv_ha": "planet.networks.conv_ha"}
ACTIVATIONS = ("relu", "elu", "gelu", "selu", "silu", "softplus", "tanh")


def _task(value: Any) -> str:
    """A known task, or an environment by name, such as dmc:walker_run."""
    if ":" in kinds.word(value):  # `tasks.load` knows.
        return value
    return kinds.choice(tasks.names(), "task")(value)


def _tasks(value: Any) -> list[str]:
    """Names of known tasks; `all` stands for those of the one agent of the paper."""
    names = kinds.items(kinds.word)(value)
    if names == ["all"]:
        return list(tasks.ALL)
    for name in names:
        if name != "all":
            _task(name)
    if "all" in names or len(set(names)) < len(names):
        raise ValueError("a list of different tasks, or all")
    return names


_repeats = kinds.mapping(_task, kinds.integer(1, 1000), "tasks", "action repeats")

_P = kinds.Parameter
PARAMETERS = {
    # Environments.
    "tasks": _P(["cheetah_run"], _tasks, "list of tasks, or all"),
    "action_repeat": _P(
        None, kinds.optional(kinds.integer(1, 1000)), "null: each task's own"
    ),
    "action_repeats": _P({}, _repeats, "action repeat by task, unless action_repeat"),
    "isolate_envs": _P(
        "process",
        kinds.choice(("none", "thread", "process"), "isolate_envs"),
        "where environments run: none, thread, process",
    ),
    "observations": _P(
        "image",
        kinds.choice(("image", "state"), "observations"),
        "what the agent sees: image, or state, the numbers behind it",
    ),
    # Data.
    "batch_shape": _P(
        [8, 50], kinds.items(kinds.integer(1), 2), "sequences x steps of a batch"
    ),
    "num_chunks": _P(1, kinds.integer(1), "chunks cut from each loaded episode"),
    "image_bits": _P(5, kinds.integer(1, 8), "colour depth after quantisation"),
    "data_loader": _P(
        "scan",
        kinds.choice(("scan", "recent", "cache", "reload", "dummy"), "data loader"),
        "scan (or recent), cache, reload, dummy",
        "loader",
    ),
    "scan_episodes_every": _P(
        10,
        kinds.integer(1),
        "episodes yielded between scans of the folder",
        "loader_every",
    ),
    "max_episodes": _P(
        2000, kinds.integer(1), "how many of the newest episodes are used"
    ),
    # Networks and model.
    "network": _P("conv_ha", kinds.choice(NETWORKS, "network"), "encoder and decoder"),
    "dumbnet": _P(False, kinds.boolean, "tiny networks for quick tests"),
    "num_layers": _P(2, kinds.integer(0), "hidden layers of the feed-forward heads"),
    "num_units": _P(100, kinds.integer(1), "units of each of them"),
    "activation": _P(
        "relu", kinds.choice(ACTIVATIONS, "activation"), "and their activation"
    ),
    "model": _P(
        "rssm", kinds.choice(MODELS, "model"), "latent model: " + ", ".join(MODELS)
    ),
    "model_size": _P(
        200,
        kinds.one_or_more(kinds.integer(1)),
        "size of the belief and of hidden layers; lists make a clockwork model",
    ),
    "state_size": _P(
        30,
        kinds.one_or_more(kinds.integer(1)),
        "size of the stochastic state; a list for a clockwork model",
    ),
    "cw_tau": _P(
        1,
        kinds.one_or_more(kinds.integer(1)),
        "steps between the ticks of each clockwork sub-cell, the first being 1",
    ),
    "cell_as_prior": _P(
        0.0,
        kinds.number(0),
        "strength of a slow sub-cell as prior of the next faster one",
    ),
    "ma_ppn": _P(0.25, kinds.between(0, 1), "slow share of the sizes of rssm_ma"),
    "ma_alpha": _P(
        0.25, kinds.between(0, 1, True), "speed of the slow part of rssm_ma"
    ),
    "tap_cell": _P(
        None,
        kinds.optional(kinds.choice(MODELS, "model")),
        "model of the time-agnostic predictor; null: none",
    ),
    "drnn_sample_to_encoder": _P(True, kinds.boolean, "drnn: encoder sees last sample"),
    "drnn_decoder_to_encoder": _P(
        False, kinds.boolean, "drnn: encoder sees last decoder"
    ),
    "drnn_sample_to_sample": _P(True, kinds.boolean, "drnn: sample sees last sample"),
    "drnn_decoder_to_sample": _P(True, kinds.boolean, "drnn: sample sees last decoder"),
    "drnn_encoder_to_decoder": _P(
        False, kinds.boolean, "drnn: decoder sees last encoder"
    ),
    "drnn_action_to_decoder": _P(
        False, kinds.boolean, "drnn: decoder sees last action"
    ),
    "future_rnn": _P(False, kinds.boolean, "the prior is computed from the new belief"),
    "mean_only": _P(False, kinds.boolean, "states are means rather than samples"),
    "min_stddev": _P(0.1, kinds.number(0), "least standard deviation of states"),
    "gradient_heads": _P(
        ["image", "reward"],
        kinds.items(kinds.word),
        "heads that train the model; image stands for what is observed",
    ),
    # Losses.
    "image_loss_scale": _P(
        1.0, kinds.number(0), "scale of the loss of images, or of other observations"
    ),
    "reward_scale": _P(
        10.0, kinds.number(0), "scale of the reward loss", "reward_loss_scale"
    ),
    "divergence_scale": _P(1.0, kinds.number(0), "scale of KL(posterior, prior)"),
    "global_divergence_scale": _P(
        0.1, kinds.number(0), "scale of KL(posterior, N(0, I))", "global_div_scale"
    ),
    "free_nats": _P(2.0, kinds.number(0), "divergence below this is free"),
    "overshooting": _P(
        None,
        kinds.optional(kinds.integer(0)),
        "latent overshooting distance; null: steps - 1; 0 or 1: off",
        "overshooting_distance",
    ),
    "overshooting_reward_scale": _P(
        100.0, kinds.number(0), "scale of the overshooting reward loss"
    ),
    # Optimizer.
    "learning_rate": _P(
        1e-3, kinds.positive, "learning rate of Adam", "main_learning_rate"
    ),
    "learning_rate_ramp": _P(
        10_000, kinds.integer(0), "steps over which the learning rate rises from 0"
    ),
    "adam_epsilon": _P(1e-4, kinds.positive, "epsilon of Adam"),
    "gradient_clipping": _P(
        1000.0, kinds.positive, "largest global gradient norm", "main_gradient_clipping"
    ),
    # Schedule, in sequences.
    "train_steps": _P(50_000, kinds.integer(1), "sequences of a train phase"),
    "test_steps": _P(100, kinds.integer(1), "sequences of a test phase"),
    "max_steps": _P(
        20_000_000, kinds.integer(1), "sequences after which a run is done"
    ),
    "checkpoint_every": _P(
        None,
        kinds.optional(kinds.integer(1)),
        "sequences between checkpoints; null: after each test phase",
    ),
    # Collection of episodes.
    "num_seed_episodes": _P(
        5, kinds.integer(1), "random episodes at first, per task, to train and to test"
    ),
    "collect_every": _P(5000, kinds.integer(1), "sequences between collections"),
    "collect_batch_size": _P(1, kinds.integer(1), "episodes of a collection, per task"),
    "collect_test": _P(False, kinds.boolean, "collect episodes to test as well"),
    # Planning and exploration.
    "collect_horizons": _P(
        [12],
        kinds.items(kinds.integer(1)),
        "planning horizons to collect",
        "planner_horizon",
    ),
    "summary_horizons": _P(
        [12],
        kinds.items(kinds.integer(1)),
        "planning horizons to test",
        "planner_horizon",
    ),
    "cem_amount": _P(
        1000, kinds.integer(1), "candidates of each iteration", "planner_amount"
    ),
    "cem_topk": _P(
        100, kinds.integer(1), "of which these many are kept", "planner_topk"
    ),
    "cem_iterations": _P(
        10, kinds.integer(0), "iterations; 0: the initial mean", "planner_iterations"
    ),
    "discrete_action": _P(
        None,
        kinds.optional(kinds.boolean),
        "whether actions are one-hot; null: as the tasks'",
    ),
    "discrete_select": _P(
        "mode",
        kinds.choice(("best", "mode"), "discrete_select"),
        "which discrete action is taken: best (of the best sequence), mode (likeliest)",
    ),
    "discount": _P(0.99, kinds.number(0, 1), "discount of rewards while planning"),
    "warm_start": _P(
        False, kinds.boolean, "plan from the last plan, shifted by a step"
    ),
    "exploration_noises": _P(
        None,
        kinds.optional(kinds.items(kinds.number(0))),
        "standard deviation of action noise, or share of random actions where they "
        "are discrete, one or one per collect horizon; null: 0.3, or 0.1 if discrete",
        "train_action_noise",
    ),
    "exploration_ramps": _P(
        [0],
        kinds.items(kinds.integer(0)),
        "steps over which the noise rises, likewise; 0: constant",
    ),
    # Output.
    "summarise_plan_returns": _P(
        False, kinds.boolean, "histograms of the imagined returns of candidates"
    ),
    "collect_latents": _P(False, kinds.boolean, "save states of the model as npz"),
    "seed": _P(None, kinds.optional(kinds.integer(0, 2**32 - 1)), "seeds everything"),
    "checkpoint_to_load": _P(
        None,
        kinds.optional(kinds.word),
        "checkpoint whose weights a new run starts from",
    ),
}


def default() -> dict[str, Any]:
    """The defaults of the variant; train on cheetah_run with overshooting."""
    return {}


def newhp() -> dict[str, Any]:
    """Camera-ready hyper parameters: no overshooting, no global prior."""
    return {
        "future_rnn": True,
        "free_nats": 3.0,
        "overshooting": 0,
        "global_divergence_scale": 0.0,
        "overshooting_reward_scale": 0.0,
    }


def icml() -> dict[str, Any]:
    """Defaults of the public release of PlaNet: larger batches and heads."""
    return {
        "action_repeats": {"cup_catch": 4},
        "batch_shape": [50, 50],
        "num_layers": 3,
        "num_units": 300,
        "future_rnn": True,
        "free_nats": 3.0,
        "overshooting": 0,
        "global_divergence_scale": 0.0,
        "learning_rate_ramp": 0,
    }


def debug() -> dict[str, Any]:
    """Reaches every line of code within minutes, at tiny sizes."""
    return {
        "action_repeat": 50,
        "batch_shape": [5, 10],
        "num_layers": 1,
        "num_units": 10,
        "model_size": 10,
        "state_size": 5,
        "train_steps": 10,
        "test_steps": 10,
        "max_steps": 500,
        "num_seed_episodes": 1,
        "collect_every": 10,
        "cem_amount": 5,
        "cem_topk": 2,
        "cem_iterations": 2,
    }


CONFIGS = {config.__name__: config for config in (default, newhp, icml, debug)}


def load(
    name: str,
    params: Mapping[str, Any],
    logdir: str | os.PathLike | None = None,
    source: str | None = None,
) -> ml_collections.ConfigDict:
    """Settings of an experiment: the defaults, a named config's, and the user's.

    Args:
      name: Name of one of `CONFIGS`.
      params: Settings that win over those, by name or alias.
      logdir: Folder of the run, kept as `config.logdir`.
      source: Where `params` were given, for messages.

    Returns:
      Locked mapping with a value for each of `PARAMETERS`, `config_name`, `logdir`,
      and the derived `cell_class`, `tap_class` (`module:class` or None) and
      `network_module`.

    Raises:
      kinds.ParameterError: An unknown name or a value that cannot be used.
    """
    if name not in CONFIGS:
        raise kinds.UnknownWordError("config", name, CONFIGS).at("")
    place = f" in {source}" if source else ""
    try:
        values = {key: parameter.default for key, parameter in PARAMETERS.items()}
        values |= CONFIGS[name]() | kinds.by_own_names(PARAMETERS, params, place)
        values = {
            key: kinds.plain(key, parameter, values[key], place)
            for key, parameter in PARAMETERS.items()
        }
        chosen = tasks.load(ml_collections.ConfigDict(values, convert_dict=False))
        _resolve(values, chosen)
        config = ml_collections.ConfigDict(values, convert_dict=False)
        config.config_name = name
        config.logdir = None if logdir is None else os.fspath(logdir)
        config.cell_class = MODELS[config.model]
        config.tap_class = MODELS[config.tap_cell] if config.tap_cell else None
        config.network_module = NETWORKS[config.network]
    except kinds.UnknownWordError as error:
        raise error.at(place) from None
    except tasks.TaskError as error:
        raise kinds.ParameterError(str(error)) from None
    return config.lock()


def save(config: ml_collections.ConfigDict, path: str | os.PathLike) -> None:
    """Writes the settings as plain YAML, at once or not at all."""
    values = {key: config[key] for key in ("config_name", *PARAMETERS)}
    writer = yaml.YAML(typ="safe", pure=True)
    writer.default_flow_style = None  # Lists in one line.
    writer.sort_base_mapping_type_on_output = False
    with atomic_files.writing(pathlib.Path(path)) as stream:
        writer.dump(values, stream)


def read(path: str | os.PathLike) -> ml_collections.ConfigDict:
    """Settings that `save` wrote into a run's folder, which becomes `config.logdir`.

    Raises:
      kinds.ParameterError: The file is not one that `save` could have written.
    """
    path = pathlib.Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise kinds.ParameterError(f"{path} is not a text file") from None
    values = kinds.parse(text, str(path))
    name = values.pop("config_name", None)
    return load(name, values, path.parent, source=str(path))


def differences(
    lhs: ml_collections.ConfigDict, rhs: ml_collections.ConfigDict
) -> list[str]:
    """Names of the parameters that differ between two configs."""
    return [key for key in PARAMETERS if lhs[key] != rhs[key]]


def _resolve(values: dict[str, Any], chosen: Sequence[tasks.Task]) -> None:
    """Settles the settings that depend on one another, or on the tasks, in place."""
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
    if values["exploration_noises"] is None:
        values["exploration_noises"] = [0.1 if discrete else 0.3]
    if discrete and max(values["exploration_noises"]) > 1:
        raise kinds.ParameterError(
            "exploration_noises must be at most 1, the share of random actions, where "
            f"actions are discrete, not {kinds.show(values['exploration_noises'])}"
        )
    horizons = len(values["collect_horizons"])
    for key in ("exploration_noises", "exploration_ramps"):
        if len(values[key]) == 1:
            values[key] = values[key] * horizons
        if len(values[key]) != horizons:
            raise kinds.ParameterError(
                f"{key} must be one value, or as many as the {horizons} of "
                f"collect_horizons, not {len(values[key])}"
            )
    _check_model(values)
    _resolve_heads(values, chosen)


def _check_model(values: dict[str, Any]) -> None:
    """Refuses settings that do not make a model together."""
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
    predictors = TAP_CELLS[values["model"]]
    if values["tap_cell"] not in (None, *predictors):
        raise kinds.ParameterError(
            f"tap_cell must be {', '.join(predictors) or 'null'} for a model "
            f"{values['model']!r}, not {values['tap_cell']!r}"
        )


def _resolve_heads(values: dict[str, Any], chosen: Sequence[tasks.Task]) -> None:
    """Names the head of what is observed; refuses heads that none of the tasks has."""
    diagnostics = {name for task in chosen for name in task.state_components}
    observed = values["observations"]
    known = kinds.choice([observed, "reward", *sorted(diagnostics)], "head")
    values["gradient_heads"] = [
        known(observed if head == "image" else head)
        for head in values["gradient_heads"]
    ]
