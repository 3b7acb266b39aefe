"""Collection elsewhere: others play the episodes while the learner goes on.

    Schedule    which episodes are due when, and all that they follow from but weights
    Player      plays them, wherever it is: environments and an agent
    Site        where the collectors are, each of which has a player
    Collectors  hands episodes out when they are due, and takes them in

An episode is requested by its number in the schedule. It becomes part of the data once,
at the earliest when it is due, under a name that follows from that number.
"""

from __future__ import annotations

import abc
import collections
import math
import pathlib
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import ml_collections
import numpy as np
import tqdm

from planet.control import simulate
from planet.control.batch_env import GLANCE, RETRIES, EnvError
from planet.tools import (
    episode_files,
    interruption,
    noise,
    schedule,
    tf1_checkpoint,
    wording,
)
from planet.training import define_model, define_summaries, simulations
from planet.training.simulations import Simulation

Weights = Mapping[str, np.ndarray]  # By name, see `original_names`.
# Seconds in which a collector has to start, on a machine that may have to start first,
# to compile what decides, and to decide.
STARTING = 600
# Seconds beyond `env_timeout` after which it counts as hung: it says itself that an
# environment gives no answer.
LEEWAY = 120
# Looks at a collector that have to be in vain until it does.
LOOKS = 4


class Place(NamedTuple):
    """The place of an episode in the schedule.

    Attributes:
      number: counts all episodes of a run from 0.
      due: sequences trained on when it is due.
      task: name of its task.
      horizon: steps to plan.
      exploration: amount of exploration.
      phase: `train` or `test`, the data that it belongs to.
      seed: seed of all its randomness.
    """

    number: int
    due: int
    task: str
    horizon: int
    exploration: float
    phase: str
    seed: int


class Schedule:
    """Which episodes are due when.

    The episodes that the settings ask for in `collect_every` sequences are due one by
    one, evenly spread, the last of them when all are due if the learner collects
    itself.

    Args:
      config: what `planet.scripts.configs.load` returns.
      tasks: names of the tasks.
      start: seed of the run.
    """

    def __init__(
        self, config: ml_collections.ConfigDict, tasks: Sequence[str], start: int
    ):
        self._start = start
        self._batch = config.batch_shape[0]
        # At most one collection after each update.
        self._every = max(config.collect_every, self._batch)
        phases = ("train", "test") if config.collect_test else ("train",)
        explorations = zip(
            config.collect_horizons,
            config.exploration_noises,
            config.exploration_ramps,
            strict=True,
        )
        self._members = [
            (task, phase, *exploration)
            for exploration in explorations
            for task in tasks
            for phase in phases
            for _ in range(config.collect_batch_size)
        ]
        ahead = config.max_updates_ahead
        if ahead is None:
            ahead = self._every // (len(self._members) * self._batch)
        self.ahead = ahead

    def amount(self, trained: int) -> int:
        """How many episodes are due after training on so many sequences."""
        return trained * len(self._members) // self._every

    def place(self, number: int) -> Place:
        """The place of the episode of that number."""
        task, phase, horizon, noisiness, ramp = self._members[
            number % len(self._members)
        ]
        due = math.ceil((number + 1) * self._every / len(self._members))
        due = math.ceil(due / self._batch) * self._batch
        seed = np.random.SeedSequence([self._start, number]).generate_state(1)[0]
        exploration = noisiness * schedule.linear(due, ramp)
        return Place(number, due, task, horizon, exploration, phase, int(seed))

    def identity(self, place: Place) -> tuple:
        """What tells the file of an episode from all others."""
        return (self._start, "collectors", place.number)

    def must_wait(self, place: Place, trained: int) -> bool:
        """Whether another update would be too far past an episode that is not there."""
        return trained - place.due >= self.ahead * self._batch


