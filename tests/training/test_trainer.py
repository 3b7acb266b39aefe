import contextlib
import json
import pathlib
import time

import numpy as np
import pytest
import tensorflow as tf

from planet.scripts import configs, runs
from planet.tools import (
    events,
    interruption,
    json_lines,
    latent_files,
    noise,
    tf1_checkpoint,
)
from planet.training import data as data_lib
from planet.training import define_model, simulations, trainer

SPEC = {"image": (64, 64, 3), "action": (2,), "reward": ()}


class Run:
    """A trainer on random data that notes when it collects."""

    def __init__(self, logdir, **params):
        settings = {
            "tasks": ["dummy"],
            "data_loader": "dummy",
            "dumbnet": True,
            "batch_shape": [5, 3],
            "overshooting": 0,
        }
        self.config = configs.load("debug", {**settings, **params})
        self.model = define_model.define_model(self.config, SPEC)
        seeds = noise.Seeds(0)
        self.trainer = trainer.Trainer(logdir, self.config, self.model, seeds)
        self.restored = self.trainer.restore()
        self.collected = []
        self.tests = 0
        self.interrupted_test = None
        self.phases = []

    def scores(self):
        datasets = {
            phase: data_lib.make_dataset(self.config, SPEC, None, index)
            for index, phase in enumerate(("train", "test"))
        }
        count = (len, lambda: 100 * len(self.collected))
        with contextlib.closing(
            self.trainer.run(datasets, self._collect, self._test, *count)
        ) as phases:
            for phase in phases:
                self.phases.append(phase)
                if phase.name == "test":
                    yield phase.score

    def _test(self):
        self.tests += 1
        if self.tests == self.interrupted_test:
            raise KeyboardInterrupt
        return [simulation("a", 3.0), simulation("b", 5.0)]

    def _collect(self, trained):
        self.collected.append(trained)
        return [simulation("a", 7.0)] if trained % 20 == 0 else []


def simulation(task, score):
    """An episode of two decisions with that return."""
    episode = {
        "image": np.zeros([3, 64, 64, 3], np.uint8),
        "action": np.zeros([3, 2], np.float32),
        "reward": np.array([0, 0, score], np.float32),
    }
    return simulations.Simulation(task, 12, episode)


def read(folder, kind="scalars"):
    return {
        tag: [(event.step, event.value) for event in found]
        for tag, found in events.read(folder, kind).items()
    }


def test_phases_scores_lines_and_scalars(tmp_path, capsys):
    run = Run(tmp_path, train_steps=20, test_steps=10, max_steps=60)
    assert list(run.scores()) == [4.0, 4.0]
    assert run.trainer.step == 60
    assert run.collected == [5, 10, 15, 20, 25, 30, 35, 40]
    lines = [x for x in capsys.readouterr().out.splitlines() if x.startswith("step/")]
    assert [x.split(" = [")[1].split()[:2] for x in lines] == [
        *[[step, "nan"] for step in ("5", "10", "15")],
        ["20", "7.00"],
        ["30", "4.00"],
        *[[step, "nan"] for step in ("35", "40", "45")],
        ["50", "7.00"],
        ["60", "4.00"],
    ]
    assert lines[0].startswith("step/score/loss/zs_entropy/zs_divergence = [5 nan ")
    train, test = (read(tmp_path / phase) for phase in ("train", "test"))
    assert test["score"] == [(30, 4.0), (60, 4.0)]
    assert train["score"] == [(20, 7.0), (50, 7.0)]
    common = {
        "score",
        "episodes",
        "env_steps",
        "updates",
        "minutes",
        "steps_per_second",
        "zs_entropy",
        "zs_prior_entropy",
        "zs_divergence",
        *[f"loss/{key}" for key in run.model.losses(batch(run.config))],
    }
    measured = {name for name in train if name.startswith("instruments/")}
    assert {name for name in test if name.startswith("instruments/")} == measured
    assert measured >= {
        "instruments/divergence/mean",
        "instruments/image/ssim/2",
        "instruments/return/bias",
        "instruments/reward/error/2",
    }
    for name in measured:
        assert [step for step, _ in train[name]] == [20, 50]
        assert [step for step, _ in test[name]] == [30, 60]
    assert set(test) - measured == common | {"score/a", "score/b"}
    gradients = {"learning_rate", "gradient_norm/model", "updates_per_second"}
    assert set(train) - measured == common | gradients
    assert train["updates"] == [(20, 4), (50, 8)]
    assert test["updates"] == [(30, 4), (60, 8)]
    assert train["env_steps"] == [(20, 400), (50, 800)]
    assert test["env_steps"] == [(30, 400), (60, 800)]
    minutes = [value for _, value in sorted(train["minutes"] + test["minutes"])]
    assert 0 < minutes[0] < minutes[1] < minutes[2] < minutes[3]


