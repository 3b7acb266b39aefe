import json

import pytest

from benchmarks import planners


@pytest.mark.slow
def test_returns_are_compared_and_continued(finished_runs, tmp_path, capsys):
    path = tmp_path / "planners.json"
    command = [str(finished_runs[0] / "00001"), "--iterations", "2", "--output"]
    command += [str(path), "--planners", "cem", "icem", "--amounts", "8"]
    assert planners.main([*command, "--episodes", "2"]) == 0
    cases = json.loads(path.read_text())["cases"]
    assert list(cases) == ["cem/8", "icem/8"]
    assert cases["cem/8"]["samples"] == 16
    assert cases["icem/8"]["samples"] == 8 + 6  # A decay of 1.25.
    assert all(len(case["returns"]) == 2 for case in cases.values())
    assert path.with_suffix(".png").exists()

    assert planners.main([*command, "--episodes", "3"]) == 0
    continued = json.loads(path.read_text())["cases"]
    for name, case in cases.items():
        assert continued[name]["returns"][:2] == case["returns"]
        assert len(continued[name]["returns"]) == 3
    assert "| `icem`" in capsys.readouterr().out

    content = json.loads(path.read_text())
    for case in content["cases"].values():
        case["milliseconds"] = 0
    path.write_text(json.dumps(content))
    assert planners.main([*command, "--episodes", "3", "--time_again"]) == 0
    timed = json.loads(path.read_text())["cases"]
    for name, case in continued.items():
        assert timed[name]["returns"] == case["returns"]
        assert timed[name]["milliseconds"] > 0

    with pytest.raises(SystemExit) as error:
        planners.main([*command, "--params", "{initial_sigma: 0.1}"])
    assert error.value.code == 2
    assert "has params None, not {'initial_sigma': 0.1}" in capsys.readouterr().err
    with pytest.raises(SystemExit) as error:
        planners.main([*command, "--seed", "1"])
    assert error.value.code == 2
    assert "has seed 0, not 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--planners", "icm"), "unknown planner 'icm'; did you mean 'icem'?"),
        (("--params", "{cem_topk: 5}"), "--amounts sets cem_topk, not --params"),
    ],
)
def test_wrong_arguments(arguments, message, finished_runs, tmp_path, capsys):
    command = [str(finished_runs[0] / "00001"), *arguments]
    with pytest.raises(SystemExit) as error:
        planners.main([*command, "--output", str(tmp_path / "x.json")])
    assert error.value.code == 2
    assert message in capsys.readouterr().err
