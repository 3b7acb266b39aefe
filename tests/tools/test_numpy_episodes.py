import itertools
import os
import random

import numpy as np
import pytest
import tensorflow as tf

from planet.tools import episode_files, numpy_episodes

SPEC = {"image": (4, 4, 1), "action": (2,), "reward": (), "position": (3,)}


def make_episode(number, steps):
    """Every entry says which episode and which step it belongs to."""
    index = np.arange(steps, dtype=np.float32)
    return {
        "image": np.full((steps, 4, 4, 1), number, np.uint8),
        "action": np.stack([index, index], 1),
        "reward": index + 100 * number,
        "position": np.ones((steps, 3), np.float32),
    }


def add(folder, number, steps=12):
    """Stores an episode under a time that follows its number."""
    path = episode_files.write(folder, make_episode(number, steps))
    return path.rename(folder / f"2026010{number}T000000-{path.name}")


@pytest.fixture
def folder(tmp_path):
    for number in range(4):
        add(tmp_path, number)
    return tmp_path


def batches(folder, amount, loader="scan", batch_shape=(3, 5), **kwargs):
    dataset = numpy_episodes.make_dataset(folder, loader, SPEC, batch_shape, **kwargs)
    return list(itertools.islice(dataset.as_numpy_iterator(), amount))


@pytest.mark.parametrize("loader", ["scan", "recent", "cache", "reload"])
def test_chunks_are_cut_from_one_episode_each(folder, loader):
    for batch in batches(folder, 20, loader, seed=1):
        assert batch["image"].shape == (3, 5, 4, 4, 1)
        assert batch["image"].dtype == np.uint8
        assert batch["length"].tolist() == [5, 5, 5]
        number = batch["image"][:, 0, 0, 0, 0].astype(int)
        assert (batch["image"] == number[:, None, None, None, None]).all()
        assert (np.diff(batch["reward"], axis=1) == 1).all()
        start = batch["action"][:, 0, 0]
        assert (batch["reward"][:, 0] == start + 100 * number).all()