def test_pictures_and_histograms_of_each_phase(tmp_path):
    run = Run(tmp_path, train_steps=20, test_steps=10, max_steps=60)
    list(run.scores())
    common = {"trajectories/reward", "data/strip"}
    for version in ("prior", "posterior", "open_loop"):
        common |= {f"{version}/strip", f"{version}/video"}
    for phase, steps in (("train", [20, 50]), ("test", [30, 60])):
        images, histograms = (
            read(tmp_path / phase, kind) for kind in ("images", "histograms")
        )
        for found in {**images, **histograms}.values():
            assert [step for step, _ in found] == steps
        groups = ["simulation/a"] + (["simulation/b"] if phase == "test" else [])
        assert set(histograms) == {
            "entropy/prior",
            "entropy/posterior",
            *[f"{group}/{key}" for group in groups for key in ("returns", "actions")],
        }
        episodes = set()
        if phase == "test":
            kinds = ("horizon_12/video", "horizon_12/rewards")
            episodes = {f"{group}/{kind}" for group in groups for kind in kinds}
        assert set(images) == common | episodes
    for function in (run.trainer._update, run.trainer._evaluate):
        assert function.experimental_get_tracing_count() == 1
    assert run.trainer._pictures._compiled.experimental_get_tracing_count() == 1
    assert run.trainer._instruments._imagine.experimental_get_tracing_count() == 1
    assert not (tmp_path / "latents").exists()


@pytest.mark.slow
@pytest.mark.parametrize("interrupted", [False, True])
def test_tiny_epochs_are_not_all_drawn(tmp_path, interrupted):
    sizes = {"train_steps": 10, "test_steps": 10, "max_steps": 250}
    run = Run(tmp_path, **sizes)
    if interrupted:
        run.interrupted_test = 8
        with pytest.raises(KeyboardInterrupt):
            list(run.scores())
        run = Run(tmp_path, **sizes)
        assert run.trainer.step == 150
    list(run.scores())
    for phase, steps in (
        ("train", [10, 110, 210, 250]),  # After 0, 100, 200, and at the end.
        ("test", [20, 120, 220]),
    ):
        scalars, images = (
            read(tmp_path / phase, kind) for kind in ("scalars", "images")
        )
        assert len(scalars["loss/total"]) == (13 if phase == "train" else 12)
        for found in images.values():
            assert [step for step, _ in found] == steps


@pytest.mark.parametrize("name", ["default", "newhp", "icml"])
def test_every_phase_of_sizes_that_learn_is_drawn(tmp_path, name):
    config = configs.load(name, {"tasks": ["dummy"], "dumbnet": True})
    model = define_model.define_model(config, SPEC)
    drawn = trainer.Trainer(tmp_path, config, model, noise.Seeds(0))
    assert all(drawn._has_pictures(epoch) for epoch in range(500))


