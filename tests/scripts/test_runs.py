import pathlib

import pytest

from planet.scripts import configs, runs
from planet.tools import parameters


def save(folder, name="debug", **params):
    """Writes the settings of a run, and empty files named like its checkpoints."""
    (folder / "checkpoints" / "best").mkdir(parents=True)
    for path in ("ckpt-20", "ckpt-100", "best/ckpt-60"):
        (folder / "checkpoints" / f"{path}.index").touch()
    runs.save_config(configs.load(name, params), folder / "config.yaml")
    return folder


def test_settings_of_another_run(tmp_path):
    run = save(tmp_path / "00001", tasks=["dummy"], free_nats=7, seed=3)
    config = runs.read_config(run / "config.yaml")
    for start in (run, tmp_path, run / "config.yaml"):
        new = runs.new_config(str(start), {"reward_loss_scale": 3}, tmp_path / "new")
        assert runs.differences(new, config) == ["reward_scale", "seed"]
        assert (new.config_name, new.free_nats, new.seed) == ("debug", 7, None)
        assert new.logdir == str(tmp_path / "new")
    assert runs.new_config(str(run), {"seed": 3}).seed == 3
    named = runs.new_config("debug", {"tasks": ["dummy"]})
    assert runs.differences(named, config) == ["free_nats", "seed"]


def test_weights_of_another_run_are_not_taken_over(tmp_path):
    run = save(tmp_path / "00001", tasks=["dummy"], checkpoint_to_load="somewhere")
    assert runs.new_config(str(run), {}).checkpoint_to_load is None


def test_what_was_derived_is_derived_anew(tmp_path):
    continuous = {"tasks": ["cartpole_balance"], "observations": "state"}
    run = str(save(tmp_path / "00001", "cpu", **continuous, cem_topk=7))
    new = runs.new_config(run, {"tasks": "cartpole_balance_da", "batch_shape": [8, 9]})
    assert new.discrete_action
    assert (new.exploration_noises, new.overshooting, new.cem_topk) == ([0.1], 0, 7)
    assert (runs.new_config(run, {}).initial_sigma, new.initial_sigma) == (1.0, 3.0)
    assert runs.new_config(run, {}).collect_horizons == [12]
    assert new.collect_horizons == [24]
    assert new.gradient_heads == ["state", "reward"]
    new = runs.new_config(run, {"observations": "image"})
    assert new.gradient_heads == ["image", "reward"]
    run = str(save(tmp_path / "00002", exploration_noises=[0.7], overshooting=3))
    assert runs.new_config(run, {}).exploration_noises == [0.7]
    assert runs.new_config(run, {}).overshooting == 3


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ("foo", "unknown config 'foo'; known: 'default', "),
        ("none.yaml", "--config 'none.yaml' cannot be read: No such file or directory"),
        ("empty", "--config 'empty' cannot be read: there is no run in empty: it"),
        ("bad.yaml", "unknown parameter 'cem_amont' in bad.yaml; did you mean 'cem_am"),
        ("many.yaml", "cem_amount in many.yaml must be a whole number of at least 1, "),
        ("name.yaml", "unknown config 'newph'; did you mean 'newhp'?"),
        ("a\0/b", "--config 'a\\x00/b' cannot be read: "),
    ],
)
def test_bad_settings_of_another_run(start, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("empty").mkdir()
    pathlib.Path("bad.yaml").write_text("cem_amont: 3")
    pathlib.Path("many.yaml").write_text("cem_amount: many")
    pathlib.Path("name.yaml").write_text("config_name: newph")
    with pytest.raises(parameters.ParameterError) as error:
        runs.new_config(start, {})
    assert str(error.value).startswith(message)


def test_params_that_are_the_settings_of_a_run(tmp_path):
    run = save(tmp_path / "00001")
    with pytest.raises(parameters.ParameterError, match="are for --config, not"):
        runs.read_params([str(run / "config.yaml")])


def test_checkpoints_to_load(tmp_path):
    run = save(tmp_path / "a@b" / "00001")
    folder = run / "checkpoints"
    for text, expected in (
        (str(run), folder / "ckpt-100"),
        (str(run.parent), folder / "ckpt-100"),
        (f"{run}@20", folder / "ckpt-20"),
        (f"{run}@best", folder / "best" / "ckpt-60"),
        (str(folder / "ckpt-20"), folder / "ckpt-20"),
    ):
        assert runs.find_checkpoint(text) == str(expected)
    (folder / "checkpoint").touch()  # TensorFlow's list of them.
    assert runs.find_checkpoint(str(folder)) == str(folder)
    save(tmp_path / "a@b" / "00002")
    for text, message in (
        (f"{run}@40", "no checkpoint of step 40; there are 20, 100"),
        (f"{run}@", "the step must be a whole number from 0 to "),
        (f"{run}@worst", "the step must be a whole number from 0 to "),
        (str(run.parent), "holds several runs; choose one: 00001, 00002"),
        (str(tmp_path), "there is no run in "),
        (str(run / "nothing"), "must be a run, RUN@STEP, RUN@best, a checkpoint "),
        ("\0", "must be a run, "),
    ):
        with pytest.raises(parameters.ParameterError) as error:
            runs.find_checkpoint(text)
        assert message in str(error.value)
        assert len(str(error.value).splitlines()) == 1


def test_settings_are_changed_in_place(tmp_path):
    path = tmp_path / "config.yaml"
    runs.save_config(configs.load("debug", {"learning_rate": 1e-3}), path)
    with path.open("a") as file:
        file.write("# a note\n")
    values = {"learning_rate": 2.5e-05, "max_steps": 700}
    changed = runs.change_settings(path, values)
    assert (changed.learning_rate, changed.max_steps) == (2.5e-05, 700)
    assert runs.differences(changed, configs.load("debug", values)) == []
    assert path.read_text().endswith("# a note\n")
