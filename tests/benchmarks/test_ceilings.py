import json

from benchmarks import ceilings


def test_measures_only_what_is_missing(run_main, tmp_path):
    command = [tmp_path / "new", "--action_repeat", 50, "--amount", 2, "--topk", 1]
    command += ["--iterations", 1, "--tasks", "cartpole_balance_da", "--horizons", 1]
    code, out, err = run_main(ceilings.main, *command)
    assert code == 0, err
    (path,) = (tmp_path / "new").iterdir()
    first = path.read_text()
    code, out, err = run_main(ceilings.main, *command, 2)
    assert code == 0, err
    assert path.read_text() == first
    assert len(list((tmp_path / "new").iterdir())) == 2
    *_, header, _, one, two = [
        [cell.strip() for cell in line.strip("| ").split("|")]
        for line in out.splitlines()
    ]
    assert header[:4] == ["task", "action repeat", "horizon", "seconds ahead"]
    mean = json.loads(first)["cartpole_balance_da"]["mean"]
    cells = ["cartpole_balance_da", "50", "1", "0.50", "2×1×1", "1", f"{mean:.0f}"]
    assert one == cells
    assert two[2] == "2"


def test_bad_input(run_main, tmp_path):
    code, out, err = run_main(ceilings.main, tmp_path / "new", "--tasks", "reacher")
    assert (code, out) == (2, "")
    message = "unknown task 'reacher'; did you mean 'reacher_easy'?"
    assert err == f"benchmarks.ceilings: error: {message}\n"
    assert not (tmp_path / "new").exists()
