import dataclasses
import pathlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planet.scripts import configs, spaces
from planet.tools import parameters
from tests import conftest, experiments

PUBLISHED = sorted((conftest.ROOT / "experiments").glob("*.yaml"))
BASE = {"config": "debug", "params": {"tasks": ["dummy"]}}
ISSUE = """
config: newhp
params: {max_steps: 400000}
space:
  tasks: {grid: [[cartpole_balance], [cheetah_run]]}
  model: {grid: [rssm, rssm_ma]}
  learning_rate: {loguniform: [3.0e-4, 3.0e-3]}
  seed: {grid: [0, 1, 2]}
metric: test_score
samples: 4
search: random
scheduler: asha
"""


def parse(space, **values):
    return spaces.parse({**BASE, "space": space, **values}, "space.yaml")


def read(text, folder):
    path = folder / "space.yaml"
    path.write_text(text)
    return spaces.read(path)


def test_space_of_a_file(tmp_path):
    space = read(ISSUE, tmp_path)
    trials = space.trials()
    assert len(space) == len(trials) == 2 * 2 * 4 * 3
    assert len({trial.label for trial in trials}) == len(trials)
    assert len({trial.population for trial in trials}) == 4
    by_group = {}
    for trial in trials:
        rate = trial.params["learning_rate"]
        assert 3e-4 <= rate <= 3e-3
        by_group.setdefault(trial.group, []).append((rate, trial.params["seed"]))
    assert len(by_group) == 16
    for found in by_group.values():
        (_,) = {rate for rate, _ in found}  # The same for all seeds.
        assert [seed for _, seed in found] == [0, 1, 2]
    first = trials[0]
    rate = first.params["learning_rate"]
    assert first.label == f"cartpole_balance,rssm,learning_rate={rate:.3g},seed=0"
    assert (first.config, first.params["max_steps"]) == ("newhp", 400_000)


def test_draws_are_the_same_again(tmp_path):
    assert read(ISSUE, tmp_path).trials() == read(ISSUE, tmp_path).trials()
    other = read(ISSUE.replace("3.0e-3]", "4.0e-3]"), tmp_path).trials()
    assert (
        other[0].params["learning_rate"]
        != (read(ISSUE, tmp_path).trials()[0].params["learning_rate"])
    )


def test_nothing_varies():
    (trial,) = parse({}).trials()
    assert (trial.label, trial.group) == ("run", "run")
    assert trial.params == {"tasks": ["dummy"]}


def test_labels():
    space = parse(
        {
            "model": {"grid": ["rssm", "ssm"]},
            "overshooting": {"grid": [None, 0]},
            "size": {"variants": {"small": {"num_units": 5}, "rssm": {}}},
            "batch_shape": {"grid": [[5, 10], [2, 20]]},
        }
    )
    labels = [trial.label for trial in space.trials()]
    assert labels[0] == "model=rssm,overshooting=null,small,batch_shape=5+10"
    assert labels[-1] == "ssm,overshooting=0,size=rssm,batch_shape=2+20"
    (first, second) = parse({"seed": {"grid": [3, 4]}}).trials()
    assert (first.label, second.label) == ("seed=3", "seed=4")
    tasks = [["dummy"], ["gym:Pendulum-v1"], ["cup_catch", "cheetah_run"]]
    space = spaces.parse({"space": {"tasks": {"grid": tasks}}}, "space.yaml")
    names = ["dummy", "gym_Pendulum-v1", "cup_catch+cheetah_run"]
    assert [trial.label for trial in space.trials()] == names


def test_equal_draws_have_labels_of_their_own():
    space = parse({"num_layers": {"randint": [1, 2]}}, samples=9)
    labels = [trial.label for trial in space.trials()]
    assert len({*labels}) == 9
    assert {label.split(",")[0] for label in labels} == {"num_layers=1", "num_layers=2"}
    assert any(label.endswith(",sample=1") for label in labels)


def test_long_labels_are_cut():
    variants = {f"{letter * 150}": {"num_units": 5} for letter in "ab"}
    first, second = parse({"x": {"variants": variants}}).trials()
    assert first.label != second.label
    assert max(len(first.label), len(second.label)) < 100


def test_variants_override_what_is_fixed():
    variants = {"long": {"max_steps": 700, "config": "newhp"}, "usual": {}}
    long, usual = parse(
        {"x": {"variants": variants}}, params={"tasks": ["dummy"], "max_steps": 300}
    ).trials()
    assert (long.config, long.params["max_steps"]) == ("newhp", 700)
    assert (usual.config, usual.params["max_steps"]) == ("debug", 300)