def test_all_episodes_and_offsets_are_seen(folder):
    rewards = np.concatenate([x["reward"] for x in batches(folder, 200, seed=1)])
    starts = rewards[:, 0]
    assert set(starts // 100) == {0, 1, 2, 3}
    assert set(starts % 100) == set(range(8))


def test_short_episodes_are_filled_up(tmp_path):
    add(tmp_path, 1, 3)
    (batch,) = batches(tmp_path, 1)
    assert batch["length"].tolist() == [3, 3, 3]
    assert batch["reward"][0].tolist() == [100, 101, 102, 0, 0]


def test_same_seed_same_order(folder):
    first, again = (batches(folder, 5, seed=7) for _ in range(2))
    other = batches(folder, 5, seed=8)
    rewards = [[x["reward"].tolist() for x in run] for run in (first, again, other)]
    assert rewards[0] == rewards[1] != rewards[2]


def test_new_episodes_make_up_half_of_the_next_round(folder):
    names, rng = episode_files.scan(folder), random.Random(0)
    assert set(numpy_episodes.scan(names, [], 10, rng)) == set(names)
    new = add(folder, 9)
    second = numpy_episodes.scan([*names, new], names, 10, rng)
    assert second.count(new) == 5
    third = numpy_episodes.scan([*names, new], [*names, new], 10, rng)
    assert third.count(new) == 2


def test_a_new_episode_is_learned_from_soon(folder):
    dataset = numpy_episodes.make_dataset(
        folder, "scan", SPEC, (3, 5), scan_every=3, seed=1
    )
    stream = dataset.as_numpy_iterator()
    for _ in range(20):
        next(stream)
    add(folder, 9)
    later = np.concatenate([next(stream)["reward"][:, 0] for _ in range(10)])
    assert (later // 100 == 9).any()


def test_uniform_order_takes_all_alike(folder):
    names = episode_files.scan(folder)
    seen = numpy_episodes.uniform(names, [], 40, random.Random(0))
    assert {seen.count(name) for name in names} == {10}


def make_batches(folder, loader="scan", **kwargs):
    settings = {"num_chunks": 2, "scan_every": 3, "seed": 1, **kwargs}
    return numpy_episodes.Batches(folder, loader, SPEC, (3, 5), **settings)


@pytest.mark.parametrize("loader", ["scan", "cache", "reload", "dummy"])
@pytest.mark.parametrize("interrupted", [0, 1, 4, 7])
def test_an_interruption_changes_nothing(folder, loader, interrupted):
    def take(batches, amount):
        return [next(batches)["reward"].numpy() for _ in range(amount)]

    whole = make_batches(folder, loader)
    expected = take(whole, interrupted)
    state = whole.state
    new = add(folder, 9)  # While the next batch is being built.
    expected += take(whole, 10)
    new.unlink()
    before = make_batches(folder, loader)
    seen = take(before, interrupted)
    assert before.state == state
    new = add(folder, 9)
    after = make_batches(folder, loader, seed=2)  # The state holds the seed, too.
    after.state = state
    np.testing.assert_array_equal(seen + take(after, 10), expected)


def test_a_batch_says_which_files_it_is_of(folder):
    batches = make_batches(folder)
    for _ in range(5):
        numbers = next(batches)["image"].numpy()[:, 0, 0, 0, 0]
        assert [int(path.name[7]) for path in batches.files] == numbers.tolist()


def test_only_the_newest_episodes_count_and_stay_in_memory(folder):
    files = numpy_episodes.Folder(folder, 2)
    assert files.names() == episode_files.scan(folder)[-2:]
    for name in files.names():
        files.read(name)
    new = add(folder, 9)
    assert files.names()[-1] == new
    assert set(files._cache) == {files.names()[0]}


def test_an_older_episode_takes_the_place_of_a_torn_one(folder):
    names = episode_files.scan(folder)
    names[-1].write_bytes(b"PK\x03\x04 torn")
    files = numpy_episodes.Folder(folder, 2)
    assert files.names() == names[-2:]
    assert files.read(names[-1]) is None
    assert files.names() == names[-3:-1]


def test_memory_for_episodes_is_bounded(folder):
    names = episode_files.scan(folder)
    size = sum(array.nbytes for array in make_episode(0, 12).values())
    files = numpy_episodes.Folder(folder, 100, max_cache=2.5 * size / 1e9)
    for name in (*names, names[0]):
        assert files.read(name)["reward"][0] == 100 * names.index(name)
    assert set(files._cache) == set(names[-2:])


def test_an_unchanged_folder_is_not_listed_again(folder, monkeypatch):
    listed = []
    scan = episode_files.scan
    watched = lambda *arguments: listed.append(arguments) or scan(*arguments)  # noqa: E731
    monkeypatch.setattr(episode_files, "scan", watched)
    os.utime(folder, (1, 1))
    files = numpy_episodes.Folder(folder, 100)
    before = [files.names() for _ in range(3)]
    assert len(listed) == 1
    new = add(folder, 9)
    assert [files.names() for _ in range(2)] == [[*before[-1], new]] * 2
    assert len(listed) == 3  # Too fresh a change to be relied on.


def test_torn_file_is_named_once_and_skipped(folder, capsys):
    torn = folder / "20990101T000000-0.npz"
    torn.write_bytes(b"PK\x03\x04 torn")
    seen = batches(folder, 30, seed=1)
    assert len(seen) == 30
    assert capsys.readouterr().err.count(torn.name) == 1


def test_episodes_that_do_not_fit_or_are_gone_are_skipped(folder, capsys):
    gone, *_ = episode_files.scan(folder)
    other = make_episode(7, 12)
    for key, value in [
        ("image", np.zeros((12, 5, 5, 1), np.uint8)),
        ("position", np.full((12, 3), np.nan, np.float32)),
    ]:
        path = episode_files.write(folder, {**other, key: value})
        path.rename(folder / f"20260108T000000-{key}.npz")
    batches = make_batches(folder)
    gone.unlink()
    seen = [next(batches)["image"].numpy()[:, 0, 0, 0, 0] for _ in range(30)]
    assert set(np.ravel(seen).tolist()) == {1, 2, 3}
    lines = capsys.readouterr().err.splitlines()
    assert {"image" in line for line in lines} == {True, False}
    assert all(line.startswith("Skipping an episode: ") for line in lines)


@pytest.mark.parametrize("loader", ["scan", "cache"])
def test_empty_folder_is_an_error(tmp_path, loader):
    with pytest.raises(tf.errors.OpError, match="no readable episodes"):
        batches(tmp_path, 1, loader)


def test_dummy_needs_no_folder(tmp_path):
    (batch,) = batches(tmp_path / "missing", 1, "dummy", seed=1)
    assert {key: value.shape for key, value in batch.items()} == {
        "image": (3, 5, 4, 4, 1),
        "action": (3, 5, 2),
        "reward": (3, 5),
        "position": (3, 5, 3),
        "length": (3,),
    }


def test_returns_are_sums_of_the_rewards_to_come():
    rewards = np.array([9, 1, 2, 3], np.float32)  # That of entry 0 precedes all.
    returns = numpy_episodes.returns_to_go(rewards, 0.5)
    np.testing.assert_allclose(returns, [1 + 1 + 0.75, 2 + 1.5, 3, 0])
    assert returns.dtype == np.float32
    undiscounted = numpy_episodes.returns_to_go(rewards, 1.0)
    np.testing.assert_allclose(undiscounted, [6, 5, 3, 0])
    np.testing.assert_allclose(numpy_episodes.returns_to_go(rewards, 0.0), [1, 2, 3, 0])
    assert numpy_episodes.returns_to_go(rewards[:1], 0.5).tolist() == [0]


@pytest.mark.parametrize("loader", ["scan", "cache", "reload"])
def test_returns_are_those_of_whole_episodes(folder, loader):
    add(folder, 5, 3)
    for batch in batches(folder, 20, loader, seed=1, discount=0.9):
        assert batch["return"].shape == (3, 5)
        assert batch["return"].dtype == np.float32
        for rewards, returns, length in zip(
            batch["reward"], batch["return"], batch["length"], strict=True
        ):
            number = rewards[0] // 100
            steps = 3 if number == 5 else 12
            whole = numpy_episodes.returns_to_go(
                make_episode(number, steps)["reward"], 0.9
            )
            first = int(rewards[0] % 100)
            expected = whole[first : first + length]
            np.testing.assert_allclose(returns[:length], expected, rtol=1e-6)
            assert not returns[length:].any()


def test_there_are_returns_only_if_they_are_wanted(folder):
    (with_returns,) = batches(folder, 1, seed=1, discount=0.9)
    (without,) = batches(folder, 1, seed=1)
    assert with_returns.keys() - without.keys() == {"return"}
    for key, value in without.items():
        np.testing.assert_array_equal(value, with_returns[key])
    (dummy,) = batches(folder, 1, "dummy", discount=0.9)
    assert dummy["return"].shape == (3, 5)


def test_reload_notices_changes_and_cache_does_not(tmp_path):
    path = add(tmp_path, 1, 6)
    cached = numpy_episodes.Folder(tmp_path, 10)
    fresh = numpy_episodes.Folder(tmp_path, 10, max_cache=0)
    for files in (cached, fresh):
        files.read(path)
    np.savez(path, **make_episode(2, 6))
    assert cached.read(path)["reward"][0] == 100
    assert fresh.read(path)["reward"][0] == 200


def test_each_loaded_episode_gives_several_chunks(folder):
    settings = {"num_chunks": 3, "scan_every": 4, "seed": 1}
    seen = batches(folder, 1, "cache", (12, 5), **settings)[0]
    numbers = (seen["reward"][:, 0] // 100).tolist()
    assert {numbers.count(number) for number in range(4)} == {3}
