"""Short versions of the cases of the soak test."""

import random

import pytest

from benchmarks.soak import files, fuzz, interrupts, kills, samples, workers
from benchmarks.soak import runs as shared
from planet.scripts import (
    analyse_latents,
    compile_histograms,
    compile_scores,
    create_video,
    fetch_events,
    plot_scores,
    runs,
)
from planet.tools import episode_files, weight_files


@pytest.mark.parametrize(
    ("case", "tries"),
    [
        (workers, 2),
        pytest.param(interrupts, 1, marks=pytest.mark.slow),
        pytest.param(kills, 1, marks=pytest.mark.slow),
        pytest.param(shared, 100, marks=pytest.mark.slow),
    ],
)
def test_nothing_is_lost(case, tries, tmp_path):
    found = case.run(tries, tmp_path, lambda: None)
    assert found.losses == []


def test_damaged_files_are_told_in_a_line(tmp_path):
    found = files.run(8 * len(files.READERS), tmp_path, lambda: None)
    assert found.losses == []
    assert found.survived == found.tried == 64


def test_any_settings_and_flags_are_taken_or_refused_in_a_line(tmp_path):
    found = fuzz.run(200, tmp_path, lambda: None)
    assert found.losses == []
    assert found.survived == found.tried >= 190


def test_samples_can_be_read(tmp_path, monkeypatch):
    """Otherwise, no damage would matter."""
    samples.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    for main, arguments in (
        (compile_scores.main, "runs a.json --x steps minutes"),
        (compile_histograms.main, "runs b.json"),
        (fetch_events.main, "--logdir runs --output out"),
        (create_video.main, "--logdir runs --tag film --output out.gif"),
        (create_video.main, "film.gif --output other.gif"),
        (plot_scores.main, "scores.json --output out.svg --baseline baseline.json"),
        (analyse_latents.main, "runs/label --output latents"),
    ):
        assert main(arguments.split()) == 0
    for run in runs.find(tmp_path / "runs" / "label"):
        assert runs.read_config(run / "config.yaml").tasks == ["dummy"]
        (path,) = episode_files.scan(run / "train_episodes")
        assert episode_files.read(path, samples.EXPECTED)["reward"].shape == (6,)
        weights = runs.choose_checkpoint(run)[1]
        assert weight_files.read(weights)["kernel"].shape == (4, 4)


@pytest.mark.parametrize("damage", files.DAMAGES)
def test_damages_change_a_file(damage, tmp_path):
    samples.write(tmp_path)
    path = tmp_path / "scores.json"
    before = path.read_bytes()
    files.DAMAGES[damage](path, random.Random(1), tmp_path / "marker")
    assert not path.exists() or path.read_bytes() != before
