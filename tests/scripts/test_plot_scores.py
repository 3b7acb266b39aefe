import json
import pickle

import numpy as np
import pytest
from PIL import Image

from planet.scripts import plot_scores


@pytest.fixture
def scores(tmp_path):
    """A file with runs of which two belong together."""
    metrics = {
        "test_score": [10, 30, 50, 70],
        "image_loss": [11300, 11299, 11298, 11297],
        "image_loss_te": [11301, 11300, None, 11299],
        "reward_loss_te": [1.2, 1.1, 1.0, 0.9],
    }
    worse = {key: values[:3] for key, values in metrics.items()}
    worse["test_score"] = [0, 10, 20]
    content = {
        "cheetah_a": metrics,
        "cheetah_b/00001": metrics,
        "cheetah_b/00002": worse,
        "_walker_$x^2$": {"test_score": [5], "image_loss": [3]},
    }
    path = tmp_path / "scores.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def baseline(tmp_path):
    path = tmp_path / "random.json"
    means = {"cheetah_run": 6.5, "walker_walk": 40}
    path.write_text(json.dumps({task: {"mean": mean} for task, mean in means.items()}))
    return path


def test_png_and_svg(scores, baseline, run_python, tmp_path):
    png, svg = tmp_path / "plot.png", tmp_path / "plot.svg"
    result = run_python(
        *("-m", "planet.scripts.plot_scores", scores, "--output", png, svg),
        *("--baseline", baseline, "--task", "cheetah_run", "--title", "A title"),
        *("--smooth", 2, "--max_epoch", 3),
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert result.stdout == f"Wrote {png}\nWrote {svg}\n"
    with Image.open(png) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("RGB"))
    for color in ("#0072B2", "#D55E00", "#009E73"):  # One for each label.
        rgb = [int(color[at : at + 2], 16) for at in (1, 3, 5)]
        assert (pixels == rgb).all(-1).sum() > 20
    assert svg.read_text().startswith("<?xml")


def test_curves_are_means_with_ranges(scores):
    runs = list(plot_scores.read_scores(scores).items())
    curves = plot_scores.select(runs, ["cheetah_b"])
    lines = [("random actions, task", 4.0), ("perfect model, task", 90.0)]
    figure = plot_scores.plot(curves, ["test_score"], "title", lines)
    (panel,) = figure.axes
    mean, random, perfect = panel.lines
    np.testing.assert_allclose(mean.get_xdata(), [1, 2, 3, 4])
    np.testing.assert_allclose(mean.get_ydata(), [5, 20, 35, 70])
    np.testing.assert_allclose(random.get_ydata(), [4, 4])
    np.testing.assert_allclose(perfect.get_ydata(), [90, 90])
    (band,) = panel.collections
    corners = band.get_paths()[0].vertices
    assert {tuple(corner) for corner in corners} >= {(1, 0), (1, 10), (3, 20), (3, 50)}
    (legend,) = figure.legends
    texts = [text.get_text().strip() for text in legend.get_texts()]
    assert texts == ["cheetah_b (2 runs)", *(label for label, _ in lines)]


def test_metrics_of_the_original_can_differ_in_length(tmp_path):
    path = tmp_path / "scores.json"
    run = {"test_score": [10, 30], "image_loss": [11300, 11299, 11298]}
    path.write_text(json.dumps({"a": run}))
    drawing = plot_scores.plot(
        {"a": list(plot_scores.read_scores(path).values())}, list(run)
    )
    for panel, values in zip(drawing.axes, run.values(), strict=True):
        (line,) = panel.lines
        shown = np.ma.masked_invalid(line.get_ydata()).compressed()
        np.testing.assert_allclose(shown, values)


def test_runs_are_interpolated_on_other_axes():
    runs = [
        {"test_score": np.array([0.0, 10, 20]), "minutes": np.array([1.0, 3, 5])},
        {"test_score": np.array([30.0, 50]), "minutes": np.array([2.0, 4])},
    ]
    drawing = plot_scores.plot({"a": runs}, ["test_score"], x="minutes")
    (panel,) = drawing.axes
    (line,) = panel.lines
    np.testing.assert_allclose(line.get_xdata(), [1, 2, 3, 4, 5])
    np.testing.assert_allclose(line.get_ydata(), [0, 17.5, 25, 32.5, 20])
    assert panel.get_xlabel() == "minutes of training"
    corners = {tuple(x) for x in panel.collections[0].get_paths()[0].vertices}
    assert corners >= {(2, 5), (2, 30), (4, 15), (4, 50)}


def test_axes_of_a_file(tmp_path, run_main):
    path, plot = tmp_path / "scores.json", tmp_path / "plot.png"
    run = {"test_score": [1, 2, 3], "env_steps": [1000, 2000, 3000]}
    path.write_text(json.dumps({"a": run, "b": {"test_score": [4, 5, 6]}}))
    command = [path, "--output", plot, "--metrics", "test_score", "--x", "env_steps"]
    code, _, err = run_main(plot_scores.main, *command)
    assert code == 2
    assert "b lacks env_steps, which compile_scores writes with --x env_steps" in err
    assert not plot.exists()
    command += ["--labels", "a", "--smooth", "2"]
    assert run_main(plot_scores.main, *command)[0] == 0
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_missing_numbers_are_gaps(scores):
    runs = list(plot_scores.read_scores(scores).items())
    curves = plot_scores.select(runs, ["cheetah_a"])
    (panel,) = plot_scores.plot(curves, ["image_loss_te"]).axes
    values = np.ma.filled(panel.lines[0].get_ydata(), np.nan)
    np.testing.assert_allclose(values, [11301, 11300, np.nan, 11299])


