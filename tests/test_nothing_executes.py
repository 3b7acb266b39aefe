"""No file that is read runs code: a malicious sample of each kind is refused."""

import pathlib
import pickle
import zipfile

import numpy as np
import pytest
from tensorboard.util import tensor_util

from benchmarks.soak import samples
from planet.scripts import (
    analyse_latents,
    compile_scores,
    configs,
    create_video,
    evaluate,
    export,
    fetch_events,
    plot_scores,
    runs,
    train,
)
from planet.tools import episode_files, latent_files
from planet.training import running
from tests import written_runs


@pytest.fixture
def marker(tmp_path):
    """A file that appears if code is executed."""
    path = tmp_path / "executed"
    pickle.loads(samples.malicious(path))
    assert path.exists()
    path.unlink()
    yield path
    assert not path.exists()


def malicious_texts(marker):
    """YAML that runs code when it is loaded without caution."""
    yield f'a: !!python/object/apply:os.system ["touch {marker}"]'
    yield f'!!python/object/apply:pathlib.Path.touch ["{marker}"]'
    yield f'!!python/object/new:os.system ["touch {marker}"]'
    yield f'a: !!python/object/apply:builtins.exec ["open({str(marker)!r}, 0o101)"]'
    yield "a: !!python/module:antigravity"


def malicious_archive(path, marker, arrays):
    """Writes an npz file with a pickle among the arrays, and another beside them."""
    evil = np.array([samples.Malicious(marker)], object)
    np.savez(path, **arrays, evil=evil)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("../../outside.npy", b"")
        file.writestr("/tmp/planet_outside.npy", b"")


def test_pings(marker, tmp_path):
    contents = [samples.malicious(marker)]
    contents += [text.encode() for text in malicious_texts(marker)]
    for content in contents:
        (tmp_path / "PING").write_bytes(content)
        heartbeat = running.Heartbeat(tmp_path, 1000)
        assert heartbeat.owner() is None
        heartbeat.stop() if heartbeat.start() else pytest.fail("it is not stale")


def test_settings(marker, tmp_path, run_main):
    run = tmp_path / "00001"
    run.mkdir()
    contents = [samples.malicious(marker)]
    contents += [text.encode() for text in malicious_texts(marker)]
    for content in contents:
        (run / "config.yaml").write_bytes(content)
        for main, *arguments in (
            (evaluate.main,),
            (export.main, "--output", tmp_path / "agent"),
        ):
            code, _, err = run_main(main, "--logdir", run, *arguments)
            assert code == 2
            assert len(err.splitlines()) == 1
    assert list(run.iterdir()) == [run / "config.yaml"]


def test_arguments_of_constructors(marker, tmp_path, run_main):
    """Settings call functions, but with arguments only those that make environments."""
    run = tmp_path / "00001"
    run.mkdir()
    evil = tmp_path / "evil.npy"
    np.save(evil, np.array([samples.Malicious(marker)]), allow_pickle=True)
    runs.save_config(configs.load("debug", {"tasks": ["dummy"]}), run / "config.yaml")
    text = (run / "config.yaml").read_text()
    text = text.replace("[dummy]", "['numpy:load']").replace(
        "env_params: {}", f"env_params: {{file: {evil}, allow_pickle: true}}"
    )
    (run / "config.yaml").write_text(text)
    code, _, err = run_main(evaluate.main, "--logdir", run)
    assert code == 2
    (line,) = err.splitlines()
    assert "'numpy:load' cannot be used: env_params are only passed to a class" in line


@pytest.mark.parametrize("main", [train.main, evaluate.main])
def test_params(main, marker, tmp_path, run_main):
    run = tmp_path / "00001"
    run.mkdir()
    params = {"tasks": ["dummy"], "isolate_envs": "thread"}
    runs.save_config(configs.load("debug", params), run / "config.yaml")
    for text in malicious_texts(marker):
        code, _, err = run_main(main, "--logdir", run, "--params", text)
        assert code == 2
        (line,) = err.splitlines()
        assert "--params cannot be read as YAML: could not determine a cons" in line
        path = tmp_path / "settings.yaml"
        path.write_text(text)
        for flags in (("--params", path), ("--params", f"tasks={text}")):
            code, _, err = run_main(main, "--logdir", run, *flags)
            assert code == 2
            (line,) = err.splitlines()
            assert " cannot be read as YAML: could not determine a constructor" in line
        if main is train.main:
            code, _, err = run_main(main, "--logdir", tmp_path, "--config", path)
            assert code == 2
            assert "settings.yaml cannot be read as YAML: could not determ" in err
    assert list(run.iterdir()) == [run / "config.yaml"]


