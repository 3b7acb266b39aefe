"""Every setting of an experiment, its default, and the named sets of settings.

A setting is one line in `PARAMETERS`; a named config is one function below it that
returns the settings it changes. What the user sets overrides both.
"""

import os
from collections.abc import Mapping
from typing import Any

import ml_collections

from planet.control.planners import PLANNERS
from planet.scripts import rules, tasks
from planet.tools import parameters as kinds
from planet.tools import ray_cluster

# Latent models as `module:class`, and modules of networks, so that settings can be
# checked without importing TensorFlow.
MODELS = {
    "rssm": "planet.models.rssm:RSSM",
    "ssm": "planet.models.ssm:SSM",
    "rssm_ma": "planet.models.rssm_ma:MovingAverageRSSM",
    "drnn": "planet.models.drnn:DRNN",
    "rnn": "planet.models.rnn:RNN",
}
NETWORKS = {"conv_ha": "planet.networks.conv_ha"}
ACTIVATIONS = ("relu", "elu", "gelu", "selu", "silu", "softplus", "tanh")


_P = kinds.Parameter
PARAMETERS = {
    # Environments.
    "tasks": _P(["cheetah_run"], rules.tasks, "list of tasks, or all"),
    "action_repeat": _P(
        None, kinds.optional(kinds.integer(1, 1000)), "null: each task's default"
    ),
    "action_repeats": _P(
        {}, rules.repeats, "action repeat by task, unless action_repeat is set"
    ),
    "isolate_envs": _P(
        "process",
        kinds.choice(("none", "thread", "process"), "isolate_envs"),
        "where environments run: none, thread, process",
    ),
    "env_timeout": _P(
        120,
        kinds.positive,
        "seconds without an answer after which an environment counts as hung",
    ),
    "observations": _P(
        "image",
        kinds.choice(("image", "state"), "observations"),
        "what the agent sees: image, or state (the numbers behind it)",
    ),
    "image_key": _P(
        None,
        kinds.optional(kinds.word),
        "environments by name: name of the image among their observations; null: image",
    ),
    "env_params": _P(
        {},
        kinds.keywords,
        "environments by name: keyword arguments of their constructor",
    ),
    "episode_steps": _P(
        rules.EPISODE_STEPS,
        kinds.integer(1, 10**9),
        "steps of the environment after which an episode is cut, repeated actions "
        "included",
    ),
    # Data.
    "batch_shape": _P(
        [8, 50], kinds.items(kinds.integer(1), 2), "sequences x steps per batch"
    ),
    "num_chunks": _P(1, kinds.integer(1), "chunks cut from each loaded episode"),
    "image_bits": _P(
        5,
        kinds.integer(1, 8),
        "colour depth after quantisation",
        pg_alias="bit_depth",
    ),
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
    "max_cache": _P(
        None,
        kinds.optional(kinds.number(0)),
        "memory for the cached episodes of each phase, in GB; null: a quarter of what "
        "is free",
    ),
    "max_episodes": _P(
        2000, kinds.integer(1), "how many of the newest episodes to use"
    ),
    # Networks and model.
    "network": _P("conv_ha", rules.named(NETWORKS, "network"), "encoder and decoder"),
    "cnn_depth": _P(
        32, kinds.integer(1), "filters of the first convolution; others scale along"
    ),
    "dumbnet": _P(False, kinds.boolean, "tiny networks for quick tests"),
    "num_layers": _P(2, kinds.integer(0), "hidden layers of the feed-forward heads"),
    "num_units": _P(100, kinds.integer(1), "units of each of these layers"),
    "activation": _P(
        "relu", kinds.choice(ACTIVATIONS, "activation"), "activation of these layers"
    ),
    "model": _P(
        "rssm", rules.named(MODELS, "model"), "latent model: " + ", ".join(MODELS)
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
        "steps between the ticks of each clockwork sub-cell; the first must be 1",
    ),
    "cell_as_prior": _P(
        0.0,
        kinds.number(0),
        "strength of a slow sub-cell as the prior of the next faster one",
    ),
    "ma_ppn": _P(
        0.25, kinds.between(0, 1), "rssm_ma: share of the slow part in all sizes"
    ),
    "ma_alpha": _P(
        0.25,
        kinds.between(0, 1, True),
        "rssm_ma: weight of the new state in the slow part",
    ),
    "tap_cell": _P(
        None,
        kinds.optional(rules.named(MODELS, "model")),
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
    "min_stddev": _P(0.1, kinds.number(0), "smallest standard deviation of states"),
    "gradient_heads": _P(
        ["image", "reward"],
        kinds.items(kinds.word),
        "heads that train the model; image stands for whatever is observed",
    ),
    "precision": _P(
        "float32",
        kinds.choice(("float32", "bfloat16", "auto"), "precision"),
        "what products and convolutions multiply; auto: whatever is faster here",
    ),
    "tf32": _P(
        False, kinds.boolean, "whether GPUs may multiply 19 of the bits of a float32"
    ),
    "jit": _P(
        "auto",
        kinds.choice(("auto", "always", "never"), "jit"),
        "whether XLA compiles updates and decisions; auto: on accelerators",
    ),
    "distribute": _P(
        "none",
        kinds.choice(("none", "mirrored", "multi_worker"), "distribute"),
        "who computes updates, each with a share of the batch: none, mirrored (all "
        "accelerators of this machine), multi_worker (those of the processes in "
        "TF_CONFIG, too); the command's counts, whatever a run had",
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
        0.1,
        kinds.number(0),
        "scale of KL(posterior, N(0, I))",
        "global_div_scale",
        "global_kl_beta",
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
    "learning_rate_drop": _P(
        None,
        kinds.optional(kinds.integer(1)),
        "steps of training after which the learning rate is 0.3 times as high; null: "
        "never",
    ),
    "adam_epsilon": _P(1e-4, kinds.positive, "epsilon of Adam"),
    "gradient_clipping": _P(
        1000.0,
        kinds.positive,
        "largest global gradient norm",
        "main_gradient_clipping",
        "grad_clip_norm",
    ),
    # Policy and value, beside the model.
    "use_policy": _P(False, kinds.boolean, "learn a policy from what was done"),
    "stoch_policy": _P(
        False,
        kinds.boolean,
        "fit a Gaussian policy by likelihood, not a point by squared error",
    ),
    "detach_policy": _P(
        True, kinds.boolean, "policy and value do not shape the model's states"
    ),
    "use_value": _P(
        False,
        kinds.boolean,
        "learn the return of states; the policy then prefers actions that beat it",
    ),
    "marwil_kappa": _P(
        1.0, kinds.number(0), "strength of that preference; 0: all actions alike"
    ),
    "marwil_rate": _P(
        1e-2,
        kinds.between(0, 1, True),
        "weight of a batch in the moving mean of squared advantages",
    ),
    "policy_reduce": _P(
        "mean",
        kinds.choice(("mean", "sum"), "policy_reduce"),
        "loss of the policy over all steps of a batch: mean, sum",
    ),
    "policy_lr": _P(1e-3, kinds.positive, "learning rate of the policy"),
    "value_lr": _P(2e-3, kinds.positive, "learning rate of the value"),
    "policy_adam": _P(1e-8, kinds.positive, "epsilon of the policy's Adam"),
    "value_adam": _P(1e-8, kinds.positive, "epsilon of the value's Adam"),
    # Schedule, in sequences.
    "train_steps": _P(50_000, kinds.integer(1), "sequences of a train phase"),
    "test_steps": _P(100, kinds.integer(1), "sequences of a test phase"),
    "test_episodes": _P(
        1, kinds.integer(1), "episodes of a test phase, for each task and horizon"
    ),
    "max_steps": _P(
        20_000_000, kinds.integer(1), "sequences after which a run is done"
    ),
    "checkpoint_every": _P(
        None,
        kinds.optional(kinds.integer(1)),
        "sequences between checkpoints; null: after each test phase",
    ),
    "checkpoint_minutes": _P(
        10,
        kinds.optional(kinds.positive),
        "minutes after which there is a checkpoint in any case; null: never",
    ),
    # Collection of episodes.
    "num_seed_episodes": _P(
        5,
        kinds.integer(1),
        "initial random episodes per task, for each of train and test",
        pg_alias="seed_episodes",
    ),
    "seed_dataset": _P(
        None,
        kinds.optional(kinds.word),
        "episodes to start from instead of random ones: a run, a folder of its "
        "episodes, or minari:NAME",
    ),
    "collect_every": _P(5000, kinds.integer(1), "sequences between collections"),
    "collect_batch_size": _P(
        1,
        kinds.integer(1),
        "episodes per collection and task, played at once by as many environments",
    ),
    "collect_test": _P(False, kinds.boolean, "collect test episodes as well"),
    "collectors": _P(
        0,
        kinds.integer(0, 1000),
        "processes, here or on other machines, that collect while the learner goes on; "
        "needs the extra ray; 0: the learner collects itself, and waits",
    ),
    "max_updates_ahead": _P(
        None,
        kinds.optional(kinds.integer(0)),
        "collectors: updates past the moment when an episode is due, after which the "
        "learner waits for it; null: as many as lie between two episodes",
    ),
    "ray_address": _P(
        None,
        kinds.optional(ray_cluster.check_address),
        "collectors: Ray cluster to run them on, auto or HOST:PORT; null: a local Ray "
        "that ends with the run",
    ),
    # Planning and exploration.
    "planner": _P(
        "cem",
        rules.named(PLANNERS, "planner"),
        "how to search for plans: " + ", ".join(PLANNERS),
    ),
    "collect_horizons": _P(
        [rules.HORIZON],
        kinds.optional(kinds.items(kinds.integer(1))),
        "planning horizons for collection; null: what is enough for the task",
        "planner_horizon",
        "planning_horizon",
    ),
    "summary_horizons": _P(
        [rules.HORIZON],
        kinds.optional(kinds.items(kinds.integer(1))),
        "planning horizons for test episodes; null: what is enough for the task",
        "planner_horizon",
        "planning_horizon",
    ),
    "cem_amount": _P(
        1000,
        kinds.integer(1),
        "candidates per iteration",
        "planner_amount",
        "candidates",
    ),
    "cem_topk": _P(
        100,
        kinds.integer(1),
        "elites per iteration",
        "planner_topk",
        "top_candidates",
    ),
    "cem_iterations": _P(
        10,
        kinds.integer(0),
        "iterations; 0: the initial mean",
        "planner_iterations",
        "optimisation_iters",
    ),
    "initial_sigma": _P(
        None,
        kinds.optional(kinds.positive),
        "standard deviation with which a search starts; 0.1 suits pop_p; null: 1, or "
        "3 if discrete, where pop_a2 adds it to logits",
    ),
    "icem_beta": _P(
        2.0, kinds.number(0), "icem: exponent of the noise's power law; 0: white noise"
    ),
    "icem_decay": _P(
        1.25,
        kinds.number(1),
        "icem: by what each iteration divides the number of candidates",
    ),
    "icem_keep": _P(
        0.3,
        kinds.between(0, 1, True),
        "icem: share of the elites that are candidates again; always at least one",
    ),
    "icem_momentum": _P(
        0.1, kinds.number(0, 1), "icem: share of the last belief that a refit leaves"
    ),
    "mppi_gamma": _P(
        2.0, kinds.number(0), "mppi: sharpness of the weights, per unit of return"
    ),
    "mppi_beta": _P(
        0.6, kinds.number(0, 1), "mppi: share of the last belief that a refit leaves"
    ),
    "discrete_action": _P(
        None,
        kinds.optional(kinds.boolean),
        "whether actions are one-hot; null: as in the tasks",
    ),
    "discrete_select": _P(
        "mode",
        kinds.choice(("best", "mode", "sample"), "discrete_select"),
        "which discrete action is taken: mode (likeliest), sample (drawn), or best "
        "(that of the best sequence)",
    ),
    "discrete_smoothing": _P(
        0.2,
        kinds.number(0, 1),
        "share of a warm start's chances that is spread evenly over discrete actions",
    ),
    "discount": _P(
        0.99, kinds.number(0, 1), "discount of rewards while planning, and in returns"
    ),
    "warm_start": _P(
        False, kinds.boolean, "start from the last plan, shifted by one step"
    ),
    "exploration_noises": _P(
        None,
        kinds.optional(kinds.items(kinds.number(0))),
        "standard deviation of action noise, or probability of a random action where "
        "actions are discrete; one value, or one per collect horizon; null: 0.3, or "
        "0.1 if discrete",
        "train_action_noise",
    ),
    "exploration_ramps": _P(
        [0],
        kinds.items(kinds.integer(0)),
        "steps over which the noise rises from 0; as many values; 0: constant",
    ),
    # Output.
    "summarise_plan_returns": _P(
        False, kinds.boolean, "histograms of the imagined returns of candidates"
    ),
    "collect_latents": _P(False, kinds.boolean, "save model states as npz"),
    "seed": _P(
        None, kinds.optional(kinds.integer(0, 2**32 - 1)), "seed of all randomness"
    ),
    "checkpoint_to_load": _P(
        None,
        kinds.optional(kinds.word),
        "a new run starts from these weights: RUN (its newest checkpoint), RUN@STEP, "
        "RUN@best, or the path of a checkpoint",
    ),
}


def default() -> dict[str, Any]:
    """Defaults of the variant: cheetah_run, with latent overshooting."""
    return {}


def newhp() -> dict[str, Any]:
    """Camera-ready hyperparameters: no overshooting, no global prior."""
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


def cpu() -> dict[str, Any]:
    """Sized for two cores: thin networks, small batches, guided search."""
    return {
        **newhp(),
        "cnn_depth": 16,
        "batch_shape": [16, 20],
        "image_loss_scale": 10.0,
        "reward_scale": 100.0,
        "free_nats": 1.0,
        "learning_rate_ramp": 0,
        "learning_rate_drop": 80_000,
        "collect_horizons": None,
        "summary_horizons": None,
        "planner": "pop_a2",
        "use_policy": True,
        "stoch_policy": True,
        "use_value": True,
        "marwil_kappa": 0.7,
        "cem_amount": 100,
        "cem_topk": 10,
        "cem_iterations": 5,
        "train_steps": 8000,
        "test_steps": 160,
        "max_steps": 230_000,
        "num_seed_episodes": 10,
        "collect_every": 8000,
        "collect_batch_size": 5,
        "precision": "auto",
    }


def debug() -> dict[str, Any]:
    """Tiny sizes, to exercise all of the code within minutes."""
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


CONFIGS = {config.__name__: config for config in (default, newhp, icml, cpu, debug)}


def load(
    name: str,
    params: Mapping[str, Any],
    logdir: str | os.PathLike | None = None,
    source: str | None = None,
) -> ml_collections.ConfigDict:
    """Settings of an experiment: defaults, a named config's changes, and the user's.

    Args:
      name: Name of one of `CONFIGS`.
      params: Settings that override those, by name or alias.
      logdir: Folder of the run, kept as `config.logdir`.
      source: Where `params` were given, for messages.

    Returns:
      Locked mapping with a value for each of `PARAMETERS`, `config_name`, `logdir`,
      and what `rules.find_classes` derives.

    Raises:
      ParameterError: An unknown name or a value that cannot be used.
    """
    place = f" in {source}" if source else ""
    if name not in CONFIGS:
        raise kinds.UnknownWordError("config", name, CONFIGS).at("")
    try:
        given = CONFIGS[name]() | kinds.by_own_names(PARAMETERS, params, place)
        values = {
            key: kinds.plain(key, parameter, given.get(key, parameter.default), place)
            for key, parameter in PARAMETERS.items()
        }
        chosen = tasks.load(ml_collections.ConfigDict(values, convert_dict=False))
        rules.resolve(values, chosen)
        rules.find_classes(values, MODELS, NETWORKS)
    except kinds.UnknownWordError as error:
        raise error.at(place) from None
    except tasks.TaskError as error:
        raise kinds.ParameterError(str(error)) from None
    logdir = None if logdir is None else os.fspath(logdir)
    values |= {"config_name": name, "logdir": logdir}
    return ml_collections.ConfigDict(values, convert_dict=False).lock()
