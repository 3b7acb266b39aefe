import dataclasses
import sys

import pytest
from ruamel import yaml

from planet.scripts import configs, rules, runs, tasks
from planet.tools import parameters
from tests import experiments

EXPERIMENTS = experiments.read()
# Settings that result from some of the experiments.
RESULTING = {
    "PlaNet": {"tasks": ["cheetah_run"], "overshooting": 49, "model": "rssm"},
    "camera-ready": {"future_rnn": True, "free_nats": 3.0, "overshooting": 0},
    "random collection": {"cem_iterations": 0, "exploration_noises": [1.0]},
    "one agent, all tasks": {"tasks": list(tasks.ALL), "collect_every": 30_000},
    "discrete actions": {"discrete_action": True, "exploration_noises": [0.1]},
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiments_are_what_their_parameters_say(name):
    config_name, params = EXPERIMENTS[name]
    config = configs.load(config_name, params)
    params = parameters.by_own_names(configs.PARAMETERS, params)
    expected = {k: v for k, v in params.items() if v != "all"}
    expected |= RESULTING.get(name, {})
    assert {key: config[key] for key in expected} == expected


def test_all_experiments_are_read():
    assert len(EXPERIMENTS) == 24
    assert RESULTING.keys() <= EXPERIMENTS.keys()


def test_camera_ready_by_name_and_by_parameters_is_the_same():
    by_parameters = configs.load(
        "default",
        {
            "future_rnn": True,
            "free_nats": 3.0,
            "overshooting": 0,
            "global_divergence_scale": 0.0,
            "overshooting_reward_scale": 0.0,
        },
    )
    assert runs.differences(configs.load("newhp", {}), by_parameters) == []


def test_named_configs():
    icml = configs.load("icml", {"tasks": ["cup_catch"]})
    assert (icml.batch_shape, icml.num_layers, icml.num_units) == ([50, 50], 3, 300)
    assert (icml.free_nats, icml.learning_rate_ramp, icml.overshooting) == (3.0, 0, 0)
    assert icml.future_rnn
    assert tasks.load(icml)[0].max_length == 1000 // 4
    debug = configs.load("debug", {})
    assert (debug.action_repeat, debug.overshooting, debug.max_steps) == (50, 9, 500)
    assert (debug.cem_amount, debug.cem_topk, debug.cem_iterations) == (5, 2, 2)


@pytest.mark.parametrize("name", configs.CONFIGS)
def test_user_wins_over_config(name):
    params = {"free_nats": 1.5, "batch_shape": [3, 7], "model_size": 11}
    config = configs.load(name, params)
    assert {key: config[key] for key in params} == params


def test_names_of_pg():
    theirs = {
        "bit_depth": 4,
        "candidates": 500,
        "global_kl_beta": 0.2,
        "grad_clip_norm": 100,
        "optimisation_iters": 7,
        "planning_horizon": 6,
        "seed_episodes": 3,
        "top_candidates": 50,
    }
    config = configs.load("default", theirs)
    assert config.summary_horizons == config.collect_horizons == [6]
    ours = (
        config.image_bits,
        config.cem_amount,
        config.global_divergence_scale,
        config.gradient_clipping,
        config.cem_iterations,
        config.num_seed_episodes,
        config.cem_topk,
    )
    assert ours == (4, 500, 0.2, 100, 7, 3, 50)


@pytest.mark.parametrize(
    ("key", "alias"),
    [
        (key, alias)
        for key, value in configs.PARAMETERS.items()
        for alias in value.aliases
    ],
)
def test_aliases(key, alias):
    value = {"data_loader": "cache", "cem_amount": 200}.get(key, 7)
    by_alias = configs.load("default", {alias: value})
    assert by_alias[key] == configs.load("default", {key: value})[key]
    assert by_alias[key] != configs.load("default", {})[key]
    with pytest.raises(parameters.ParameterError, match="are names of one parameter"):
        configs.load("default", {key: value, alias: value})


def test_alias_of_two_parameters():
    config = configs.load("default", {"planner_horizon": 7})
    assert config.collect_horizons == config.summary_horizons == [7]


def test_horizons_of_the_task():
    horizons = {
        name: tasks.load(tasks.Selection([name]))[0].horizon for name in tasks.names()
    }
    measured = [name for name, horizon in horizons.items() if horizon]
    assert measured
    for name in (*measured, "dummy"):
        config = configs.load("cpu", {"tasks": [name]})
        assert config.collect_horizons == [horizons[name] or 12]
        params = {"tasks": [name], "planner_horizon": None}
        assert configs.load("newhp", params).summary_horizons == [horizons[name] or 12]
    together = ["cartpole_balance_da", "cartpole_swingup_da"]
    longest = max(horizons[name] or 12 for name in together)
    assert configs.load("cpu", {"tasks": together}).summary_horizons == [longest]
    assert configs.load("cpu", {"planner_horizon": 5}).collect_horizons == [5]


def test_horizons_are_in_time():
    horizons = [
        configs.load(
            "cpu", {"tasks": ["cartpole_balance"], "action_repeat": repeat}
        ).collect_horizons[0]
        for repeat in (8, 4, 16)
    ]
    assert horizons == [horizons[0], 2 * horizons[0], horizons[0] / 2]


@pytest.mark.parametrize("name", [name for name in configs.CONFIGS if name != "cpu"])
def test_horizons_of_the_original(name):
    config = configs.load(name, {"tasks": ["cartpole_balance_da"], "action_repeat": 4})
    assert config.collect_horizons == config.summary_horizons == [12]


def test_warning_of_short_horizons():
    (task,) = tasks.load(tasks.Selection(["dummy"]))
    ceilings = {0.48: 515.4, 0.96: 985.0, 1.92: 990.0}
    task = dataclasses.replace(task, seconds=0.04, ceilings=ceilings)

    def warn(collect, test, task=task):
        values = {"collect_horizons": collect, "summary_horizons": test}
        return rules.warn_of_short_horizons(values, [task])

    assert warn([12], [12]) == [
        "Horizon 12 sees 0.48 s ahead. With a perfect model, 0.48 s reach 515 in "
        "dummy, but 0.96 s, a horizon of 24, 985."
    ]
    (line,) = warn([30], [24, 20])
    assert line.startswith("Horizon 20 sees 0.80 s ahead. With a perfect model, 0.48 s")
    assert warn([24], [30]) == []
    assert warn([11], [11]) == []  # Not measured.
    assert warn([1], [1], dataclasses.replace(task, ceilings={})) == []


def test_plain_forms():
    config = configs.load(
        "default",
        {
            "tasks": "cup_catch",
            "max_steps": 2e7,
            "free_nats": 1,
            "collect_horizons": (6, 12),
            "summary_horizons": 8,
            "exploration_noises": [0.1, 0.2],
        },
    )
    assert config.tasks == ["cup_catch"]
    assert isinstance(config.max_steps, int)
    assert isinstance(config.free_nats, float)
    assert (config.collect_horizons, config.summary_horizons) == ([6, 12], [8])
    assert (config.exploration_noises, config.exploration_ramps) == ([0.1, 0.2], [0, 0])


def test_derived_settings():
    config = configs.load("default", {}, logdir="somewhere")
    assert (config.config_name, config.logdir) == ("default", "somewhere")
    assert config.overshooting == config.batch_shape[1] - 1
    assert config.cell_class == "planet.models.rssm:RSSM"
    assert config.network_module == "planet.networks.conv_ha"
    assert "cell_class" not in configs.PARAMETERS


def test_settings_cannot_be_added():
    with pytest.raises(AttributeError):
        configs.load("default", {}).cem_amont = 3


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"cem_amont": 3},
            "unknown parameter 'cem_amont' in --params; did you mean 'cem_amount'?",
        ),
        (
            {"planner_horizn": 3},
            "unknown parameter 'planner_horizn' in --params; "
            "did you mean 'planner_horizon'?",
        ),
        (
            {"tasks": ["cheetah_walk"]},
            "unknown task 'cheetah_walk' in --params; did you mean 'cheetah_run'?",
        ),
        (
            {"model": "RSM"},
            "unknown model 'RSM' in --params; did you mean 'rssm'?",
        ),
        (
            {"gradient_heads": ["image", "rewards"]},
            "unknown head 'rewards' in --params; did you mean 'reward'?",
        ),
        (
            {"data_loader": "cash"},
            "unknown data loader 'cash' in --params; did you mean 'cache'?",
        ),
        (
            {"isolate_envs": "processes"},
            "unknown isolate_envs 'processes' in --params; did you mean 'process'?",
        ),
        (
            {"action_repeats": {"all": 3}},
            "unknown task 'all' in --params; known: 'cartpole_balance', "
            "'cartpole_swingup', 'cartpole_balance_da', … (19 in all)",
        ),
        (
            {"action_repeats": {"cupcatch": 3}},
            "unknown task 'cupcatch' in --params; did you mean 'cup_catch'?",
        ),
        (
            {"cem_amount": 1.5},
            "cem_amount in --params must be a whole number of at least 1, not 1.5",
        ),
        (
            {"mean_only": "yes"},
            "mean_only in --params must be true or false, not 'yes'",
        ),
        (
            {"batch_shape": [8]},
            "batch_shape in --params must be a list of 2 values, not [8]",
        ),
        (
            {"seed": -1},
            "seed in --params must be a whole number from 0 to 4294967295, or null, "
            "not -1",
        ),
        (
            {"overshooting": 50},
            "overshooting must be at most 49 (the steps of batch_shape less 1), not 50",
        ),
        (
            {"cem_topk": 1001},
            "cem_topk must be at most 1000 (cem_amount), not 1001",
        ),
        (
            {"model_size": [100, 100], "state_size": [15, 15]},
            "state_size, model_size and cw_tau must be three numbers or three lists of "
            "equal length, not [15, 15], [100, 100] and 1",
        ),
        (
            {"model_size": [100, 100], "state_size": [15], "cw_tau": [1, 4]},
            "state_size, model_size and cw_tau must be three numbers or three lists of "
            "equal length, not [15], [100, 100] and [1, 4]",
        ),
        (
            {"model_size": [9, 9], "state_size": [5, 5], "cw_tau": [2, 4]},
            "cw_tau must start with 1, not 2",
        ),
        ({"cw_tau": 3}, "cw_tau must start with 1, not 3"),
        (
            {"model_size": [9, 9], "state_size": [5, 5], "cw_tau": [1, 1.5]},
            "cw_tau in --params must be a whole number of at least 1, or a list of "
            "such, not [1, 1.5]",
        ),
        (
            {"cell_as_prior": 0.1},
            "cell_as_prior must be 0 unless state_size and model_size are lists of two "
            "or more equal sizes, not 30 and 200",
        ),
        (
            {
                "model_size": [9, 9],
                "state_size": [5, 6],
                "cw_tau": [1, 2],
                "cell_as_prior": 0.1,
            },
            "cell_as_prior must be 0 unless state_size and model_size are lists of two "
            "or more equal sizes, not [5, 6] and [9, 9]",
        ),
        (
            {"ma_ppn": 1.0},
            "ma_ppn in --params must be a number in (0, 1), not 1.0",
        ),
        (
            {"ma_alpha": 0},
            "ma_alpha in --params must be a number in (0, 1], not 0",
        ),
        (
            {"model": "rssm_ma", "ma_ppn": 0.01},
            "ma_ppn must leave neither part of state_size and model_size empty, as "
            "0.01 does for a size of 30",
        ),
        (
            {"tap_cell": "rnn"},
            "tap_cell must be rssm, rssm_ma for a model 'rssm', not 'rnn'",
        ),
        (
            {"model": "rnn", "tap_cell": "rssm"},
            "tap_cell must be null for a model 'rnn', not 'rssm'",
        ),
        (
            {"tap_cell": "rsm"},
            "unknown model 'rsm' in --params; did you mean 'rssm'?",
        ),
        (
            {"use_value": True, "batch_shape": [8, 1]},
            "batch_shape must have at least 2 steps with use_value, which learns from "
            "what follows a step, not [8, 1]",
        ),
        (
            {"policy_reduce": "average"},
            "unknown policy_reduce 'average' in --params; known: 'mean', 'sum'",
        ),
        (
            {"marwil_rate": 0},
            "marwil_rate in --params must be a number in (0, 1], not 0",
        ),
        (
            {"planner": "icm"},
            "unknown planner 'icm' in --params; did you mean 'icem'?",
        ),
        (
            {"planner": "pop_p"},
            "use_policy must be true for planner 'pop_p', which needs a policy, not "
            "false",
        ),
        (
            {"planner": "pop_p", "use_policy": True, "tasks": ["cartpole_balance_da"]},
            "planner must be one of cem, icem, mppi, pop_a1, pop_a2, policy, real "
            "where actions are discrete, not 'pop_p'",
        ),
        (
            {"initial_sigma": 0},
            "initial_sigma in --params must be a number above 0, or null, not 0",
        ),
        (
            {"icem_decay": 0.8},
            "icem_decay in --params must be a number of at least 1, not 0.8",
        ),
        (
            {"icem_keep": 0},
            "icem_keep in --params must be a number in (0, 1], not 0",
        ),
        (
            {"mppi_beta": 1.5},
            "mppi_beta in --params must be a number from 0 to 1, not 1.5",
        ),
        (
            {"collect_horizons": [6, 12, 24], "exploration_noises": [0.1, 0.2]},
            "exploration_noises must be one value, or as many as the 3 of "
            "collect_horizons, not 2",
        ),
    ],
)
def test_messages(params, message):
    with pytest.raises(parameters.ParameterError) as error:
        configs.load("default", params, source="--params")
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"model": "no_ideas:Cell"}, "there is no module 'no_ideas'"),
        (
            {"model": "planet.models.rssm:RSM"},
            "unknown attribute of planet.models.rssm 'RSM'; did you mean 'RSSM'?",
        ),
        (
            {"model": "planet.models.paired:Paired"},
            "it is not a subclass of planet.models.base.Base",
        ),
        (
            {"model": "planet.models.clockwork:Clockwork"},
            "its argument 'cells' is not a setting and has no default",
        ),
        (
            {"network": "planet.networks.dense"},
            "it has no class 'Decoder'",
        ),
        (
            {"planner": "planet.control.planners:GIVEN"},
            "it is not a function",
        ),
        (
            {"planner": "planet.control.planning.pop_p:pop_p"},
            "its argument 'policy' takes use_policy: true",
        ),
        (
            {"planner": "planet.control.planning:shift"},
            "its argument 'belief' is not a setting and has no default",
        ),
        (
            {"planner": "planet.control.random_episodes:random_episodes"},
            "its argument 'batch_env' is not a setting and has no default",
        ),
    ],
)
def test_what_is_the_users_own_is_checked(params, reason):
    ((key, value),) = params.items()
    with pytest.raises(parameters.ParameterError) as error:
        configs.load("default", params)
    assert str(error.value) == f"{key} {value!r} cannot be used: {reason}"