def test_latents_at_each_line(tmp_path):
    sizes = {"train_steps": 20, "test_steps": 5, "max_steps": 25}
    list(Run(tmp_path, collect_latents=True, **sizes).scores())
    files = latent_files.scan(tmp_path / "latents")
    assert list(files) == [5, 10, 15, 20, 25]
    phases = [latent_files.read(path)["phase"] for path in files.values()]
    assert phases == ["train"] * 4 + ["test"]


def batch(config):
    return next(iter(data_lib.make_dataset(config, SPEC, None, 0)))


def test_ten_lines_in_a_train_phase(tmp_path, capsys):
    run = Run(tmp_path, train_steps=115, test_steps=5, max_steps=115)
    assert list(run.scores()) == []
    assert capsys.readouterr().out.count("step/score") == 10
    assert (tmp_path / "checkpoints" / "ckpt-115.index").exists()


def test_learning_rate_ramp(tmp_path):
    run = Run(
        tmp_path,
        train_steps=10,
        test_steps=5,
        max_steps=60,
        learning_rate=1e-3,
        learning_rate_ramp=20,
    )
    list(run.scores())
    rates = dict(read(tmp_path / "train")["learning_rate"])
    assert rates == pytest.approx({10: 2.5e-4, 25: 7.5e-4, 40: 1e-3, 55: 1e-3})


@pytest.mark.parametrize("every", [pytest.param(None, marks=pytest.mark.slow), 15])
def test_checkpoints_hold_all_that_a_run_needs(tmp_path, every):
    sizes = {"train_steps": 20, "test_steps": 10, "checkpoint_every": every}
    whole = Run(tmp_path, max_steps=90, **sizes)
    list(whole.scores())
    names = sorted(x.stem for x in (tmp_path / "checkpoints").glob("*.index"))
    steps = (30, 60, 90) if every is None else (30, 45, 60, 75, 90)  # The last five.
    assert names == [f"ckpt-{step}" for step in steps]
    again = Run(tmp_path, max_steps=90, **sizes)
    assert again.restored
    assert again.trainer.step == 90
    for ours, theirs in zip(
        whole.model.trainable_variables, again.model.trainable_variables, strict=True
    ):
        assert np.array_equal(ours.numpy(), theirs.numpy())
    data = batch(whole.config)
    for model in (whole.model, again.model):  # The optimizers' states count too.
        model.update(data, tf.constant(1e-3), tf.constant([0, 0]))
    for ours, theirs in zip(
        whole.model.trainable_variables, again.model.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-7)
    assert list(again.scores()) == []


def test_a_checkpoint_that_lacks_weights_is_refused_by_name(tmp_path):
    list(Run(tmp_path, train_steps=5, test_steps=5, max_steps=10).scores())
    message = "missing graph/head_reward/dense_2/kernel"
    with pytest.raises(tf1_checkpoint.CheckpointError, match=message):
        Run(tmp_path, max_steps=20, num_layers=2)


class Varying(Run):
    """A run whose agent is best in its second test phase."""

    def _test(self):
        self.tests += 1
        return [simulation("a", [2.0, 6.0, 4.0][self.tests - 1])]


@pytest.mark.slow
def test_the_best_checkpoint_is_kept_beside_the_newest(tmp_path):
    sizes = {"train_steps": 5, "test_steps": 5}
    list(Varying(tmp_path, max_steps=30, **sizes).scores())
    assert list(runs.checkpoints(tmp_path)) == [10, 20, 30]
    assert list(runs.checkpoints(tmp_path, runs.BEST)) == [20]
    score = tmp_path / runs.BEST / "score.json"
    assert json.loads(score.read_text()) == {"step": 20, "score": 6.0}
    list(Varying(tmp_path, max_steps=40, **sizes).scores())  # Its next score is 2.
    assert list(runs.checkpoints(tmp_path, runs.BEST)) == [20]
    for step, damaged in ((50, "damaged"), (60, '{"score": NaN}')):
        score.write_text(damaged)
        list(Varying(tmp_path, max_steps=step, **sizes).scores())
        assert list(runs.checkpoints(tmp_path, runs.BEST)) == [step]


