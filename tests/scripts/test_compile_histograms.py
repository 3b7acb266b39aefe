import json

import pytest

from tests import written_runs

PROG = "planet.scripts.compile_histograms"


@pytest.fixture
def compile_histograms(run_python):
    def run(*arguments):
        return run_python("-m", PROG, *arguments)

    return run


def test_histograms(compile_histograms, tmp_path):
    test = tmp_path / "runs" / "label" / "00001" / "test"
    for step in (220, 110):
        for tag, returns in (("first", [0, 1, 2, 30]), ("last", [step, step + 30])):
            tag = f"plan_returns/{tag}_iteration"
            written_runs.write_histogram(test, tag, step, returns)
    without = tmp_path / "runs" / "without" / "00001"
    written_runs.write_run(without)
    output = tmp_path / "histograms.json"
    result = compile_histograms(tmp_path / "runs", output)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "label: 2 epochs\n"
    assert result.stderr == (
        f"Skip {without}: no histograms test/plan_returns/last_iteration: it takes a "
        "run with summarise_plan_returns\n"
    )
    content = json.loads(output.read_text())
    assert list(content) == ["label"]
    assert list(content["label"]) == ["cem_returns", "cem_returns_first"]
    for lowest, epoch in zip((110, 220), content["label"]["cem_returns"], strict=True):
        assert list(epoch) == ["limits", "counts"]
        assert epoch["limits"] == [lowest + 1 + index for index in range(30)]
        assert epoch["counts"] == [1] + 28 * [0] + [1]
    for epoch in content["label"]["cem_returns_first"]:
        assert epoch["counts"] == 3 * [1] + 26 * [0] + [1]


def test_bad_input(compile_histograms, tmp_path):
    result = compile_histograms(tmp_path / "missing", tmp_path / "out.json")
    assert result.returncode == 2
    assert result.stderr.startswith(f"{PROG}: error: argument PARENT: '")
    result = compile_histograms(tmp_path, tmp_path / "out.json")
    assert result.returncode == 1
    assert not any(tmp_path.iterdir())
