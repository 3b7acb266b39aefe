import numpy as np
import pytest
import tensorflow as tf

from planet.scripts import configs, diagnose, tasks
from planet.tools import preprocess, unroll
from planet.training import define_model, instruments, simulations

COLOUR = {"image": (64, 64, 3), "action": (2,), "reward": (), "position": (3,)}
GREY = {"image": (64, 64, 1), "action": (2,), "reward": ()}
STATE = {"state": (5,), "action": (2,), "reward": ()}
CLOCKWORK = {"model_size": [8, 6], "state_size": [4, 3], "cw_tau": [1, 3]}


def make_instruments(spec=COLOUR, distances=(1, 2, 4, 8, 12, 24), **params):
    settings = {"tasks": ["dummy"], "dumbnet": True, "overshooting": 0}
    if "state" in spec:
        settings["observations"] = "state"
    config = configs.load("debug", {**settings, **params})
    tf.keras.utils.set_random_seed(0)
    model = define_model.define_model(config, spec)
    return instruments.Instruments(model, config, distances, images=3)


def make_batch(spec=COLOUR, lengths=(10, 10, 7), steps=10):
    rng = np.random.default_rng(0)
    batch = {
        key: rng.uniform(-0.5, 0.5, (len(lengths), steps, *shape)).astype(np.float32)
        for key, shape in spec.items()
    }
    if "image" in spec:
        batch["image"] = (256 * (batch["image"] + 0.5)).astype(np.uint8)
    return batch | {"length": np.array(lengths, np.int32)}


@pytest.mark.parametrize(
    ("spec", "params"),
    [
        (COLOUR, {}),
        (COLOUR, {"model": "drnn"}),
        (COLOUR, CLOCKWORK),
        (COLOUR, {"tap_cell": "rssm"}),
        (GREY, {"discrete_action": True, "tasks": ["cartpole_balance_da"]}),
        (STATE, {"model": "ssm"}),
        (STATE, {"model": "rssm_ma"}),
    ],
)
def test_measures_depend_on_seed_and_valid_steps_alone(spec, params):
    found = make_instruments(spec, **params)
    batch = make_batch(spec)
    measures = found.measure(batch, 3)
    vectors = {key for key in spec if key not in ("image", "action")}
    images = {"image"} & spec.keys()
    assert measures.keys() == {*vectors, *images, "return", "divergence"}
    for key in vectors:
        assert list(measures[key]["error"]) == [0, 1, 2, 4]
        assert len(measures[key]["spread"]) == np.prod(spec[key], dtype=int)
    for key in images:
        assert (
            list(measures[key]["psnr"]) == list(measures[key]["ssim"]) == [0, 1, 2, 4]
        )
    assert measures["return"]["steps"] == 5
    numbers = dict(instruments.scalars(measures))
    assert numbers
    assert np.isfinite(list(numbers.values())).all()

    changed = {key: values.copy() for key, values in batch.items()}
    for key in spec:
        changed[key][2, 7:] = 0
    tensors = tf.nest.map_structure(tf.convert_to_tensor, changed)
    assert found.measure(tensors, 3) == measures
    assert found.measure(batch, 4) != measures
    for part in (found._observe, found._imagine, found._predict):
        assert part.experimental_get_tracing_count() == 1


def test_numbers_are_those_of_plain_open_loop_predictions():
    """With a deterministic model, which sees numbers."""
    found = make_instruments(STATE, model="rnn", distances=(3, 2))
    model, batch = found._model, make_batch(STATE, (20, 16), 20)
    measures = found.measure(batch, 0)
    _, posterior = unroll.closed_loop(
        model.cell, model.encoder(batch["state"]), batch["action"]
    )
    errors = {0: [], 2: [], 3: []}
    truth, imagined_returns, true_returns = [], [], []
    for sequence, length in enumerate(batch["length"]):
        for start in range(4, length):  # Five steps are seen.
            state = {k: v[sequence : sequence + 1, start] for k, v in posterior.items()}
            actions = batch["action"][sequence : sequence + 1, start + 1 : length]
            states = {key: value[:, None] for key, value in state.items()}
            if actions.shape[1]:
                imagined = unroll.open_loop(model.cell, state, actions)
                states = {k: tf.concat([states[k], imagined[k]], 1) for k in states}
            features = model.cell.features_from_state(states)
            predicted = model.heads["state"](features).mean()[0].numpy()
            rewards = model.heads["reward"](features).mean()[0].numpy()
            later = batch["state"][sequence, start:length]
            truth.append(later[0])
            for distance, values in errors.items():
                if distance < len(later):
                    values.append(predicted[distance] - later[distance])
            if len(later) > 11:
                imagined_returns.append(rewards[1:12].sum())
                true = batch["reward"][sequence, start + 1 : start + 12]
                true_returns.append(true.sum())
    spread = np.std(truth, 0)
    np.testing.assert_allclose(measures["state"]["spread"], spread, rtol=1e-5)
    for distance, values in errors.items():
        rmse = np.sqrt(np.mean(np.square(values), 0))
        np.testing.assert_allclose(measures["state"]["rmse"][distance], rmse, rtol=1e-4)
        error = np.sqrt(np.mean((rmse / spread) ** 2))
        assert measures["state"]["error"][distance] == pytest.approx(error, 1e-4)
    r2 = 1 - measures["state"]["error"][0] ** 2
    assert measures["state"]["r2"] == pytest.approx(r2)
    assert measures["return"]["steps"] == 12
    assert measures["divergence"] == {"mean": 0, "below_free_nats": 1}