class Waiting(Run):
    """A run whose first test phase has no episodes."""

    def _test(self):
        self.tests += 1
        return [simulation("a", 2.0)] if self.tests > 1 else []


def test_a_test_phase_without_episodes_is_not_the_best(tmp_path):
    sizes = {"train_steps": 5, "test_steps": 5}
    list(Waiting(tmp_path, max_steps=20, **sizes).scores())
    assert list(runs.checkpoints(tmp_path)) == [10, 20]
    assert list(runs.checkpoints(tmp_path, runs.BEST)) == [20]


def test_a_test_phase_that_was_interrupted_is_repeated(tmp_path):
    sizes = {"train_steps": 20, "test_steps": 10}
    first = Run(tmp_path, max_steps=90, **sizes)
    first.interrupted_test = 2
    with pytest.raises(KeyboardInterrupt):
        list(first.scores())
    assert max(step for step, _ in read(tmp_path / "train")["score"]) == 50
    second = Run(tmp_path, max_steps=60, **sizes)
    assert second.trainer.step == 50
    assert list(second.scores()) == [4.0]
    assert second.collected == []
    assert [x for x, _ in read(tmp_path / "train")["score"]] == [20, 50]
    assert [x for x, _ in read(tmp_path / "test")["score"]] == [30, 60]


@pytest.mark.slow
def test_minutes_go_on_after_an_interruption_without_its_duration(tmp_path):
    sizes = {"train_steps": 5, "test_steps": 5}
    before = time.perf_counter()
    list(Run(tmp_path, max_steps=20, **sizes).scores())
    interrupted = time.perf_counter()
    time.sleep(1)
    again = time.perf_counter()
    list(Run(tmp_path, max_steps=40, **sizes).scores())
    minutes = [value for _, value in read(tmp_path / "test")["minutes"]]
    assert len(minutes) == 4
    assert all(np.diff(minutes) > 0)
    trained = (interrupted - before + time.perf_counter() - again) / 60
    assert minutes[-1] < trained
    assert [x for _, x in read(tmp_path / "test")["updates"]] == [1, 2, 3, 4]


def test_a_checkpoint_without_minutes_is_continued(tmp_path):
    old = Run(tmp_path, max_steps=10)
    old.trainer._step.assign(20)
    checkpoint = tf.train.Checkpoint(**old.trainer._required)
    folder = str(tmp_path / "checkpoints")
    tf.train.CheckpointManager(checkpoint, folder, 5).save(checkpoint_number=20)
    names = [name for name, _ in tf.train.list_variables(folder)]
    assert not any("minutes" in name for name in names)
    run = Run(tmp_path, max_steps=40)
    assert run.restored
    assert run.trainer.step == 20
    list(run.scores())
    assert 0 < read(tmp_path / "test")["minutes"][-1][1] < 1


def test_loss_that_is_not_finite_ends_the_run(tmp_path):
    run = Run(tmp_path, max_steps=60)
    run.model.heads["reward"].trainable_variables[-1].assign([np.nan])
    with pytest.raises(FloatingPointError, match="zero_step/reward is nan at step 5"):
        list(run.scores())


def test_gradient_that_is_not_finite_ends_the_run(tmp_path):
    run = Run(tmp_path, max_steps=60, checkpoint_every=5)
    scores = run.scores()
    next(scores)
    good = runs.checkpoints(tmp_path)
    shares = run.model._shares

    def explode(data, seed=None):
        losses, metrics = shares(data, seed)
        spike = tf.sqrt(tf.nn.relu(run.model.trainable_variables[0][0, 0, 0, 0] * 0))
        return {**losses, "total": losses["total"] + spike}, metrics

    run.model._shares = explode
    run.trainer._update = tf.function(trainer._checked(run.model.update))
    with pytest.raises(FloatingPointError, match=r"gradient_norm/\w+ is nan at step"):
        next(scores)
    assert runs.checkpoints(tmp_path) == good


