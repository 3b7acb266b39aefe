"""Runs that start from episodes of others: files, other runs, datasets of Minari."""

import functools
import json
import shutil
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.spaces import Box

from planet.scripts import export, runs, train
from planet.tools import episode_files, minari_datasets, wording
from planet.training import seeding
from tests.control.playing import load_one, play


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Where Minari keeps its datasets during a test."""
    pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    seeding._dataset.cache_clear()
    yield tmp_path / "minari"
    seeding._dataset.cache_clear()


def episode(length=6, actions=2, seed=0, **entries):
    rng = np.random.default_rng(seed)
    return {
        "action": rng.uniform(-1, 1, (length, actions)).astype(np.float32),
        "reward": np.arange(length, dtype=np.float32),
        **entries,
    }


def images(length=6, side=64):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (length, side, side, 3), np.uint8)


def folders(run):
    found = {phase: run / f"{phase}_episodes" for phase in episode_files.PHASES}
    for folder in found.values():
        folder.mkdir(parents=True, exist_ok=True)
    return found


SPEC = {"image": (64, 64, 3), "action": (2,), "reward": ()}


def copied(source, task, run, spec=SPEC, most=100):
    """What is copied to a run, by phase."""
    seeding.copy(str(source), task, spec, folders(run), most)
    return {
        phase: [episode_files.read(path) for path in episode_files.scan(folder)]
        for phase, folder in folders(run).items()
    }


def equal(lhs, rhs):
    assert set(lhs) == set(rhs)
    for name, array in lhs.items():
        np.testing.assert_array_equal(array, rhs[name])


def test_files_are_divided_once_and_in_order(tmp_path, capsys):
    written = [episode(seed=seed, image=images()) for seed in range(12)]
    for each in written:
        episode_files.write(tmp_path / "files", each)
    task = load_one("dummy")
    seeding.check(str(tmp_path / "files"), [task], "image")
    found = copied(tmp_path / "files", task, tmp_path / "run")
    for lhs, rhs in zip(found["test"], [written[0], written[10]], strict=True):
        equal(lhs, rhs)
    for lhs, rhs in zip(found["train"], written[1:10] + written[11:], strict=True):
        equal(lhs, rhs)
    assert capsys.readouterr().out == (
        f"Copied 10 episodes of {tmp_path}/files to train; mean return 15.0.\n"
        f"Copied 2 episodes of {tmp_path}/files to test; mean return 15.0.\n"
    )
    again = copied(tmp_path / "files", task, tmp_path / "run")
    assert {phase: len(x) for phase, x in again.items()} == {"train": 10, "test": 2}


def test_phases_of_a_run_are_kept_and_the_newest_taken(tmp_path):
    old, new = folders(tmp_path / "old"), tmp_path / "new"
    for phase, seeds in (("train", range(4)), ("test", range(4, 6))):
        for seed in seeds:
            more = {"image": images(), "extra": np.zeros(6)}
            episode_files.write(old[phase], episode(seed=seed, **more))
    found = copied(tmp_path / "old", load_one("dummy"), new, most=3)
    assert {phase: len(x) for phase, x in found.items()} == {"train": 3, "test": 2}
    equal(found["train"][0], episode(seed=1, image=images()))


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"actions": 3}, "a step of its 'action' has shape (3,), not (2,)"),
        (
            {"image": images(side=32)},
            "a step of its 'image' has shape (32, 32, 3), not",
        ),
        ({"image": np.zeros((6, 64, 64, 3))}, "its 'image' is of type float64"),
        ({"image": np.zeros(6, object)}, "its 'image' is of type object"),
        ({}, "it has no 'image'"),
    ],
)
def test_sizes_are_checked_before_anything_is_recorded(
    entries, reason, tmp_path, run_main
):
    source = tmp_path / "files"
    good = episode(image=images())
    for number in range(3):
        episode_files.write(source, good, f"{number}.npz")
    wrong = episode(**({"image": images()} if "actions" in entries else {}) | entries)
    with (source / "3.npz").open("wb") as file:
        np.savez(file, **wrong)
    params = f"{{tasks: [dummy], seed_dataset: {source}}}"
    command = ("--logdir", tmp_path / "runs", "--config", "debug", "--params", params)
    code, out, err = run_main(train.main, *command)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(f"planet.scripts.train: error: seed_dataset '{source}' cann")
    assert f"3.npz is not a complete episode: {reason}" in line
    assert not (tmp_path / "runs").exists()


def test_bad_sources(tmp_path):
    task = load_one("dummy")
    (tmp_path / "empty").mkdir()
    episode_files.write(tmp_path / "one", episode(image=images()))
    episode_files.write(tmp_path / "run" / "train_episodes", episode(image=images()))
    for source, reason in [
        ("nowhere", "it is no folder, and minari:NAME is a dataset of Minari"),
        ("empty", "it takes two episodes at least, one to train and one to test with;"),
        ("one", "one to test with; there is 1"),
        ("run", "it has no episodes to test with"),
    ]:
        with pytest.raises(seeding.SeedError, match=reason):
            seeding.check(str(tmp_path / source), [task], "image")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("dummy", {"action_repeat": 100}),
        pytest.param(
            "cartpole_balance_da",
            {"action_repeat": 50, "observations": "state"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "tests.control.user_envs:camera",
            {"action_repeat": 50, "image_key": "eye"},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_exported_episodes_are_those_that_a_run_starts_from(
    name, settings, home, tmp_path
):
    task = load_one(name, **settings)
    seen = settings.get("observations", "image")
    run = tmp_path / "run"
    written = play(task, run / "train_episodes", amount=3)
    path, count = seeding.export("planet/walk-v0", run, [task], seen)
    assert (path, count) == (home / "planet" / "walk-v0", 3)

    seeding.check("minari:planet/walk-v0", [task], seen)
    spec = {name: array.shape[1:] for name, array in written[0].items()}
    found = copied("minari:planet/walk-v0", task, tmp_path / "new", spec)
    for lhs, rhs in zip(found["test"] + found["train"], written, strict=True):
        equal(lhs, rhs)
    assert {x.dtype for x in found["test"][0].values()} <= {
        np.dtype(np.uint8),
        np.dtype(np.float32),
    }


def test_exported_dataset_is_one_that_minari_reads(home, tmp_path):
    minari = pytest.importorskip("minari")
    task = load_one("dummy", action_repeat=100)
    (written,) = play(task, tmp_path / "train_episodes")
    cut = {name: array[:4] for name, array in written.items()}
    episode_files.write(tmp_path / "test_episodes", cut)
    seeding.export("planet/dummy-v3", tmp_path, [task], "image")
    dataset = minari.load_dataset("planet/dummy-v3")
    first, second = dataset.iterate_episodes()
    np.testing.assert_array_equal(first.observations["image"], written["image"])
    np.testing.assert_array_equal(first.actions, written["action"][1:])
    np.testing.assert_array_equal(first.rewards, written["reward"][1:])
    assert (first.truncations[-1], first.terminations[-1]) == (True, False)
    assert (second.truncations[-1], second.terminations[-1]) == (False, True)
    assert dataset.action_space == task.env_ctor().action_space
    assert dataset.spec.total_steps == 10 + 3


def write(name, observation_space, action_space, observations, actions, count=2):
    """A dataset of somebody else, by Minari alone."""
    minari = pytest.importorskip("minari")
    steps = len(actions)
    last = np.arange(steps) == steps - 1
    buffer = minari.data_collector.EpisodeBuffer(
        observations=observations,
        actions=actions,
        rewards=np.arange(1.0, steps + 1),
        terminations=last,
        truncations=last & False,
    )
    minari.create_dataset_from_buffers(
        name,
        [buffer] * count,
        observation_space=observation_space,
        action_space=action_space,
        jpeg_encoding=False,
    )


PENDULUM = gymnasium.make("Pendulum-v1").observation_space


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_datasets_of_others_pass_through_the_wrappers(home, tmp_path):
    task = load_one("gym:Pendulum-v1", observations="state")
    shown = np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3)
    actions = np.float32([[-2], [0], [1], [2]])
    write("pendulum-v0", PENDULUM, Box(-2, 2, (1,), np.float32), shown, actions)
    spec = {"state": (3,), "action": (1,), "reward": ()}
    seeding.check("minari:pendulum-v0", [task], "state")
    found = copied("minari:pendulum-v0", task, tmp_path, spec)
    (first,), (second,) = found["test"], found["train"]
    equal(first, second)
    np.testing.assert_array_equal(first["state"], shown)
    np.testing.assert_array_equal(first["action"].ravel(), [0, -1, 0, 0.5, 1])
    np.testing.assert_array_equal(first["reward"], [0, 1, 2, 3, 4])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_images_and_choices_of_others(home, tmp_path):
    task = load_one("ale:Pong", env_params={"obs_type": "grayscale"}, action_repeat=1)
    shown = np.random.default_rng(0).integers(0, 256, (4, 210, 160), np.uint8)
    space = Box(0, 255, (210, 160), np.uint8)
    write("pong-v0", space, spaces.Discrete(6), shown, np.array([5, 0, 2]))
    spec = {"image": (64, 64, 1), "action": (6,), "reward": ()}
    found = copied("minari:pong-v0", task, tmp_path, spec)["train"][0]
    assert found["action"].argmax(1).tolist() == [0, 5, 0, 2]
    assert found["action"].sum(1).tolist() == [0, 1, 1, 1]
    assert found["image"].shape == (4, 64, 64, 1)
    assert abs(found["image"].mean() - shown.mean()) < 3


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_datasets_that_do_not_fit(home):
    pendulum = functools.partial(load_one, "gym:Pendulum-v1", observations="state")
    unit = Box(-1, 1, (1,), np.float32)
    shown, actions = np.zeros((3, 3), np.float32), np.zeros((2, 1), np.float32)
    write("good-v0", PENDULUM, unit, shown, actions)
    write("single-v0", PENDULUM, unit, shown, actions, count=1)
    wide = Box(-1, 1, (2,), np.float32)
    write("wide-v0", PENDULUM, wide, shown, np.zeros((2, 2), np.float32))
    choices = spaces.Discrete(2)
    write("choices-v0", PENDULUM, choices, shown, np.zeros(2, int))
    four = Box(-1, 1, (4,), np.float32)
    write("four-v0", four, unit, np.zeros((3, 4), np.float32), actions)
    broken = shown.copy()
    broken[0, 1] = np.nan
    write("broken-v0", PENDULUM, unit, broken, actions)
    for name, task, reason in [
        (
            "goood-v0",
            pendulum(),
            "unknown dataset of Minari 'goood-v0'; did you mean 'goo",
        ),
        (
            "../up-v0",
            pendulum(),
            "'../up-v0' is not the name of a dataset of Minari, su",
        ),
        (
            "good",
            pendulum(),
            "'good' is not the name of a dataset of Minari, such as NAM",
        ),
        ("single-v0", pendulum(), "one to test with; there is 1"),
        ("wide-v0", pendulum(), "a step of its 'action' has shape (2,), not (1,)"),
        ("four-v0", pendulum(), "a step of its 'state' has shape (4,), not (3,)"),
        (
            "choices-v0",
            pendulum(),
            "its actions are Discrete(2), but those of gym:Pend",
        ),
        ("broken-v0", pendulum(), "observation[1] is nan, not a finite number"),
        (
            "good-v0",
            pendulum(action_repeat=4),
            "its steps repeat each action 1 times, but the action repeat of gym:Pendul",
        ),
    ]:
        with pytest.raises(seeding.SeedError) as caught:
            seeding.check(f"minari:{name}", [task], "state")
        assert reason in str(caught.value)
        assert f"seed_dataset 'minari:{name}' cannot be used: " in str(caught.value)
    with pytest.raises(seeding.SeedError, match="it renders no images, and its obs"):
        seeding.check("minari:good-v0", [load_one("gym:Pendulum-v1")], "image")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_dataset_makes_no_environment_and_damage_is_named(home):
    shown, actions = np.zeros((3, 3), np.float32), np.zeros((2, 1), np.float32)
    unit = Box(-1, 1, (1,), np.float32)
    write("evil-v0", PENDULUM, unit, shown, actions)
    path = home / "evil-v0" / "data" / "metadata.json"
    metadata = json.loads(path.read_text())
    spec = {"id": "Evil-v0", "entry_point": "tests.control.user_envs:dying"}
    changed = {**metadata, "env_spec": json.dumps(spec)}
    path.write_text(json.dumps(changed))
    assert minari_datasets.find("evil-v0").size == 2
    del changed["observation_space"]
    path.write_text(json.dumps(changed))
    with pytest.raises(minari_datasets.DatasetError, match="does not hold its obser"):
        minari_datasets.find("evil-v0")
    path.write_text(json.dumps(metadata))
    (home / "evil-v0" / "data" / "main_data.hdf5").write_bytes(b"damaged")
    with pytest.raises(minari_datasets.DatasetError, match="episode 0 is damaged: "):
        next(minari_datasets.find("evil-v0").episodes())
    path.write_text("damaged")
    with pytest.raises(minari_datasets.DatasetError, match="it cannot be read: JSOND"):
        minari_datasets.find("evil-v0")


def test_missing_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(minari_datasets.DatasetError) as caught:
        minari_datasets.check_new("planet/walk-v0")
    assert str(caught.value) == (
        "it needs the extra 'minari': pip install 'planet[minari]'"
    )


def test_command_exports_the_episodes_of_a_run(home, finished_runs, run_main):
    run = finished_runs[0] / "00001"
    command = ("--logdir", run, "--minari", "planet/dummy-v0")
    code, out, err = run_main(export.main, *command)
    assert (code, err) == (0, "")
    count = sum(len(episode_files.scan(x)) for x in folders(run).values())
    assert out == f"{count} episodes of {run} in {home}/planet/dummy-v0.\n"
    code, out, err = run_main(export.main, *command)
    assert (code, out) == (2, "")
    assert "there is a dataset 'planet/dummy-v0' already: " in err
    code, _, err = run_main(export.main, *command, "--checkpoint", "best")
    assert (code, len(err.splitlines())) == (2, 1)


@pytest.mark.slow
def test_a_run_starts_from_another_one_and_goes_on_without_it(
    finished_runs, tmp_path, run_python
):
    source = tmp_path / "source"
    shutil.copytree(finished_runs[0] / "00001", source)
    sources = {p: len(episode_files.scan(x)) for p, x in folders(source).items()}
    settings = (
        "tasks: [dummy], isolate_envs: thread, dumbnet: true, action_repeat: 100, "
        "overshooting: 0, collect_every: 1000, "
    )
    command = ["-m", "planet.scripts.train", "--logdir", tmp_path / "runs"]
    command += ["--config", "debug", "--params"]
    params = f"{{{settings} seed_dataset: {source}, max_steps: 20}}"
    result = run_python(*command, params)
    assert result.returncode == 0, result.stderr
    copied = wording.count(sources["train"], "episode")
    assert f"Copied {copied} of {source} to train; " in result.stdout
    assert "random episodes" not in result.stdout
    run = tmp_path / "runs" / "00001"
    found = {p: len(episode_files.scan(x)) for p, x in folders(run).items()}
    assert found == sources

    shutil.rmtree(source)
    (run / "DONE").unlink()
    path = run / "config.yaml"
    path.write_text(path.read_text().replace("max_steps: 20", "max_steps: 40"))
    params = f"{{{settings} max_steps: 40}}"
    result = run_python(*command, params)
    assert result.returncode == 0, result.stderr
    assert "Continue from the checkpoint of step 20." in result.stdout
    assert "Copied" not in result.stdout
    assert runs.checkpoints(run)[40]
