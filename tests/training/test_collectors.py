"""The schedule and the collectors, in threads; tests/scale has them on Ray."""

import collections
import contextlib
import itertools
import queue
import re
import sys
import threading
import time

import numpy as np
import pytest

from planet.control import batch_env
from planet.scripts import configs, tasks, train
from planet.tools import episode_files, noise, schedule, tf1_checkpoint
from planet.training import (
    collectors,
    data,
    define_model,
    ray_site,
    simulations,
    trainer,
)

LOCK = threading.Lock()  # TensorFlow traces, and noise is drawn, in one thread.
START = 7


def load(**params):
    settings = {
        "tasks": ["dummy"],
        "isolate_envs": "none",
        "observations": "state",
        "action_repeat": 100,
        "collectors": 2,
    }
    return configs.load("debug", {**settings, **params})


def plan(config, names=("dummy",)):
    return collectors.Schedule(config, names, START)


class RandomPlayer:
    """Plays episodes of random actions, which follow from their seed."""

    def __init__(self, config):
        (task,) = tasks.load(config)
        self._env = task.env_ctor()

    def play(self, place, weights):
        yield 0
        observation, _ = self._env.reset(seed=place.seed)
        self._env.action_space.seed(place.seed)
        action = np.zeros(self._env.action_space.shape, np.float32)
        steps, done = (
            [{**observation, "action": action, "reward": np.float32(0)}],
            False,
        )
        while not done:
            yield len(steps)
            action = self._env.action_space.sample()
            observation, reward, *ends, _ = self._env.step(action)
            steps.append({**observation, "action": action, "reward": reward})
            done = any(ends)
        episode = {key: np.stack([x[key] for x in steps]) for key in steps[0]}
        return simulations.Simulation(place.task, place.horizon, episode)


class ThreadCollector(collectors.Collector):
    """A player in a thread, which goes wrong in the ways that the test asks for."""

    def __init__(self, site):
        self._site = site
        self._player = site.make_player()
        self._news = queue.SimpleQueue()

    def play(self, place, weights):
        arguments = place, weights, self._news
        threading.Thread(target=self._work, args=arguments, daemon=True).start()

    def _work(self, place, weights, news):
        site = self._site
        site.requests.append(place)
        site.weights[place.number].append(weights)
        episode = self._player.play(place, weights)
        trouble = site.trouble.get((place.number, len(site.weights[place.number])))
        try:
            while True:
                with LOCK:
                    news.put(next(episode))
                if trouble == "hangs":
                    return
                if trouble:
                    raise trouble
        except StopIteration as end:
            site.gate(place)
            news.put(end.value)
        except (collectors.CollectorError, batch_env.EnvError) as error:
            news.put(error)
        site.news.set()

    def poll(self):
        news = None
        with contextlib.suppress(queue.Empty):
            while True:
                news = self._news.get_nowait()
                if isinstance(news, Exception):
                    raise news
        return news

    def close(self):
        self._site.closed += 1
        self._news = queue.SimpleQueue()


class Threads(collectors.Site):
    """Collectors in threads.

    Args:
      make_player: makes what plays.
      trouble: what goes wrong, by number of the episode and attempt: an exception, or
        `hangs`.
      gate: waits until the episode of a place may arrive.
    """

    description = "in threads"

    def __init__(self, make_player, trouble=None, gate=lambda place: None):
        self.make_player = make_player
        self.trouble = trouble or {}
        self.gate = gate
        self.requests = []
        self.weights = collections.defaultdict(list)
        self.closed = 0
        self.shared = 0
        self.news = threading.Event()

    def start(self):
        return ThreadCollector(self)

    def share(self, weights):
        self.shared += 1
        return weights

    def wait(self, seconds):
        self.news.wait(seconds)
        self.news.clear()

    def close(self):
        self.closed += 1