class Player:
    """An environment of each task and an agent, to play the episodes of a schedule.

    Args:
      config: what `planet.scripts.configs.load` returns.
      tasks: what `planet.scripts.tasks.load` returns.
      data_spec: as for `define_model.define_model`.
    """

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        tasks: Sequence,
        data_spec: Mapping[str, tuple[int, ...]],
    ):
        self._envs = {
            task.name: simulations.make_batch(task, config, 1) for task in tasks
        }
        model = define_model.define_model(config, data_spec)
        self._weights = tf1_checkpoint.names(model)
        self._agents = simulations.Agents(config, model)

    def play(self, place: Place, weights: Weights) -> Generator[int, None, Simulation]:
        """Plays an episode; yields the number of decisions while it goes on.

        Raises:
          EnvError: its environment failed.
        """
        yield 0
        for name, variable in self._weights.items():
            variable.assign(weights[name])
        start = time.perf_counter()
        envs = self._envs[place.task]
        agent = self._agents.find(place.horizon, envs)
        seeds = noise.Seeds(place.seed)
        (episode,) = yield from simulate.play(
            agent, envs, seeds.next, place.exploration
        )
        seconds = time.perf_counter() - start
        return Simulation(place.task, place.horizon, episode, seconds=seconds)

    def close(self) -> None:
        """Closes the environments."""
        for envs in self._envs.values():
            envs.close()


class CollectorError(RuntimeError):
    """A collector that cannot go on; the first line of the message says why."""


class Collector(abc.ABC):
    """A player elsewhere."""

    @abc.abstractmethod
    def play(self, place: Place, weights: Any) -> None:
        """Begins to play an episode.

        Args:
          place: its place in the schedule.
          weights: what `Site.share` returned.
        """

    @abc.abstractmethod
    def poll(self) -> Simulation | int | None:
        """The episode if it is over; or decisions so far; None if nothing is new.

        Raises:
          CollectorError: the collector died.
          EnvError: its environment failed.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Ends it without waiting for what it does."""


class Site(abc.ABC):
    """Where collectors are.

    Attributes:
      description: says so, and what each of them has.
    """

    description: str

    @abc.abstractmethod
    def start(self) -> Collector:
        """Starts a collector without waiting for it to be ready."""

    @abc.abstractmethod
    def share(self, weights: Weights) -> Any:
        """Puts weights where all collectors can take them from."""

    @abc.abstractmethod
    def wait(self, seconds: float) -> None:
        """Waits until a collector has something new, but not longer than that."""

    @abc.abstractmethod
    def close(self) -> None:
        """Ends all collectors."""


class _Post:
    """A collector, and what is known of its work.

    Attributes:
      collector: changes when it is replaced.
      number: of the episode that it plays, if any.
      handed_out: sequences trained on when that was handed out.
      decisions: in that episode, as far as is known.
      started: whether it has decided anything.
      silent: seconds without a sign of life.
      failures: in a row.
    """

    def __init__(self, collector: Collector):
        self.collector = collector
        self.number: int | None = None
        self.handed_out = 0
        self.decisions = 0
        self.started = False
        self.silent = 0.0
        self.failures = 0


