import pathlib

import numpy as np
import pytest

from planet.scripts import configs, runs, tasks
from planet.tools import noise, tf1_checkpoint
from planet.training import define_model, trainer
from tests.tf1 import write_tf1_checkpoint

SPEC = {"image": (64, 64, 3), "action": (2,), "reward": ()}


def test_runs_of_an_experiment_have_seeds_of_their_own(tmp_path):
    seeds = {
        (seed, run): trainer.first_seed(seed, tmp_path / run)
        for seed in (0, 1)
        for run in ("00001", "00002")
    }
    assert len(set(seeds.values())) == 4
    for (seed, run), value in seeds.items():
        assert trainer.first_seed(seed, pathlib.Path("elsewhere") / run) == value
    arbitrary = {trainer.first_seed(None, tmp_path) for _ in range(3)}
    assert len(arbitrary) == 3


def make_model(name="debug", **params):
    config = configs.load(name, {"tasks": ["dummy"], "dumbnet": True, **params})
    return define_model.define_model(config, SPEC)


def values(model):
    return [variable.numpy() for variable in model.trainable_variables]


def test_weights_of_the_public_release_load_with_heads_of_three_layers(tmp_path):
    sizes = {"model_size": 10, "state_size": 5}
    model = make_model("icml", **sizes)
    random = np.random.default_rng(0)
    names = tf1_checkpoint.names(model)
    assert "graph/head_reward/dense_3/kernel" in names
    weights = {
        name: random.normal(size=variable.shape).astype(np.float32)
        for name, variable in names.items()
    }
    path = write_tf1_checkpoint(tmp_path / "model.ckpt-1000", weights)
    tf1_checkpoint.load(model, path)
    for name, variable in names.items():
        np.testing.assert_array_equal(variable, weights[name])
    shallow = make_model("newhp", **sizes)
    before = values(shallow)
    with pytest.raises(tf1_checkpoint.CheckpointError, match="head_reward/dense_3"):
        tf1_checkpoint.load(shallow, path)
    for old, new in zip(before, values(shallow), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    "params",
    [
        {},
        pytest.param({"tap_cell": "rssm"}, marks=pytest.mark.slow),
        pytest.param(
            {"model_size": [6, 4], "state_size": [3, 2], "cw_tau": [1, 2]},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_run_starts_from_the_weights_of_another_one(tmp_path, capsys, params):
    params = {"tasks": ["dummy"], "dumbnet": True, "isolate_envs": "thread", **params}
    short = {**params, "max_steps": 5, "batch_shape": [5, 5], "overshooting": 0}
    config = configs.load("debug", short)
    first, second = tmp_path / "00001", tmp_path / "00002"
    list(trainer.train(config, tasks.load(config), first))
    checkpoints = str(first / "checkpoints")
    config = configs.load("debug", {**short, "checkpoint_to_load": checkpoints})
    model = define_model.define_model(config, SPEC)
    trainer.Trainer(first, config, model, noise.Seeds(0)).restore()
    loaded = define_model.define_model(config, SPEC)
    tf1_checkpoint.load(loaded, checkpoints)
    for old, new in zip(values(model), values(loaded), strict=True):
        np.testing.assert_array_equal(old, new)
    capsys.readouterr()
    list(trainer.train(config, tasks.load(config), second))
    assert f"Start from step 5: {checkpoints}/ckpt-5." in capsys.readouterr().out


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    config = configs.load("debug", {"tasks": ["dummy"], "dumbnet": True})
    model = define_model.define_model(config, SPEC)
    saved = trainer.Trainer(tmp_path, config, model, noise.Seeds(0))
    saved._save()
    with pytest.raises(tf1_checkpoint.CheckpointError) as error:
        tf1_checkpoint.load(make_model(model="ssm"), str(tmp_path / "checkpoints"))
    for problem in ("missing graph/rnn/ssm/", "not in the model: graph/rnn/rssm/"):
        assert problem in str(error.value)


@pytest.mark.slow
def test_settings_of_a_run_tell_which_model_was_built(tmp_path, capsys):
    config = configs.load(
        "debug",
        {"tasks": ["dummy"], "dumbnet": True, "isolate_envs": "thread", "max_steps": 5},
    )
    path = tmp_path / "config.yaml"
    runs.save_config(config, path)
    list(trainer.train(config, tasks.load(config), tmp_path))
    table = make_model().table()
    assert table in capsys.readouterr().out
    note = "".join(f"# {line}\n" for line in table.splitlines())
    assert path.read_text().endswith(note)
    assert runs.differences(runs.read_config(path), config) == []