def test_episodes(marker, tmp_path):
    episode = {"action": np.zeros((3, 1)), "reward": np.zeros(3)}
    malicious_archive(tmp_path / "1.npz", marker, episode)
    (tmp_path / "2.npz").write_bytes(samples.malicious(marker))
    np.save(
        tmp_path / "3.npy", np.array([samples.Malicious(marker)]), allow_pickle=True
    )
    (tmp_path / "3.npy").rename(tmp_path / "3.npz")
    before = sorted(tmp_path.rglob("*"))
    for path in episode_files.scan(tmp_path):
        with pytest.raises(episode_files.TornEpisodeError):
            episode_files.read(path)
    for path in (tmp_path / "2.npz", tmp_path / "3.npz"):
        with pytest.raises(episode_files.TornEpisodeError):
            episode_files.count_decisions(path)
    assert sorted(tmp_path.rglob("*")) == before
    assert not pathlib.Path("/tmp/planet_outside.npy").exists()


def test_latents(marker, tmp_path, run_main):
    run = tmp_path / "00001"
    (run / "latents").mkdir(parents=True)
    (run / "config.yaml").touch()
    arrays = {"sample": np.zeros((1, 2)), "phase": "test"}
    malicious_archive(run / "latents" / "latents_0_1.npz", marker, arrays)
    evil = samples.malicious(marker)
    (run / "latents" / "latents_1_2.npz").write_bytes(evil)
    code, _, err = run_main(analyse_latents.main, run, "--output", tmp_path / "out")
    assert code == 2
    lines = [line.partition(":")[0] for line in err.splitlines()]
    assert lines == ["Skip a file"] * 2 + [
        f"Skip {tmp_path.name}/00001",
        "planet.scripts.analyse_latents",
    ]
    assert len(latent_files.scan(run / "latents")) == 2
    assert not (tmp_path / "out").exists()


def test_events(marker, tmp_path, run_main):
    test = tmp_path / "runs" / "00001" / "test"
    evil = samples.malicious(marker)
    written_runs.write_run(test.parent)
    for plugin in ("scalars", "images", "histograms", evil.hex()):
        tensor = tensor_util.make_tensor_proto([b"1", b"1", evil])
        written_runs.write_value(test, plugin, f"../../{plugin}", tensor)
        tensor.string_val[:] = []
        tensor.tensor_content = evil  # Bytes in place of objects.
        written_runs.write_value(test, plugin, f"/tmp/{plugin}", tensor)
    with written_runs.event_files(test)[0].open("ab") as file:
        file.write(samples.record(evil))
    output = tmp_path / "output"
    command = ("--logdir", tmp_path / "runs", "--output")
    assert run_main(fetch_events.main, *command, output)[0] == 0
    command = (*command, tmp_path / "film.gif", "--tag", "*")
    assert run_main(create_video.main, *command)[0] == 2
    assert run_main(compile_scores.main, tmp_path, tmp_path / "scores.json")[0] == 0
    (image,) = (output / "images").rglob("*00000001*")
    assert image.read_bytes() == evil
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["output", "runs", "scores.json"]


def test_scores(marker, tmp_path, run_main):
    scores, plot = tmp_path / "scores.json", tmp_path / "plot.png"
    for content in (
        samples.malicious(marker),
        *(text.encode() for text in malicious_texts(marker)),
    ):
        scores.write_bytes(content)
        command = (scores, "--output", plot)
        code, _, err = run_main(plot_scores.main, *command)
        assert (code, len(err.splitlines())) == (2, 1)
    scores.write_text('{"../../outside/00001": {"test_score": [1, 2]}}')
    command = (scores, "--output", plot, "--metrics", "test_score")
    assert run_main(plot_scores.main, *command)[0] == 0
    assert sorted(tmp_path.iterdir()) == [plot, scores]


def test_weights(marker, tmp_path, run_main):
    run = tmp_path / "00001"
    weights = run / "checkpoints" / "ckpt-5"
    weights.mkdir(parents=True)
    params = {"tasks": ["dummy"], "isolate_envs": "thread"}
    runs.save_config(configs.load("debug", params), run / "config.yaml")
    malicious_archive(weights / "001.npz", marker, {"kernel": np.zeros(3)})
    command = ("--logdir", run, "--output", tmp_path / "agent")
    code, _, err = run_main(export.main, *command)
    assert code == 2
    (line,) = [line for line in err.splitlines() if line.startswith("planet")]
    assert f"{weights}/001.npz is damaged: " in line
    assert list(tmp_path.iterdir()) == [run]
