"""How far ahead is enough, by `python -m benchmarks.ceilings TASK...`.

Plans with a perfect model: the cross-entropy method, as the agent uses it, tries its
candidates in the simulator itself. What that returns is the ceiling of a horizon, which
no learned model can be expected to exceed by much. Results are added to the output file
episode by episode, and episodes that it holds already are not played again.

A candidate is scored by the reward at the end of each decision. The agent's model
predicts the sum over the action repeat instead; to compute all of these rewards would
take several times as long. The returns themselves are sums over all steps.
"""

from __future__ import annotations

import concurrent.futures
import json
import multiprocessing
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gymnasium
import mujoco
import numpy as np
import tqdm

from planet.scripts import random_returns, tasks
from planet.tools import atomic_files, cli, parameters, tables

DISCOUNT = 0.99
RANDOM_EPISODES = 20


class Search(NamedTuple):
    """Sizes of the search, as in the settings `cem_amount` and so on."""

    amount: int
    topk: int
    iterations: int


class Job(NamedTuple):
    """An episode to play."""

    task: str
    horizon: int
    index: int
    search: Search


class Simulator:
    """A perfect model of a dm_control environment: it tries actions, and undoes them.

    Args:
      env: the environment with all its wrappers.
      repeat: how often each action is repeated.
    """

    def __init__(self, env: gymnasium.Env, repeat: int):
        suite = env.unwrapped._env  # Shimmy has no public way to it.
        self._physics, self._task = suite.physics, suite.task
        self.seconds = repeat * suite.control_timestep()  # Of a decision.
        self._steps = round(self.seconds / self._physics.timestep())
        self._start = mujoco.MjData(self._physics.model.ptr)
        self._wrappers = []
        while isinstance(env, gymnasium.Wrapper):
            if isinstance(env, gymnasium.ActionWrapper):
                self._wrappers.append(env)
            env = env.env

    def control(self, action: np.ndarray) -> np.ndarray:
        """What the simulator gets for an action of the agent."""
        for wrapper in self._wrappers:
            action = wrapper.action(action)
        return action

    def rewards(self, candidates: np.ndarray) -> np.ndarray:
        """Rewards after each decision of each candidate, [N, H].

        Args:
          candidates: what the simulator gets, [N, H, A].
        """
        model, data = self._physics.model.ptr, self._physics.data.ptr
        mujoco.mj_copyData(self._start, model, data)
        rewards = np.empty(candidates.shape[:2])
        for index, controls in enumerate(candidates):
            for step, control in enumerate(controls):
                self._task.before_step(control, self._physics)
                self._physics.step(self._steps)
                rewards[index, step] = self._task.get_reward(self._physics)
            mujoco.mj_copyData(data, model, self._start)
        return rewards


def continuous(
    simulator: Simulator,
    horizon: int,
    size: int,
    search: Search,
    random: np.random.Generator,
) -> np.ndarray:
    """The action [size] that `planning.cross_entropy_method` would find."""
    mean, stddev = np.zeros([horizon, size]), 1.0
    for _ in range(search.iterations):
        noise = random.standard_normal([search.amount, horizon, size])
        candidates = np.clip(mean + stddev * noise, -1, 1).astype(np.float32)
        controls = [[simulator.control(x) for x in plan] for plan in candidates]
        elites = candidates[_best(simulator.rewards(np.array(controls)), search.topk)]
        mean, stddev = elites.mean(0), np.sqrt(elites.var(0) + 1e-6)
    return mean[0].astype(np.float32)


def discrete(
    simulator: Simulator,
    horizon: int,
    size: int,
    search: Search,
    random: np.random.Generator,
) -> np.ndarray:
    """The one-hot action [size] of `planning.discrete_cross_entropy_method`."""
    vectors = np.eye(size, dtype=np.float32)
    controls = np.array([simulator.control(vector) for vector in vectors])
    chances = np.full([horizon, size], 1 / size)
    for _ in range(search.iterations):
        dice = random.random([search.amount, horizon, 1])
        choices = (dice > chances.cumsum(-1)[:, :-1]).sum(-1)
        best = _best(simulator.rewards(controls[choices]), search.topk)
        chances = (1 - 1e-6) * vectors[choices[best]].mean(0) + 1e-6 / size
    return vectors[chances[0].argmax()]


def _best(rewards: np.ndarray, topk: int) -> np.ndarray:
    """Indices of the rows [N, H] with the highest discounted returns."""
    return np.argsort(rewards @ DISCOUNT ** np.arange(rewards.shape[1]))[-topk:]