def test_imagined_returns_are_compared_with_true_ones():
    seen, imagined = np.full((5, 1), 9.0), np.array([[1.0], [2.0], [4.0], [9.0], [9.0]])
    predictions = [{"reward": seen}, {"reward": imagined}, {"reward": imagined}]
    reward = np.array([[9, 1, 2, 3, 0]], np.float32)
    data = {"reward": reward, "action": reward[..., None], "length": np.array([5])}
    truth = instruments._Truth(data, 0)
    found = instruments._returns(predictions, truth, 2)  # 2, 4, 8; truly 3, 5, 3.
    assert found["bias"] == pytest.approx(1)
    assert found["imagined_spread"] == pytest.approx(np.std([2, 4, 8]))
    assert found["true_spread"] == pytest.approx(np.std([3, 5, 3]))
    assert found["correlation"] == pytest.approx(
        np.corrcoef([2, 4, 8], [3, 5, 3])[0, 1]
    )


def test_images_are_compared_as_the_model_draws_them():
    found = make_instruments(GREY)
    image = make_batch(GREY)["image"][0]
    levels = found._levels(image)
    assert levels.dtype == np.float32
    assert np.abs(levels - image / 256).max() <= 1 / 64
    np.testing.assert_array_equal(
        found._levels(preprocess.preprocess(image, 5).numpy()), levels
    )
    likeness = instruments._likeness(
        {0: (levels, levels + 0.1), 8: (levels, 0 * levels)}
    )
    assert likeness["psnr"][0] == pytest.approx(20, 1e-4)
    assert 0.5 < likeness["ssim"][0] < 1
    assert likeness["ssim"][8] < 0.1


@pytest.mark.parametrize(("steps", "distances"), [(1, [0]), (3, [0, 1, 2])])
def test_short_chunks(steps, distances):
    found = make_instruments(GREY)
    measures = found.measure(make_batch(GREY, (steps, 1), steps), 0)
    assert list(measures["reward"]["error"]) == distances
    assert ("return" in measures) == (steps > 1)


def test_what_is_constant_has_no_relative_error():
    found = make_instruments()
    batch = make_batch()
    batch["reward"][:] = 1
    batch["position"][..., 1:] = 3
    measures = found.measure(batch, 0)
    assert measures["reward"]["r2"] is None
    assert set(measures["reward"]["error"].values()) == {None}
    assert measures["reward"]["rmse"][1][0] > 0
    assert measures["return"]["correlation"] is None
    (spread, *constant), (rmse, *_) = (
        measures["position"]["spread"],
        measures["position"]["rmse"][2],
    )
    assert constant == [0, 0]
    assert measures["position"]["error"][2] == pytest.approx(rmse / spread)
    names = [name for name, _ in instruments.scalars(measures, "instruments/")]
    assert "instruments/reward/rmse/1" in names
    assert "instruments/position/error/2" in names
    assert not [name for name in names if name.startswith("instruments/reward/error")]
    assert not [name for name in names if "position/rmse" in name]


def make_simulation(rewards, promised, task="cup", horizon=2):
    episode = {"reward": np.array([0, *rewards], np.float32)}
    if promised is not None:
        promised = np.array(promised, np.float32)
    return simulations.Simulation(task, horizon, episode, None, promised)


def test_promised_and_received_returns():
    found = instruments.measure_plans(
        [
            make_simulation([1, 2, 4], [3, 4, 9]),  # 2 and 4 are received.
            make_simulation([0, 2, 0, 0], [1, 2, 3, 9]),  # 1, 2 and 0.
            make_simulation([1], [5], "short"),
            make_simulation([1, 2, 4], None, "unplanned"),
            make_simulation([1, 2], [7, 7], "ball", 1),
        ],
        0.5,
    )
    assert found.keys() == {"cup/horizon_2", "ball/horizon_1"}
    cup = found["cup/horizon_2"]
    assert cup["decisions"] == 5
    assert cup["promised"] == pytest.approx((3 + 4 + 1 + 2 + 3) / 5)
    assert cup["received"] == pytest.approx((2 + 4 + 1 + 2 + 0) / 5)
    expected = np.corrcoef([3, 4, 1, 2, 3], [2, 4, 1, 2, 0])[0, 1]
    assert cup["correlation"] == pytest.approx(expected)
    assert found["ball/horizon_1"]["correlation"] is None


def test_script_and_training_look_at_the_same_distances():
    assert diagnose.DISTANCES == instruments.DISTANCES


def test_episodes_that_cannot_be_used_are_named_and_skipped(tmp_path, capsys):
    (task,) = tasks.load(tasks.Selection(["dummy"]))
    spec = {**diagnose._spec(task, "image"), "position": None}
    good = {key: values[0] for key, values in make_batch().items()}
    del good["length"]
    changes = {
        "good-1": {"reward": good["reward"].astype(np.float64)},
        "good-2": {"other": np.full(10, "word")},
        "nan": {"reward": np.full(10, np.nan)},
        "small": {"image": good["image"][:, ::2]},
        "wide": {"action": np.zeros((10, 3))},
    }
    for name, change in changes.items():
        np.savez(tmp_path / f"{name}.npz", **{**good, **change})
    (tmp_path / "text.npz").write_text("no episode")
    found = instruments.read_newest(tmp_path, 3, spec)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" is not")[0] for line in lines] == [
        f"Skip an episode: {tmp_path}/{name}.npz"
        for name in ("wide", "text", "small", "nan")
    ]
    assert len(found) == 2
    for episode in found:
        assert episode.keys() == COLOUR.keys()
        assert {x.dtype.name for x in episode.values()} == {"uint8", "float32"}
    assert len(instruments.read_newest(tmp_path, 1, spec)) == 1