class Learner:
    """Collects after each update, as the trainer does."""

    def __init__(self, folder, config, site, state=None, trained=0):
        self.config = config
        self.site = site
        self.folders = {phase: folder / phase for phase in data.PHASES}
        self.plan = plan(config)
        self.trained = trained
        self.scores = []
        self.collectors = collectors.Collectors(
            config, self.plan, site, lambda: {"age": self.trained}, self.folders
        )
        self.collectors.restore(trained, state)

    def update(self, amount=1):
        for _ in range(amount):
            self.trained += self.config.batch_shape[0]
            found = self.collectors.collect(self.trained)
            self.scores += [simulation.score for simulation in found]
            yield self.trained, len(self.files())

    def files(self, phase="train"):
        return episode_files.scan(self.folders[phase])

    def returns(self, phase="train"):
        return [
            float(episode_files.read(path)["reward"].sum())
            for path in self.files(phase)
        ]


def threads(config, *args, **kwargs):
    return Threads(lambda: RandomPlayer(config), *args, **kwargs)


@pytest.mark.parametrize("batch", [1, 5, 8])
@pytest.mark.parametrize("every", [3, 10, 24, 5000])
def test_single_episodes_are_due_when_the_learner_would_collect_them(batch, every):
    config = load(batch_shape=[batch, 10], collect_every=every)
    found, expected = plan(config), 0
    for trained in range(batch, 20 * every, batch):
        if schedule.due(trained, batch, every):
            expected += 1
            assert found.place(expected - 1).due == trained
        assert found.amount(trained) == expected


def test_episodes_of_a_collection_are_due_one_by_one_and_evenly_spread():
    config = load(
        batch_shape=[5, 10],
        collect_every=200,
        collect_batch_size=2,
        collect_horizons=[3, 6],
        exploration_noises=[0.2, 0.4],
        exploration_ramps=[0, 400],
        collect_test=True,
    )
    found = plan(config, ["a", "b"])
    places = [found.place(number) for number in range(32)]
    assert [x.due for x in places[:4]] == [15, 25, 40, 50]
    assert [places[number].due for number in (15, 31)] == [200, 400]
    kinds = [(x.horizon, x.task, x.phase) for x in places[:16]]
    assert kinds[:4] == [(3, "a", "train")] * 2 + [(3, "a", "test")] * 2
    assert {*kinds} == {*itertools.product([3, 6], ["a", "b"], ["train", "test"])}
    assert {x.exploration for x in places if x.horizon == 3} == {0.2}
    assert [places[number].exploration for number in (15, 31)] == [0.2, 0.4]
    assert len({x.seed for x in places}) == len(places)
    assert found.ahead == 2  # Of the 40 updates between two collections of 16.
    for trained in range(0, 1000, 5):
        assert abs(found.amount(trained) - trained * 16 / 200) < 1


def test_an_episode_follows_from_its_place_and_the_seed_of_the_run():
    config = load()
    first, again = (plan(config).place(3) for _ in range(2))
    assert first == again
    other = collectors.Schedule(config, ["dummy"], START + 1)
    assert other.place(3).seed != first.seed
    assert other.identity(first) != plan(config).identity(first)


@pytest.mark.parametrize("ahead", [None, 0, 1])
@pytest.mark.parametrize("amount", [1, 3])
def test_as_many_episodes_are_in_the_data_as_are_due(tmp_path, amount, ahead):
    config = load(collectors=amount, collect_every=15, max_updates_ahead=ahead)
    learner = Learner(tmp_path, config, threads(config))
    for trained, files in learner.update(40):
        due = trained // 15
        if ahead == 0:
            assert files == due
        assert due - 1 <= files <= due
    numbers = sorted(place.number for place in learner.site.requests)
    assert numbers == list(range(len(numbers)))
    assert sorted(learner.scores) == sorted(learner.returns())
    assert learner.site.shared <= len(numbers)


