import pathlib

import numpy as np
import pytest

from planet.control import batch_env
from planet.scripts import configs, tasks
from planet.tools import episode_files
from planet.training import utility


def test_runs_of_an_experiment_have_seeds_of_their_own(tmp_path):
    seeds = {
        (seed, run): utility.first_seed(seed, tmp_path / run)
        for seed in (0, 1)
        for run in ("00001", "00002")
    }
    assert len(set(seeds.values())) == 4
    for (seed, run), value in seeds.items():
        assert utility.first_seed(seed, pathlib.Path("elsewhere") / run) == value
    arbitrary = {utility.first_seed(None, tmp_path) for _ in range(3)}
    assert len(arbitrary) == 3


@pytest.mark.parametrize("found", [0, 1])
def test_missing_seed_episodes_are_recorded(tmp_path, capsys, found):
    config = configs.load(
        "debug", {"tasks": ["dummy"], "num_seed_episodes": 3, "isolate_envs": "thread"}
    )
    (task,) = tasks.load(config)
    folders = {phase: tmp_path / phase for phase in utility.PHASES}
    episode = {
        "image": np.zeros((2, 64, 64, 3), np.uint8),
        "action": np.zeros((2, 2), np.float32),
        "reward": np.zeros(2, np.float32),
    }
    for _ in range(found):
        episode_files.write(folders["train"], episode)
    with batch_env.BatchEnv([batch_env.make(task.env_ctor, "thread")]) as envs:
        utility.collect_seed_episodes(config, [task], {"dummy": envs}, folders, 0)
        spec = utility.make_data_spec(envs)
    assert [len(episode_files.scan(folder)) for folder in folders.values()] == [3, 3]
    assert f"Recorded {3 - found} random episodes" in capsys.readouterr().out
    assert spec == {"image": (64, 64, 3), "action": (2,), "reward": ()}