def test_weights_that_are_not_finite_are_neither_saved_nor_restored(tmp_path, capsys):
    run = Run(tmp_path, max_steps=10, train_steps=5, test_steps=5)
    list(run.scores())
    weight = run.model.heads["reward"].trainable_variables[-1]
    weight.assign([np.inf])
    with pytest.raises(FloatingPointError, match="weights are not finite at step 10"):
        run.trainer._save()
    run.trainer._step.assign(20)
    run.trainer._manager.save(checkpoint_number=20)
    assert list(runs.checkpoints(tmp_path)) == [10, 20]
    assert Run(tmp_path).trainer.step == 10
    assert "ckpt-20 holds weights that are not finite" in capsys.readouterr().err


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "suffix"),
    [
        (damage, "data-00000-of-00001"),
        pytest.param(damage, "index", marks=pytest.mark.slow),
        pytest.param(pathlib.Path.unlink, "index", marks=pytest.mark.slow),
        pytest.param(
            pathlib.Path.unlink, "data-00000-of-00001", marks=pytest.mark.slow
        ),
    ],
)
def test_a_damaged_checkpoint_is_skipped(tmp_path, capsys, suffix, harm):
    list(Run(tmp_path, train_steps=5, test_steps=5, max_steps=20).scores())
    (tmp_path / "checkpoints" / "checkpoint").write_bytes(b"\x80 damaged")
    harm(tmp_path / "checkpoints" / f"ckpt-20.{suffix}")
    capsys.readouterr()
    run = Run(tmp_path, train_steps=5, test_steps=5, max_steps=20)
    assert run.trainer.step == 10
    if suffix != "index" or harm is damage:
        (line,) = [x for x in capsys.readouterr().err.splitlines() if "Skip" in x]
        assert "ckpt-20" in line
    assert list(run.scores()) == [4.0]
    assert Run(tmp_path).trainer.step == 20


def test_a_list_of_checkpoints_elsewhere_removes_none_of_them(tmp_path):
    victim = tmp_path / "victim" / "ckpt-1.index"
    folder = tmp_path / "run" / "checkpoints"
    for parent in (victim.parent, folder):
        parent.mkdir(parents=True)
    victim.touch()
    lines = [f'all_model_checkpoint_paths: "../../victim/ckpt-{x}"' for x in (1, 2)]
    lines += ["all_model_checkpoint_timestamps: 1.0"] * 2
    (folder / "checkpoint").write_text("\n".join(['model_checkpoint_path: ""', *lines]))
    settings = {"train_steps": 30, "max_steps": 30, "checkpoint_every": 5}
    list(Run(tmp_path / "run", **settings).scores())
    assert len(runs.checkpoints(tmp_path / "run")) == 5
    assert victim.exists()


def test_a_run_whose_checkpoints_are_all_damaged_does_not_begin_anew(tmp_path):
    list(Run(tmp_path, train_steps=5, test_steps=5, max_steps=10).scores())
    damage(tmp_path / "checkpoints" / "ckpt-10.data-00000-of-00001")
    with pytest.raises(tf1_checkpoint.CheckpointError, match="all checkpoints in"):
        Run(tmp_path)


def test_checkpoints_by_time(tmp_path):
    run = Run(tmp_path, train_steps=20, max_steps=15, checkpoint_minutes=1e-9)
    list(run.scores())
    assert list(runs.checkpoints(tmp_path)) == [5, 10, 15]


def test_an_error_while_collecting_leaves_a_checkpoint(tmp_path):
    class Failing(Run):
        def _collect(self, trained):
            if trained == 15 and not self.restored:
                raise LookupError
            return super()._collect(trained)

    with pytest.raises(LookupError):
        list(Failing(tmp_path, train_steps=30, max_steps=30).scores())
    again = Failing(tmp_path, train_steps=30, max_steps=30)
    assert again.trainer.step == 15
    list(again.scores())
    assert again.collected == [15, 20, 25, 30]  # What failed is done first.