@given(
    kind=st.sampled_from(sorted(set(spaces.DRAWN) - {"choice"})),
    low=st.integers(1, 50),
    width=st.integers(1, 1000),
    seed=st.integers(0, 1000),
)
def test_draws_are_within_their_limits(kind, low, width, seed):
    step = (width / 3,) if kind == "quniform" else ()
    drawn = spaces.Distribution(kind, (low, low + width, *step))
    value = drawn.draw(np.random.default_rng(seed))
    assert low <= value <= low + width
    assert isinstance(value, int) == kind.endswith("randint")
    assert drawn.clip(value) == value
    if step:
        assert (value - low) / step[0] == pytest.approx(
            round((value - low) / step[0]), abs=1e-2
        )


def test_ends_of_whole_numbers_are_drawn():
    rng = np.random.default_rng(0)
    for kind in ("randint", "lograndint"):
        drawn = spaces.Distribution(kind, (1, 4))
        assert {drawn.draw(rng) for _ in range(100)} == {1, 2, 3, 4}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"spaces": {}},
            "unknown key 'spaces' in space.yaml; did you mean 'space'?",
        ),
        (
            {"space": {"learning_rat": {"grid": [1e-3]}}},
            "unknown parameter 'learning_rat' in space.yaml; "
            "did you mean 'learning_rate'?",
        ),
        (
            {"params": {"max_step": 3}},
            "unknown parameter 'max_step' in space.yaml; did you mean 'max_steps'?",
        ),
        (
            {"space": {"learning_rate": {"loguniforn": [1e-3, 1e-2]}}},
            "unknown distribution of learning_rate 'loguniforn' in space.yaml; "
            "did you mean 'loguniform'?",
        ),
        (
            {"space": {"learning_rate": {"uniform": [0, 1e-2]}}},
            "learning_rate in space.yaml must be a number above 0, not 0.0",
        ),
        (
            {"space": {"learning_rate": {"loguniform": [0, 1e-2]}}},
            "loguniform of learning_rate in space.yaml must be a list of low and high, "
            "above 0, in this order, not [0, 0.01]",
        ),
        (
            {"space": {"learning_rate": {"uniform": [2, 1]}}},
            "uniform of learning_rate in space.yaml must be a list of low and high, in "
            "this order, not [2, 1]",
        ),
        (
            {"space": {"cem_amount": {"uniform": [10, 20]}}},
            "cem_amount in space.yaml must be a whole number of at least 1, not "
            "13.183098861837907",
        ),
        (
            {"space": {"model": {"choice": ["rssm", "rsm"]}}},
            "unknown model 'rsm' in space.yaml; did you mean 'rssm'?",
        ),
        (
            {"space": {"tasks": {"grid": [["cheetah_walk"]]}}, "params": {}},
            "unknown task 'cheetah_walk' in space.yaml; did you mean 'cheetah_run'?",
        ),
        (
            {"space": {"num_units": {"grid": []}}},
            "grid of num_units in space.yaml must be a list of one or more values, "
            "not []",
        ),
        (
            {"space": {"num_units": {"grid": [5, 6, 5]}}},
            "grid of num_units in space.yaml has 5 more than once",
        ),
        (
            {"space": {"num_units": [5, 6]}},
            "num_units in space.yaml must be one of grid, variants, choice, uniform, "
            "loguniform, quniform, randint, lograndint with its values, not [5, 6]",
        ),
        (
            {"space": {"tasks": {"grid": [["dummy"]]}}},
            "tasks in space.yaml is set by params and tasks",
        ),
        (
            {
                "space": {
                    "x": {"variants": {"a": {"planner_horizon": 3}}},
                    "summary_horizons": {"grid": [3]},
                }
            },
            "summary_horizons in space.yaml is set by x and summary_horizons",
        ),
        (
            {"space": {"x": {"variants": {"a": 3}}}},
            "variant 'a' of x in space.yaml must be a mapping of parameters, not 3",
        ),
        (
            {"space": {"x": {"variants": ["a"]}}},
            "variants of x in space.yaml must be a mapping from names to parameters, "
            "not ['a']",
        ),
        (
            {"space": {"overshooting": {"grid": [3, 30]}}},
            "space.yaml, at overshooting=30: overshooting must be at most 9 (the steps "
            "of batch_shape less 1), not 30",
        ),
        (
            {"space": {"overshooting": {"randint": [3, 30]}}},
            "space.yaml, at overshooting=30: overshooting must be at most 9 (the steps "
            "of batch_shape less 1), not 30",
        ),
        (
            {"space": {"seed": {"randint": [3, 30]}}},
            "seed in space.yaml takes a grid, not a draw",
        ),
        (
            {"config": "debgu"},
            "space.yaml, at run: unknown config 'debgu'; did you mean 'debug'?",
        ),
        (
            {"space": {"config": {"grid": ["newph", "debug"]}}},
            "space.yaml, at newph: unknown config 'newph'; did you mean 'newhp'?",
        ),
        (
            {"samples": 0},
            "samples in space.yaml must be a whole number from 1 to 10000",
        ),
        ({"samples": 2}, "samples in space.yaml must be 1 where nothing is drawn"),
        ({"search": "optun"}, "unknown search 'optun' in space.yaml; did you mean"),
        ({"search": "optuna"}, "search in space.yaml must be random where nothing is"),
        ({"scheduler": "ahsa"}, "unknown scheduler 'ahsa' in space.yaml; did you mean"),
        ({"metric": "score"}, "unknown metric 'score' in space.yaml; did you mean"),
        ({"scheduler": "pbt"}, "space.yaml draws nothing that scheduler pbt could"),
        (
            {"scheduler": "pbt", "space": {"num_units": {"randint": [1, 9]}}},
            "num_units in space.yaml cannot be drawn with scheduler pbt, which changes "
            "runs as they go on; it may change learning_rate, ",
        ),
        (
            {
                "scheduler": "pbt",
                "search": "optuna",
                "space": {"free_nats": {"uniform": [1, 3]}},
            },
            "search in space.yaml must be random with scheduler pbt, not 'optuna'",
        ),
        (
            {"space": {"free_nats": {"uniform": [1, 3]}}, "samples": 10_000}
            | {"params": {"tasks": ["dummy"], "seed": 3}}
            | {"space": {"seed": {"grid": [1]}}},
            "seed in space.yaml is set by params and seed",
        ),
    ],
)
def test_messages(values, message):
    with pytest.raises(parameters.ParameterError) as error:
        spaces.parse({**BASE, **values}, "space.yaml")
    assert str(error.value).startswith(message)
    assert len(str(error.value).splitlines()) == 1