class Collectors:
    """Collects as `simulations.Simulations` does, while the learner goes on.

    It has the learner wait where another update would be more than `max_updates_ahead`
    past the schedule. Where episodes take longer than they are apart, they are handed
    out as long before they are due as the last one took; those that are early wait
    here. So as many episodes are in the data as are due, but for those of the last
    `max_updates_ahead` updates.

    A collector that dies, fails or gives no sign of life is replaced; its episode is
    dropped and requested again.

    Args:
      config: what `planet.scripts.configs.load` returns.
      plan: the schedule.
      site: where the collectors are.
      weights: returns those of the learner.
      folders: where the episodes of each phase belong.
      data_spec: what the episodes have to hold, see `episode_files.read`.
    """

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        plan: Schedule,
        site: Site,
        weights: Callable[[], Weights],
        folders: Mapping[str, pathlib.Path],
        data_spec: Mapping[str, tuple[int, ...]] | None = None,
    ):
        self._plan = plan
        self._site = site
        self._get_weights = weights
        self._folders = folders
        self._spec = data_spec
        self._patience = config.env_timeout + LEEWAY
        self._posts = [_Post(site.start()) for _ in range(config.collectors)]
        self._looked = time.monotonic()
        self._due = 0  # Episodes due so far.
        self._missing: set[int] = set()  # Those of them that were not reported.
        self._arrived: dict[int, Simulation] = {}  # Not in the data.
        self._joined: dict[int, Simulation] = {}  # In the data, but not reported.
        self._failures: dict[int, int] = collections.defaultdict(int)
        self._lead = 0  # Sequences by which episodes are handed out early.
        # Sequences trained on when weights were shared last, and where they are.
        self._shared: tuple[int, Any] | None = None

    def __enter__(self) -> Collectors:
        return self

    def __exit__(self, *_) -> None:
        self._site.close()

    @property
    def state(self) -> dict[str, Any]:
        """What an interrupted run needs to go on, for JSON."""
        return {"due": self._due, "missing": sorted(self._missing)}

    def restore(self, trained: int, state: Mapping[str, Any] | None) -> None:
        """Goes on after collecting for so many sequences.

        Args:
          trained: sequences trained on when it last was seen what is due.
          state: the state then; None: nothing is missing.
        """
        self._due = state["due"] if state else self._plan.amount(trained)
        self._missing = set(state["missing"]) if state else set()

    def collect(self, trained: int) -> list[Simulation]:
        """Takes in what has arrived, and hands out what is due.

        Args:
          trained: sequences trained on so far.

        Returns:
          The episodes that went to the training data.

        Raises:
          EnvError: an episode, or a collector, failed too many times in a row.
        """
        due = max(self._due, self._plan.amount(trained))
        self._missing.update(range(self._due, due))
        self._due = due
        self._look(trained)
        if late := self._find_late(trained):
            self._wait(late, trained)
        found = [
            self._joined[number]
            for number in sorted(self._joined)
            if self._plan.place(number).phase == "train"
        ]
        self._missing -= self._joined.keys()
        self._joined.clear()
        return found

    def _look(self, trained: int) -> None:
        """Takes in what has arrived, and hands out what is due."""
        self._receive(trained)
        self._hand_out(trained)
        self._join()

    def _wait(self, late: Place | None, trained: int) -> None:
        """Waits for an episode, and for all others that the learner has to wait for."""
        while late:
            with tqdm.tqdm(
                desc=f"waiting for an episode of {late.task}",
                bar_format="{desc}: {n_fmt} decisions",
                leave=False,
                disable=None,
            ) as progress:
                while late.number in self._missing - self._joined.keys():
                    self._site.wait(GLANCE)
                    interruption.check()
                    self._look(trained)
                    for post in self._posts:
                        if post.number == late.number:
                            progress.update(post.decisions - progress.n)
            late = self._find_late(trained)

    def _find_late(self, trained: int) -> Place | None:
        """The first episode for which the learner has to wait, if there is any."""
        number = min(self._missing - self._joined.keys(), default=None)
        if number is None:
            return None
        place = self._plan.place(number)
        return place if self._plan.must_wait(place, trained) else None

    def _receive(self, trained: int) -> None:
        """Takes what the collectors have, and replaces those that fail."""
        now = time.monotonic()
        passed = now - self._looked
        self._looked = now
        for post in self._posts:
            if post.number is None:
                continue
            try:
                news = post.collector.poll()
            except (CollectorError, EnvError) as error:
                self._replace(post, str(error))
                continue
            post.started |= bool(news)
            if isinstance(news, Simulation):
                self._arrived[post.number] = news
                self._failures.pop(post.number, None)
                self._lead = trained - post.handed_out
                post.number, post.failures = None, 0
            elif news is not None:
                post.decisions, post.silent = news, 0.0
            else:
                patience = self._patience if post.started else STARTING
                # The learner may have been busy, or this machine stopped.
                post.silent += min(passed, patience / LOOKS)
                if post.silent > patience:
                    self._replace(post, f"gave no sign of life for {patience:g} s")

    def _replace(self, post: _Post, reason: str) -> None:
        """Drops what a collector plays, and starts another one in its place."""
        number, post.number = post.number, None
        assert number is not None
        self._failures[number] += 1
        post.failures += 1
        attempt = max(self._failures[number], post.failures)
        task, index = self._plan.place(number).task, self._posts.index(post) + 1
        if attempt > RETRIES:
            attempts = f"task {task!r} failed {attempt} times in a row"
            raise EnvError(f"{attempts}; the last time: collector {index}: {reason}")
        define_summaries.say(
            f"Episode of {task} dropped, tried again ({attempt} of {RETRIES}): "
            f"collector {index}: {reason.splitlines()[0]}"
        )
        post.collector.close()
        post.collector, post.started = self._site.start(), False

    def _join(self) -> None:
        """Writes the episodes that are due to the data."""
        for number in sorted(self._arrived.keys() & self._missing):
            place = self._plan.place(number)
            folder = self._folders[place.phase]
            name = episode_files.new_name(folder, self._plan.identity(place))
            interruption.confirm()
            episode_files.write(folder, self._arrived[number].episode, name)
            self._joined[number] = self._arrived.pop(number)

    def _hand_out(self, trained: int) -> None:
        """Gives idle collectors what is due, or what soon will be."""
        idle = [post for post in self._posts if post.number is None]
        for place in self._open(trained):
            if self._find(place):
                continue
            if not idle:
                break
            post = idle.pop(0)
            post.number, post.handed_out = place.number, trained
            post.decisions, post.silent = 0, 0.0
            post.collector.play(place, self._share(trained))

    def _open(self, trained: int) -> Iterator[Place]:
        """What is to be played and is not in anyone's hands, the most urgent first."""
        soon = range(self._due, self._plan.amount(trained + self._lead))
        taken = {post.number for post in self._posts}
        for number in (*sorted(self._missing), *soon):
            if number not in taken | self._joined.keys() | self._arrived.keys():
                yield self._plan.place(number)

    def _find(self, place: Place) -> bool:
        """Takes an episode that a killed run left behind; whether there is one."""
        folder, identity = self._folders[place.phase], self._plan.identity(place)
        path = episode_files.find(folder, identity)
        if path is None:
            return False
        try:
            episode = episode_files.read(path, self._spec)
        except episode_files.TornEpisodeError:
            return False
        self._arrived[place.number] = Simulation(place.task, place.horizon, episode)
        return True

    def _share(self, trained: int) -> Any:
        """The newest weights, where collectors can take them from."""
        if self._shared is None or self._shared[0] != trained:
            self._shared = trained, self._site.share(self._get_weights())
        return self._shared[1]


def start(
    config: ml_collections.ConfigDict,
    tasks: Sequence,
    data_spec: Mapping[str, tuple[int, ...]],
    model: define_model.Model,
    seed: int,
    folders: Mapping[str, pathlib.Path],
) -> Collectors:
    """Starts the collectors of a run, and says so.

    Args:
      config: what `planet.scripts.configs.load` returns.
      tasks: what `planet.scripts.tasks.load` returns.
      data_spec: as for `define_model.define_model`.
      model: the learner's.
      seed: seed of the run.
      folders: where the episodes of each phase belong.
    """
    from planet.training import ray_site

    weights = tf1_checkpoint.names(model)
    plan = Schedule(config, [task.name for task in tasks], seed)
    site = ray_site.RaySite(config, tasks, data_spec)
    found = Collectors(
        config,
        plan,
        site,
        lambda: {name: variable.numpy() for name, variable in weights.items()},
        folders,
        data_spec,
    )
    print(
        f"Collecting with {wording.count(config.collectors, 'collector')} "
        f"{site.description}; learning waits where it is "
        f"{wording.count(plan.ahead, 'update')} past the schedule.",
        flush=True,
    )
    return found
