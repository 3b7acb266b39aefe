import io
import re
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from planet.scripts import configs
from planet.tools import events, preprocess, video
from planet.training import define_model, define_summaries, simulations

COLOUR = {"image": (64, 64, 3), "action": (2,), "reward": (), "position": (3,)}
GREY = {"image": (64, 64, 1), "action": (2,), "reward": ()}
STATE = {"state": (5,), "action": (2,), "reward": ()}
CLOCKWORK = {"model_size": [8, 6], "state_size": [4, 3], "cw_tau": [1, 3]}
IMAGES = {
    "data/strip",
    *[
        f"{version}/{kind}"
        for version in ("prior", "posterior", "open_loop")
        for kind in ("strip", "video")
    ],
}
COLOURED = [*IMAGES, "trajectories/position", "trajectories/reward"]


def make_model(spec=COLOUR, **params):
    settings = {"tasks": ["dummy"], "dumbnet": True, "overshooting": 0}
    if "state" in spec:
        settings["observations"] = "state"
    config = configs.load("debug", {**settings, **params})
    tf.keras.utils.set_random_seed(0)
    return define_model.define_model(config, spec)


def make_batch(spec=COLOUR, steps=10, amount=4):
    rng = np.random.default_rng(0)
    batch = {
        key: rng.uniform(-0.5, 0.5, (amount, steps, *shape)).astype(np.float32)
        for key, shape in spec.items()
    }
    batch["length"] = np.full(amount, steps, np.int32)
    return batch


def write(folder, spec, batch, **params):
    """Writes a batch, twice, as the trainer does; returns the summaries of a kind."""
    pictures = define_summaries.Pictures(make_model(spec, **params), 5)
    writer = tf.summary.create_file_writer(str(folder))
    for step in (1, 2):
        with writer.as_default(step):
            tensors = tf.nest.map_structure(tf.convert_to_tensor, batch)
            pictures.write_batch(tensors, step)
    writer.close()
    assert pictures._compiled.experimental_get_tracing_count() == 1
    return {
        kind: {tag: found[-1].value for tag, found in events.read(folder, kind).items()}
        for kind in ("images", "histograms")
    }


@pytest.mark.parametrize(
    ("spec", "params", "tags"),
    [
        (COLOUR, {}, COLOURED),
        pytest.param(COLOUR, {"model": "ssm"}, COLOURED, marks=pytest.mark.slow),
        pytest.param(COLOUR, {"model": "rssm_ma"}, COLOURED, marks=pytest.mark.slow),
        pytest.param(COLOUR, {"model": "drnn"}, COLOURED, marks=pytest.mark.slow),
        (COLOUR, {"model": "rnn"}, COLOURED),
        (COLOUR, CLOCKWORK, COLOURED),
        (COLOUR, {"tap_cell": "rssm"}, COLOURED),
        (GREY, {}, [*IMAGES, "trajectories/reward"]),
        (STATE, {}, ["trajectories/reward", "trajectories/state"]),
    ],
)
def test_summaries_of_a_batch(spec, params, tags, tmp_path):
    found = write(tmp_path, spec, make_batch(spec, steps=4), **params)
    assert sorted(found["images"]) == sorted(tags)
    assert sorted(found["histograms"]) == ["entropy/posterior", "entropy/prior"]
    for histogram in found["histograms"].values():
        assert histogram[:, 2].sum() == define_summaries.SEQUENCES * 4
    for tag, (picture,) in found["images"].items():
        kind = "GIF" if tag.endswith("video") else "PNG"
        assert Image.open(io.BytesIO(picture)).format == kind


@pytest.mark.parametrize(("spec", "steps"), [(COLOUR, 1), (COLOUR, 3), (STATE, 1)])
def test_short_chunks_and_small_batches(spec, steps, tmp_path):
    found = write(tmp_path, spec, make_batch(spec, steps, amount=2))
    assert "trajectories/reward" in found["images"]