@pytest.mark.parametrize(
    "params",
    [
        {"cem_amount": True},
        {"cem_amount": 0},
        {"cem_amount": 10**400},
        {"cem_iterations": -1},
        {"cem_amount": None},
        {"free_nats": float("nan")},
        {"free_nats": float("inf")},
        {"free_nats": "3"},
        {"learning_rate": 0},
        {"image_bits": 9},
        {"discount": 1.01},
        {"batch_shape": [0, 50]},
        {"batch_shape": 8},
        {"tasks": []},
        {"tasks": ["cup_catch", "cup_catch"]},
        {"tasks": ["all", "cup_catch"]},
        {"tasks": 3},
        {"tasks": {"cup_catch": 1}},
        {"gradient_heads": []},
        {"gradient_heads": ["touch"]},
        {"action_repeat": 1001},
        {"action_repeats": ["cup_catch"]},
        {"action_repeats": {"cup_catch": 0}},
        {"model": ["rssm"]},
        {"model_size": [], "state_size": [], "cw_tau": []},
        {"model_size": "big"},
        {"cw_tau": [1, -1]},
        {"ma_alpha": 1.5},
        {"checkpoint_to_load": 3},
        {"model": "two\nlines" * 99},
        {3: 4},
        {None: 4},
        {("a", "b"): 4},
    ],
)
def test_refused(params):
    with pytest.raises(parameters.ParameterError) as error:
        configs.load("default", params)
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 200


