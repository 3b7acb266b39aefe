import pytest

from benchmarks import collectors
from planet.scripts import configs, runs


@pytest.mark.slow
def test_runs_are_read_and_compared(finished_runs):
    found = [finished_runs[0] / name for name in ("00001", "00002")]
    batch = runs.read_config(found[0] / "config.yaml").batch_shape[0]
    read = [collectors.read(run, batch) for run in found]
    assert read[0]["updates"] == [2, 4]
    assert read[0]["episodes"] == [2, 3]
    assert all(speed > 0 for speed in read[0]["updates_per_second"])
    lines = collectors.table({"0": read, "1": read}).splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert rows[0] == ["", "0 collectors", "1 collector"]
    assert rows[3] == ["episodes at the end", "3.0", "3.0"]
    assert [row[0] for row in rows[4:]] == [
        "score after 2 updates",
        "score after 4 updates",
    ]


@pytest.mark.parametrize(("updates", "epochs"), [(1, 1), (100, 1), (101, 2)])
def test_runs_are_as_long_as_wanted(updates, epochs):
    params = collectors.settings("cartpole_balance", updates)
    config = configs.load("newhp", params)
    assert config.max_steps == epochs * (config.train_steps + config.test_steps)