@pytest.mark.parametrize("spec", [COLOUR, GREY])
def test_rows_of_a_strip(spec, tmp_path):
    batch = make_batch(spec, steps=6)
    batch["length"][0] = 4
    found = write(tmp_path, spec, batch)["images"]
    truth = preprocess.postprocess(batch["image"], 5).numpy()
    truth[0, 4:] = 0
    strips = {
        tag: decode(picture) for tag, (picture,) in found.items() if "strip" in tag
    }
    data = strips["data/strip"]
    assert data.shape[:2] == (3 * 64 + 2 * 4, 6 * 64)
    for version in ("prior", "posterior", "open_loop"):
        strip = strips[f"{version}/strip"]
        if version == "open_loop":
            line = strip[:, 3 * 64 : 3 * 64 + 4]
            assert (line == 255).all()
            strip = np.delete(strip, np.s_[3 * 64 : 3 * 64 + 4], 1)
        for sequence in range(3):
            top = sequence * (4 * 64 + 4)
            rows = np.reshape(strip[top : top + 4 * 64], [4, 64, 6, 64, -1])
            rows = rows.transpose(0, 2, 1, 3, 4).astype(int)
            shown, prediction, change, error = rows
            np.testing.assert_array_equal(shown, truth[sequence])
            np.testing.assert_array_equal(error, 128 + (prediction - shown) // 2)
            np.testing.assert_array_equal(change[0], 128)
            expected = 128 + (prediction[1:] - prediction[:-1]) // 2
            np.testing.assert_array_equal(change[1:], expected)
            if sequence == 0:
                assert not rows[:2, 4:].any()
        frames, _ = video.decode_gif(found[f"{version}/video"][0])
        assert frames.shape == (6, 3 * 64, 3 * 64, 3)


def decode(picture):
    array = np.asarray(Image.open(io.BytesIO(picture)))
    return array.reshape([*array.shape[:2], -1])


@pytest.mark.parametrize("params", [{}, CLOCKWORK])
def test_what_predictions_have_seen(params):
    """Changes one image, and looks where predictions change."""
    pictures = define_summaries.Pictures(make_model(**params), 5)
    batch = make_batch(steps=10)
    changed = {**batch, "image": batch["image"].copy()}

    def predict(data):
        _, predictions, _, _ = pictures._compiled(
            tf.nest.map_structure(tf.convert_to_tensor, data), tf.constant([1, 2])
        )
        return {key: heads["reward"].numpy() for key, heads in predictions.items()}

    def first_difference(index):
        changed["image"][:] = batch["image"]
        changed["image"][:, index] = 0.5
        before, after = predict(batch), predict(changed)
        different = {key: (before[key] != after[key])[0, :, 0] for key in before}
        return {
            key: int(values.argmax()) if values.any() else None
            for key, values in different.items()
        }

    assert first_difference(4) == {"prior": 5, "posterior": 4, "open_loop": 4}
    assert first_difference(6) == {"prior": 7, "posterior": 6, "open_loop": None}


def make_simulation(task="cup", decisions=4, **changes):
    rng = np.random.default_rng(0)
    episode = {
        "image": rng.integers(0, 9, (decisions + 1, 64, 64, 1), np.uint8),
        "action": np.eye(3, dtype=np.float32)[np.arange(decisions + 1) % 3],
        "reward": np.arange(decisions + 1, dtype=np.float32),
    }
    return simulations.Simulation(task, 12, episode, **changes)


def test_summaries_of_simulations(tmp_path):
    pictures = define_summaries.Pictures(make_model(), 5)
    blind = make_simulation("blind")
    del blind.episode["image"]
    simulations = [make_simulation(), make_simulation("long", 600), blind]
    writer = tf.summary.create_file_writer(str(tmp_path))
    with writer.as_default(1):
        pictures.write_simulations(simulations)
    writer.close()
    found = events.read(tmp_path, "images")
    assert set(found) == {
        *[f"simulation/{task}/horizon_12/rewards" for task in ("cup", "long", "blind")],
        *[f"simulation/{task}/horizon_12/video" for task in ("cup", "long")],
    }
    frames, _ = video.decode_gif(found["simulation/cup/horizon_12/video"][0].value[0])
    images = simulations[0].episode["image"]
    np.testing.assert_array_equal(frames, np.broadcast_to(images, frames.shape))
    long, _ = video.decode_gif(found["simulation/long/horizon_12/video"][0].value[0])
    assert len(long) == len(range(0, 601, 3))
    assert simulations[0].episode["reward"][0] == 0


@pytest.mark.parametrize("discrete", [False, True])
def test_report(discrete, tmp_path, capsys):
    report = define_summaries.Report(10, discrete)
    report.add({"total": tf.constant(2.0)}, {"zs_entropy": tf.constant(1.0)})
    report.add({"total": tf.constant(4.0)}, {"zs_entropy": tf.constant(1.0)})
    returns = np.zeros((4, 2, 50))
    returns[:, 1] = 1
    report.add_simulations([make_simulation("cup", plan_returns=returns)])
    report.add_simulations([make_simulation("ball", decisions=2)])
    report.print_line(30)
    assert report.score == (10 + 3) / 2
    assert capsys.readouterr().out == (
        "step/score/loss/zs_entropy/zs_divergence = [30 6.50 3.00 1.00 nan]\n"
    )
    writer = tf.summary.create_file_writer(str(tmp_path))
    with writer.as_default(30):
        report.write_histograms()
    writer.close()
    found = events.read(tmp_path, "histograms")
    histograms = {tag: values[0].value for tag, values in found.items()}
    scalars = report.scalars(30)
    assert scalars.pop("steps_per_second") > 0
    assert scalars == {
        "loss/total": 3,
        "zs_entropy": 1,
        "score": 6.5,
        "score/cup": 10,
        "score/ball": 3,
    }
    counts = {tag: values[:, 2].sum() for tag, values in histograms.items()}
    assert counts == {
        "simulation/cup/returns": 1,
        "simulation/ball/returns": 1,
        "simulation/cup/actions": 4 if discrete else 12,
        "simulation/ball/actions": 2 if discrete else 6,
        "plan_returns/first_iteration": 200,
        "plan_returns/last_iteration": 200,
    }
    actions = histograms["simulation/cup/actions"]
    assert (actions[0, 0], actions[-1, 1]) == (0, 2 if discrete else 1)
    first, last = (
        histograms[f"plan_returns/{name}_iteration"] for name in ("first", "last")
    )
    assert first[0, 0] <= 0 <= first[-1, 1] < last[0, 0] + 1
    assert last[0, 0] <= 1 <= last[-1, 1]


def test_speeds_count_what_alone_took_time(capsys):
    report = define_summaries.Report(0)
    for _ in range(2):
        with report.updating():
            time.sleep(0.1)
    report.add_simulations([make_simulation(decisions=4, seconds=0.5)] * 2)
    time.sleep(0.1)
    report.print_speed()
    line = capsys.readouterr().out
    pattern = r"The phase took 0\.\d s, (\S+) updates/s, 8 decisions/s\.\n"
    updates = float(re.fullmatch(pattern, line)[1])
    assert 2 < updates < 10
    found = report.scalars(1)
    assert found["decisions_per_second"] == 8
    assert found["updates_per_second"] == pytest.approx(updates, 0.01)