def test_too_many_trials():
    grid = {"grid": list(range(1, 200))}
    with pytest.raises(parameters.ParameterError, match="39,601 points, more than"):
        parse({"num_units": grid, "num_layers": grid})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as YAML"),
        ("[1, 2]", "must be a mapping of parameters, not"),
        ("space: {x: 2026-11-27}", "cannot be read: Object of type date"),
        ("params: {free_nats: .inf}", "cannot be read: "),
    ],
)
def test_unreadable_files(text, message, tmp_path):
    with pytest.raises(parameters.ParameterError, match=message):
        read(text, tmp_path)


def test_pbt_hides_what_it_will_change():
    space = parse(
        {
            "learning_rate": {"loguniform": [1e-4, 1e-2]},
            "model": {"grid": ["rssm", "ssm"]},
        },
        samples=2,
        scheduler="pbt",
    )
    labels = [trial.label for trial in space.trials()]
    assert labels == ["rssm,sample=1", "rssm,sample=2", "ssm,sample=1", "ssm,sample=2"]


def test_aliases_are_drawn_once():
    space = parse({"planner_horizon": {"randint": [3, 40]}}, samples=3)
    for trial in space.trials():
        assert trial.params["collect_horizons"] == trial.params["summary_horizons"]


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_published_grids_load(path: pathlib.Path):
    """Reading a space loads all its points."""
    space = spaces.read(path)
    assert len(space) == {"paper": 150, "variant": 300}[path.stem]
    labels = {trial.label for trial in space.trials()}
    assert len(labels) == len(space)


def test_the_papers_agents_are_those_of_the_readme():
    names = {
        "planet": "PlaNet",
        "no_overshooting": "no overshooting",
        "deterministic": "purely deterministic",
        "stochastic": "purely stochastic",
        "random_collection": "random collection",
    }
    table = experiments.read()
    space = spaces.read(conftest.ROOT / "experiments" / "paper.yaml")
    for trial in space.trials():
        _, agent, _ = trial.label.split(",")
        config, params = table[names[agent]]
        params = parameters.by_own_names(configs.PARAMETERS, params)
        params |= {key: trial.params[key] for key in ("tasks", "seed")}
        wanted = dataclasses.replace(trial, config=config, params=params)
        assert spaces.load(trial, "").to_dict() == spaces.load(wanted, "").to_dict()


def test_the_variants_grid():
    space = spaces.read(conftest.ROOT / "experiments" / "variant.yaml")
    trials = {trial.label: trial for trial in space.trials()}
    trial = trials["breakout,clockwork_prior,newhp,exploration_noises=0.2"]
    config = spaces.load(trial, "")
    assert (config.config_name, config.tasks) == ("newhp", ["gym_breakout"])
    assert (config.collect_horizons, config.exploration_noises) == ([60], [0.2])
    assert (config.model_size, config.cell_as_prior) == ([100, 100], 0.1)