def test_an_episode_is_played_with_the_newest_weights(tmp_path):
    config = load(collect_every=15, max_updates_ahead=0)
    learner = Learner(tmp_path, config, threads(config))
    list(learner.update(9))
    ages = [weights["age"] for (weights,) in learner.site.weights.values()]
    assert ages == [15, 30, 45]
    assert learner.site.shared == 3


def test_test_episodes_go_to_the_test_data_and_are_not_reported(tmp_path):
    config = load(collect_every=10, collect_test=True, max_updates_ahead=0)
    learner = Learner(tmp_path, config, threads(config))
    list(learner.update(6))
    assert len(learner.scores) == len(learner.files()) == 3
    assert len(learner.files("test")) == 3


class Gates:
    """Lets episodes arrive when the test says so."""

    def __init__(self):
        self._open = collections.defaultdict(threading.Event)

    def __call__(self, place):
        self._open[place.number].wait(60)

    def open(self, *numbers):
        for number in numbers:
            self._open[number].set()


def settle(condition):
    """Waits for threads."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_learner_goes_on_until_it_is_too_far_past_the_schedule(tmp_path):
    gates = Gates()
    config = load(collect_every=20, collectors=1, max_updates_ahead=3)
    learner = Learner(tmp_path, config, threads(config, gate=gates))
    list(learner.update(6))  # The first one is due after four updates.
    assert learner.files() == []
    timer = threading.Timer(1, gates.open, [0])
    timer.start()
    started = time.monotonic()
    list(learner.update(1))
    assert time.monotonic() - started > 0.9
    assert len(learner.files()) == 1


def test_slow_collectors_start_early_and_their_episodes_wait_until_they_are_due(
    tmp_path,
):
    gates = Gates()
    config = load(collect_every=20, collectors=2)
    learner = Learner(tmp_path, config, threads(config, gate=gates))

    def update(amount, *arriving):
        """Makes updates after the arrival of episodes; numbers of all requests."""
        for number in arriving:
            learner.site.news.clear()
            gates.open(number)
            settle(learner.site.news.is_set)
        list(learner.update(amount))
        return [place.number for place in learner.site.requests]

    assert update(7) == [0]
    assert update(1, 0) == [0, 1, 2]  # It took four updates, and so may the next one.
    assert learner.trained == 40
    assert len(learner.files()) == 1
    assert update(1, 2) == [0, 1, 2]
    assert len(learner.files()) == 1
    update(1, 1)
    assert len(learner.files()) == 2
    gates.open(3, 4, 5)
    for trained, files in learner.update(2):
        assert files == 2 + (trained == 60)


@pytest.mark.parametrize(
    "trouble", [collectors.CollectorError("it ended"), batch_env.EnvError("no\nyes")]
)
def test_an_episode_that_fails_is_requested_again(tmp_path, capsys, trouble):
    config = load(collect_every=10)
    site = threads(config, {(1, 1): trouble, (1, 2): trouble, (2, 1): trouble})
    learner = Learner(tmp_path, config, site)
    list(learner.update(12))
    attempts = collections.Counter(place.number for place in site.requests)
    assert (attempts[0], attempts[1], attempts[2], attempts[3]) == (1, 3, 2, 1)
    assert len(set(site.requests)) == len(attempts)
    assert len(learner.files()) in (5, 6)
    assert sorted(learner.scores) == sorted(learner.returns())
    assert site.closed == 3
    output = capsys.readouterr().out
    reason = str(trouble).splitlines()[0]
    line = (
        rf"Episode of dummy dropped, tried again \(1 of 3\): collector [12]: {reason}"
    )
    assert re.search(line, output)
    assert "yes" not in output


def test_a_collector_that_hangs_is_replaced(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(collectors, "LEEWAY", 0.5)
    config = load(collect_every=10, env_timeout=0.5, collectors=1)
    learner = Learner(tmp_path, config, threads(config, {(1, 1): "hangs"}))
    list(learner.update(8))
    assert [place.number for place in learner.site.requests][:4] == [0, 1, 1, 2]
    assert len(learner.files()) in (3, 4)
    assert "collector 1: gave no sign of life for 1 s" in capsys.readouterr().out


def test_failures_in_a_row_end_the_run(tmp_path):
    config = load(collect_every=10, max_updates_ahead=0)
    always = {(1, attempt): batch_env.EnvError("it broke") for attempt in range(1, 9)}
    learner = Learner(tmp_path, config, threads(config, always))
    message = "task 'dummy' failed 4 times in a row; the last time: collector .: it br"
    with pytest.raises(batch_env.EnvError, match=message):
        list(learner.update(12))
    assert len(learner.files()) <= 1
    assert 1 in learner.collectors.state["missing"]


def test_an_interrupted_run_goes_on_with_what_is_missing(tmp_path):
    config = load(collect_every=10, collectors=2, max_updates_ahead=4)
    gates = Gates()
    gates.open(0, 2)
    learner = Learner(tmp_path, config, threads(config, gate=gates))
    list(learner.update(5))
    settle(lambda: len(learner.site.requests) == 2)
    state = learner.collectors.state
    assert 1 in state["missing"]
    scores, before = list(learner.scores), set(learner.files())
    gates.open(1)  # Too late: nobody takes it in any more.

    again = Learner(tmp_path, config, threads(config), state, learner.trained)
    list(again.update(6))
    played = [place.number for place in again.site.requests]
    assert len(set(played)) == len(played)
    assert before <= set(again.files())
    assert sorted(scores + again.scores) == sorted(again.returns())
    assert len(again.files()) in (3, 4, 5)  # Four updates may lie behind.


def test_episodes_of_a_killed_run_are_taken_over_and_reported_once(tmp_path):
    config = load(collect_every=10, max_updates_ahead=0)
    learner = Learner(tmp_path, config, threads(config))
    list(learner.update(4))
    state, scores = learner.collectors.state, list(learner.scores)
    list(learner.update(4))  # After the checkpoint.
    files = learner.files()
    torn = files[-1]
    torn.write_bytes(torn.read_bytes()[:-50])

    again = Learner(tmp_path, config, threads(config), state, trained=20)
    list(again.update(6))
    assert [place.number for place in again.site.requests] == [3, 4]
    assert again.files()[:4] == files
    assert scores == again.returns()[:2]
    assert again.scores == again.returns()[2:]


def test_a_wait_that_is_interrupted_loses_no_report(tmp_path):
    config = load(collect_every=10, collect_batch_size=4, max_updates_ahead=0)
    gates = Gates()
    gates.open(0)
    site = threads(config, gate=gates)
    learner = Learner(tmp_path, config, site)

    def stop(_):
        if learner.files():
            raise KeyboardInterrupt

    site.wait = stop
    with pytest.raises(KeyboardInterrupt):
        list(learner.update())  # Two episodes are due, of which one arrives.
    assert len(learner.files()) == 1
    state = learner.collectors.state
    assert state == {"due": 2, "missing": [0, 1]}

    again = Learner(tmp_path, config, threads(config), state)
    list(again.update())
    assert [place.number for place in again.site.requests] == [1]
    assert again.scores == again.returns()
    assert again.files()[0] == learner.files()[0]


@pytest.mark.slow
def test_a_run_goes_on_from_what_its_checkpoint_says(tmp_path):
    sizes = {"train_steps": 40, "max_steps": 40, "dumbnet": True}
    config = load(
        collect_every=10,
        data_loader="dummy",
        max_updates_ahead=0,
        overshooting=0,
        **sizes,
    )
    with simulations.make_batch(tasks.load(config)[0], config, 1) as envs:
        spec = data.make_data_spec(envs)
    folders = {phase: tmp_path / phase for phase in data.PHASES}

    def train_on(site):
        model = define_model.define_model(config, spec)
        learner = trainer.Trainer(tmp_path, config, model, noise.Seeds(START))
        learner.restore()
        datasets = {
            phase: data.make_dataset(config, spec, None, 0) for phase in data.PHASES
        }
        found = collectors.Collectors(config, plan(config), site, dict, folders)
        counts = (len, lambda: 0)
        return list(learner.run(datasets, found.collect, list, *counts, found))

    gates = Gates()
    gates.open(0)
    site = threads(config, gate=gates)

    def stop(_):
        if episode_files.scan(folders["train"]):
            raise KeyboardInterrupt

    site.wait = stop
    with pytest.raises(KeyboardInterrupt):
        train_on(site)
    assert [place.number for place in site.requests] == [0, 1]

    again = threads(config)
    (trained,) = train_on(again)
    assert [place.number for place in again.requests] == [1, 2, 3]
    returns = [
        episode_files.read(path)["reward"].sum()
        for path in episode_files.scan(folders["train"])
    ]
    assert len(returns) == 4
    assert trained.score == pytest.approx(np.mean(returns))


def test_the_agent_of_the_run_plays(tmp_path):
    config = load(collect_every=10, collectors=1, dumbnet=True, max_updates_ahead=0)
    chosen = tasks.load(config)
    with simulations.make_batch(chosen[0], config, 1) as envs:
        spec = data.make_data_spec(envs)
    model = define_model.define_model(config, spec)
    variables = tf1_checkpoint.names(model)
    player = collectors.Player(config, chosen, spec)
    learner = Learner(tmp_path, config, Threads(lambda: player))
    learner.collectors._get_weights = lambda: {
        name: variable.numpy() for name, variable in variables.items()
    }
    list(learner.update(4))
    assert len(learner.scores) == len(learner.files()) == 2
    place = learner.plan.place(1)
    with simulations.make_batch(chosen[0], config, 1) as envs:
        agent = simulations.Agents(config, model).find(place.horizon, envs)
        seeds = noise.Seeds(place.seed)
        (episode,) = simulations.simulate.simulate(
            agent, envs, seeds.next, place.exploration
        )
    stored = episode_files.read(learner.files()[1], spec)
    assert stored.keys() == episode.keys()
    for key, values in episode.items():
        np.testing.assert_allclose(stored[key], values, atol=1e-5)
        assert stored[key].dtype == values.dtype
    player.close()


@pytest.mark.parametrize(
    ("cores", "amount", "threads_"),
    [([2], 2, 1), ([2], 3, 1), ([8], 3, 2), ([64], 3, 4), ([4, 4], 3, 2), ([1], 9, 1)],
)
def test_collectors_share_the_cores_with_the_learner(cores, amount, threads_):
    assert ray_site.share(cores, amount) == threads_


def test_without_ray_the_extra_is_named_and_nothing_is_created(
    tmp_path, monkeypatch, run_main
):
    monkeypatch.setitem(sys.modules, "ray", None)
    logdir = tmp_path / "runs"
    params = "{tasks: [dummy], collectors: 2}"
    command = ["--logdir", logdir, "--config", "debug", "--params", params]
    code, _, errors = run_main(train.main, *command)
    assert code == 2
    assert errors.splitlines()[-1] == (
        "planet.scripts.train: error: collectors 2: it needs the extra 'ray': "
        "pip install 'planet[ray]'"
    )
    assert not logdir.exists()


@pytest.mark.parametrize("address", ["here", "host:", "ray://host:10001", "a b:1", 7])
def test_addresses_that_are_none(address):
    with pytest.raises(ValueError, match="ray_address must be auto or HOST:PORT"):
        load(ray_address=address)


@pytest.mark.parametrize("address", [None, "auto", "head:6379", "10.0.0.1:6379"])
def test_addresses(address):
    assert load(ray_address=address).ray_address == address


def test_nothing_of_ray_is_imported_without_collectors(run_python):
    code = (
        "import sys; from planet.training import ray_site, trainer; "
        "print('ray' in sys.modules)"
    )
    assert run_python("-c", code).stdout.split() == ["False"]