def test_observations_that_would_be_taken_for_a_value_are_refused():
    params = {"tasks": ["tests.control.user_envs:with_a_value"]}
    assert configs.load("default", params).tasks == params["tasks"]
    for key in ("use_policy", "use_value"):
        with pytest.raises(parameters.ParameterError) as error:
            configs.load("default", {**params, key: True})
        assert str(error.value) == (
            f"{key} must be false for a task whose observations have the name 'value', "
            "which means something else then"
        )


def test_unknown_config():
    with pytest.raises(parameters.ParameterError) as error:
        configs.load("newph", {}, source="--params")
    assert str(error.value) == "unknown config 'newph'; did you mean 'newhp'?"


def test_diagnostics_of_the_tasks_are_heads():
    config = configs.load(
        "default", {"tasks": ["finger_spin"], "gradient_heads": ["image", "touch"]}
    )
    assert config.gradient_heads == ["image", "touch"]


@pytest.mark.parametrize("name", configs.CONFIGS)
def test_save_and_read(name, tmp_path):
    params = {"tasks": "all", "seed": 3, "action_repeats": {"cup_catch": 5}}
    config = configs.load(name, params, logdir="elsewhere")
    runs.save_config(config, tmp_path / "config.yaml")
    restored = runs.read_config(tmp_path / "config.yaml")
    assert runs.differences(config, restored) == []
    assert restored.config_name == name
    assert restored.logdir == str(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_saved_file_is_plain_and_complete(tmp_path):
    runs.save_config(configs.load("newhp", {"seed": 3}), tmp_path / "config.yaml")
    text = (tmp_path / "config.yaml").read_text()
    assert "!" not in text
    values = yaml.YAML(typ="safe", pure=True).load(text)
    assert set(values) == {"config_name", *configs.PARAMETERS}
    assert (values["seed"], values["free_nats"], values["overshooting"]) == (3, 3.0, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("config_name: newhp\ncem_amont: 3\n", "unknown parameter 'cem_amont' in "),
        ("config_name: nope\n", "unknown config 'nope'"),
        ("free_nats: 3\n", "unknown config None"),
        ("{", "config.yaml cannot be read as YAML"),
        ("\udcff", "config.yaml is not a text file"),
        ("config_name: newhp\ncell_class: os:system\n", "unknown parameter"),
        ("!!python/object/apply:os.system [false]", "config.yaml cannot be read"),
    ],
)
def test_damaged_file(text, message, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(parameters.ParameterError, match=message):
        runs.read_config(path)


def test_imports_no_tensorflow(run_python):
    result = run_python(
        "-c",
        "import sys; from planet.scripts import configs; configs.load('debug', {});"
        "sys.exit('tensorflow' in sys.modules)",
    )
    assert result.returncode == 0, result.stderr


def test_actions_are_discrete_if_those_of_the_task_are():
    for name, discrete, noise in (
        ("cartpole_balance", False, 0.3),
        ("cartpole_balance_da", True, 0.1),
    ):
        for setting in (None, discrete):
            config = configs.load(
                "default", {"tasks": [name], "discrete_action": setting}
            )
            assert config.discrete_action is discrete
            assert config.exploration_noises == [noise]
        with pytest.raises(
            parameters.ParameterError, match=f"the .* actions of {name}"
        ):
            configs.load("default", {"tasks": [name], "discrete_action": not discrete})
    with pytest.raises(
        parameters.ParameterError, match="at most 1, the share of random"
    ):
        configs.load(
            "default", {"tasks": ["cartpole_balance_da"], "exploration_noises": [2]}
        )


def test_head_of_the_image_stands_for_what_is_observed():
    heads = ["image", "reward", "velocity"]
    params = {"tasks": ["cheetah_run"], "gradient_heads": heads}
    assert configs.load("default", params).gradient_heads == heads
    config = configs.load("default", {"observations": "state"})
    assert config.gradient_heads == ["state", "reward"]
    with pytest.raises(parameters.ParameterError, match="unknown head 'velocity'"):
        configs.load("default", {**params, "observations": "state"})


@pytest.mark.parametrize(
    ("note", "hint"),
    [
        ("", ""),
        ("module_folders: {os: /tmp}", ""),
        ("module_folders: [own_envs]", ""),
        ("module_folders: {own_envs: 3}", ""),
        (
            "module_folders: {own_envs: /my envs}",
            "; when the run began, 'own_envs' was in '/my envs': PYTHONPATH='/my envs' "
            "would help",
        ),
    ],
)
def test_missing_module_of_a_run(note, hint, tmp_path):
    """A note in the file only adds a hint: nothing is imported because of it."""
    path = tmp_path / "config.yaml"
    runs.save_config(configs.load("debug", {"tasks": ["dummy"]}), path)
    text = path.read_text().replace("[dummy]", "['own_envs:noise']")
    path.write_text(f"{text}{note}\n")
    before = list(sys.path)
    with pytest.raises(parameters.ParameterError) as caught:
        runs.read_config(path)
    message = str(caught.value)
    assert message.endswith(f"the libraries are dmc:, gym:, ale:, oldgym:{hint}")
    assert "there is no module 'own_envs'" in message
    assert sys.path == before