@pytest.mark.slow
@pytest.mark.parametrize("max_steps", [15, 20])
def test_an_error_after_the_last_update_of_a_phase_costs_no_report(tmp_path, max_steps):
    class Failing(Run):
        def _collect(self, trained):
            if trained == 15 and not self.restored:
                raise LookupError
            return super()._collect(trained)

    settings = {"train_steps": 15, "test_steps": 5, "max_steps": max_steps}
    with pytest.raises(LookupError):
        list(Failing(tmp_path / "failed", **settings).scores())
    again = Failing(tmp_path / "failed", **settings)
    list(again.scores())
    assert again.collected == [15]
    whole = Run(tmp_path / "whole", **settings)
    list(whole.scores())
    losses, expected = (
        read(tmp_path / name / "train")["loss/total"] for name in ("failed", "whole")
    )
    assert [step for step, _ in losses] == [15]
    assert len(expected) == 1


def test_a_run_that_was_lost_is_not_written_to(tmp_path):
    def lose():
        if run.trainer.step == 15:
            raise LookupError

    run = Run(tmp_path, train_steps=30, max_steps=30, checkpoint_every=5)
    with pytest.raises(LookupError), interruption.required(lose):
        list(run.scores())
    assert list(runs.checkpoints(tmp_path)) == [5, 10]


def test_learning_rate_rises_and_drops_once():
    settings = {"learning_rate_ramp": 100, "learning_rate_drop": 1000}
    config = configs.load("newhp", settings)
    rates = [trainer.learning_rate(config, trained) for trained in (50, 999, 1000)]
    assert rates == pytest.approx([0.0005, 0.001, 0.0003])


def test_metrics_are_those_of_tensorboard_once_each(tmp_path):
    sizes = {"train_steps": 10, "test_steps": 5}
    first = Run(tmp_path, max_steps=30, **sizes)
    assert list(first.scores()) == [4.0, 4.0]
    # As if it had been killed later, in the middle of a line.
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "phase": "train"}\n{"step": []}\n{"step": 4')
    second = Run(tmp_path, max_steps=45, **sizes)
    assert list(second.scores()) == [4.0]
    records = list(json_lines.read(tmp_path / "metrics.jsonl"))
    places = [(record["step"], record["phase"], record["epoch"]) for record in records]
    assert places == [
        (10, "train", 1),
        (15, "test", 1),
        (25, "train", 2),
        (30, "test", 2),
        (40, "train", 3),
        (45, "test", 3),
    ]
    for phase in ("train", "test"):
        found = events.read(tmp_path / phase, "scalars")
        assert "loss/total" in found
        assert "updates" in found
        for tag, values in found.items():
            told = {
                record["step"]: record[tag]
                for record in records
                if record["phase"] == phase and tag in record
            }
            expected = {
                event.step: event.value for event in values if np.isfinite(event.value)
            }
            assert told == pytest.approx(expected, rel=1e-6)
    phases = [*first.phases, *second.phases]
    assert [phase.name for phase in phases] == ["train", "test"] * 3
    assert [phase.step for phase in phases] == [step for step, *_ in places]
    assert phases[-1].scalars["loss/total"] == records[-1]["loss/total"]


@pytest.mark.slow
def test_a_run_that_is_left_after_a_phase_goes_on_there(tmp_path):
    sizes = {"train_steps": 10, "test_steps": 5, "max_steps": 30}
    left = Run(tmp_path, **sizes)
    with contextlib.closing(left.scores()) as scores:
        next(scores)
    assert left.trainer.step == 15
    again = Run(tmp_path, **sizes)
    assert again.trainer.step == 15
    assert list(again.scores()) == [4.0]
    steps = [x["step"] for x in json_lines.read(tmp_path / "metrics.jsonl")]
    assert steps == [10, 15, 25, 30]