def play(job: Job) -> float:
    """The return of an episode."""
    (task,) = tasks.load(tasks.Selection([job.task], observations="nothing"))
    plan: Callable = discrete if task.discrete else continuous
    random = np.random.default_rng([job.index, job.horizon])
    env = task.env_ctor()
    env.reset(seed=job.index)
    simulator = Simulator(env, task.action_repeat)
    total, ended = 0.0, False
    while not ended:
        action = plan(simulator, job.horizon, task.action_size, job.search, random)
        _, reward, terminated, truncated, _ = env.step(action)
        total += float(reward)
        ended = terminated or truncated
    env.close()
    return total


def describe(name: str) -> dict[str, Any]:
    """A task without ceilings: action repeat, seconds of a decision, random returns."""
    (task,) = tasks.load(tasks.Selection([name], observations="nothing"))
    env = task.env_ctor()
    seconds = Simulator(env, task.action_repeat).seconds
    env.close()
    random = random_returns.summary(random_returns.play(task, RANDOM_EPISODES, 1, 0))
    return {
        "action_repeat": task.action_repeat,
        "seconds": seconds,
        "random": random["mean"],
        "ceilings": {},
    }


def report(found: dict[str, Any]) -> str:
    """A table of what was found."""
    header = "task, action repeat, horizon, seconds ahead, mean, stddev, episodes"
    rows = [
        (
            name,
            task["action_repeat"],
            horizon,
            f"{int(horizon) * task['seconds']:.2f}",
            f"{ceiling['mean']:.0f}",
            f"{ceiling['stddev']:.0f}",
            ceiling["episodes"],
            f"{task['random']:.0f}",
        )
        for name, task in found.items()
        for horizon, ceiling in task["ceilings"].items()
    ]
    return tables.markdown((*header.split(", "), "random"), rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what is missing in the output file, and prints a table of all of it."""
    parser = _make_parser()
    args = parser.parse_args(argv)
    for name in args.tasks:
        if name not in tasks.TASKS:
            parser.error(parameters.unknown("task", name, tasks.TASKS))
        if not tasks.TASKS[name]().uses_dm_control:
            parser.error(f"task {name!r} is not one of dm_control's")
    search = Search(args.amount, args.topk, args.iterations)
    if search.topk > search.amount:
        parser.error(f"--topk must be at most {search.amount}, not {search.topk}")
    results = {"search": search._asdict(), "tasks": {}}
    if args.output.exists():
        results = json.loads(args.output.read_text(encoding="utf-8"))
        if results["search"] != search._asdict():
            parser.error(f"{args.output} holds results of {results['search']}")
    found = results["tasks"]
    for name in args.tasks:
        if name not in found:
            found[name] = describe(name)
    jobs = [
        Job(name, horizon, index, search)
        for name in args.tasks
        for horizon in args.horizons
        for index in range(
            found[name]["ceilings"].get(str(horizon), {"episodes": 0})["episodes"],
            args.episodes,
        )
    ]
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(args.workers, context) as pool:
        played = zip(jobs, pool.map(play, jobs), strict=True)
        for job, value in tqdm.tqdm(played, "episodes", len(jobs), disable=None):
            _add(found[job.task]["ceilings"], job.horizon, value)
            atomic_files.write_json(args.output, results, indent=2)
    print(report(found))
    return 0


def _add(ceilings: dict[str, Any], horizon: int, value: float) -> None:
    """Adds the return of an episode to the ceilings of a task."""
    returns = ceilings.get(str(horizon), {"returns": []})["returns"]
    ceilings[str(horizon)] = random_returns.summary([*returns, value])


def _make_parser() -> cli.Parser:
    parser = cli.Parser(
        "benchmarks.ceilings",
        "Returns of planning with a perfect model, by horizon. Each further episode "
        "has a seed of its own; an interrupted measurement goes on where it was.",
    )
    parser.add_argument("tasks", nargs="+", metavar="TASK", help="of dm_control")
    horizons = {"nargs": "+", "type": cli.number(int, 1, 1000), "default": [6, 12, 24]}
    parser.add_argument("--horizons", metavar="STEPS", help="(6 12 24)", **horizons)
    for name, default in (
        ("episodes", 1),
        ("amount", 300),
        ("topk", 30),
        ("iterations", 5),
        ("workers", 1),
    ):
        parser.add_argument(
            f"--{name}",
            type=cli.number(int, 1, 100_000),
            default=default,
            metavar="N",
            help="(default: %(default)s)",
        )
    parser.add_argument(
        "--output",
        type=cli.output_file(".json"),
        default=pathlib.Path("ceilings.json"),
        metavar="FILE",
        help="JSON file to continue or to write (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