def test_labels():
    names = ["a", "a_x", "a_y/00001", "a_y/00002", "b.c"]
    runs = [(name, {"test_score": np.arange(3)}) for name in names]

    def count(labels):
        curves = plot_scores.select(runs, labels)
        return {label: len(members) for label, members in curves.items()}

    assert count(None) == {"a": 1, "a_x": 1, "a_y": 2, "b.c": 1}
    assert count(["a"]) == {"a": 1}  # The runs of that label,
    assert count(["a*"]) == {"a*": 4}  # or all whose label starts with it.
    assert count(["a_"]) == {"a_": 3}
    assert count(["a_y", "a_y/00002", "b"]) == {"a_y": 2, "a_y/00002": 1, "b": 1}
    assert plot_scores.select(runs * 2, ["a"])["a"] == [runs[0][1]] * 2
    with pytest.raises(ValueError, match="unknown label 'bxc'; did you mean 'b"):
        plot_scores.select(runs, ["a", "bxc"])


def test_runs_may_see_states():
    run = {"image_loss": np.arange(3.0)}
    figure = plot_scores.plot({"a": [run]}, ["image_loss"])
    assert figure.axes[0].get_title() == "observation loss, training episodes"


def test_smoothing():
    values = np.array([1, 2, np.nan, 6, 7])
    np.testing.assert_allclose(plot_scores.smooth(values, 1), values)
    expected = [1, 1.5, 2, 6, 6.5]
    np.testing.assert_allclose(plot_scores.smooth(values, 2), expected)
    np.testing.assert_allclose(plot_scores.smooth(values, 9), [1, 1.5, 1.5, 3, 4])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--labels", "chetah_a"],
            "unknown label 'chetah_a'; did you mean 'cheetah_a'?",
        ),
        (["--metrics", "score"], "unknown metric 'score'; did you mean 'test_score'?"),
        (
            ["--baseline", "RANDOM"],
            "--task must choose from cheetah_run, walker_walk in",
        ),
        (
            ["--baseline", "RANDOM", "--task", "walker"],
            "unknown task 'walker'; did you mean 'walker_walk'?",
        ),
        (
            ["--baseline", "SCORES"],
            "'{}/scores.json' is not what random_returns or ceiling writes",
        ),
        (["--task", "cheetah_run"], "--task needs --baseline"),
        (["--smooth", "0"], "argument --smooth: must be a whole number of at least 1"),
        (
            ["--output", "plot.jpg"],
            "argument --output: 'plot.jpg' must end with .png or",
        ),
        (["--output", "SCORES"], "argument --output: '{}/scores.json' must end with"),
    ],
)
def test_bad_input(arguments, message, scores, baseline, tmp_path, capsys):
    paths = {"SCORES": str(scores), "RANDOM": str(baseline)}
    arguments = [paths.get(word, word) for word in arguments]
    command = [str(scores), "--output", str(tmp_path / "plot.png"), *arguments]
    with pytest.raises(SystemExit, match="2"):
        plot_scores.main(command)
    (line,) = capsys.readouterr().err.splitlines()
    message = message.format(tmp_path)
    assert line.startswith(f"planet.scripts.plot_scores: error: {message}")
    assert {path.suffix for path in tmp_path.iterdir()} == {".json"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"a": 3}',
        b'{"a": {"test_score": ["x"]}}',
        b'{"a": {"test_score": [[1]]}}',
        b'{"a": {"test_score": []}}',
        b'{"a": {"test_score": [1, 2], "steps": [1]}}',
        b'{"a": {"test_score": [1' + b"0" * 400 + b"]}}",
        b"[" * 100_000,
        b"\x89PNG\r\n",
        pickle.dumps({"a": {"test_score": [1]}}),
    ],
)
def test_damaged_scores_are_refused(content, tmp_path, capsys):
    path, good = tmp_path / "scores.json", tmp_path / "good.json"
    path.write_bytes(content)
    good.write_text('{"a": {"test_score": [1]}}')
    plot = str(tmp_path / "plot.png")
    for arguments, writers in (
        ((path,), "compile_scores"),
        ((good, "--metrics", "test_score", "--baseline", path), "random_returns"),
    ):
        with pytest.raises(SystemExit, match="2"):
            plot_scores.main([*map(str, arguments), "--output", plot])
        (line,) = capsys.readouterr().err.splitlines()
        assert f"'{path}' is not what {writers}" in line
    assert sorted(tmp_path.iterdir()) == [good, path]


def test_names_are_drawn_as_they_are(tmp_path):
    """Not as mathematics, which might be wrong."""
    name = "$\\frac{ \ud800 \n"
    path = tmp_path / "scores.json"
    path.write_text(json.dumps({name: {name: [1, 2]}}))
    plots = [str(tmp_path / f"plot.{suffix}") for suffix in ("png", "svg")]
    command = [str(path), "--metrics", name, "--title", name, "--output", *plots]
    assert plot_scores.main(command) == 0


def test_a_window_may_be_longer_than_any_run():
    values = np.array([1.0, np.nan, 4.0])
    np.testing.assert_array_equal(plot_scores.smooth(values, 10**12), [1, 1, 2.5])


def test_existing_plot_is_replaced_only_if_told(scores, tmp_path, capsys):
    plot = tmp_path / "plot.png"
    plot.write_text("precious")
    command = [str(scores), "--output", str(tmp_path / "new.svg"), str(plot)]
    with pytest.raises(SystemExit, match="2"):
        plot_scores.main(command)
    assert f"'{plot}' exists" in capsys.readouterr().err
    assert plot.read_text() == "precious"
    assert not (tmp_path / "new.svg").exists()
    assert plot_scores.main([*command, "--overwrite"]) == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
