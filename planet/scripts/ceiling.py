"""What the planner would return in a task if its model were perfect.

    python -m planet.scripts.ceiling --task cartpole_balance --horizon 12 --output FILE

It plans in copies of the true environment, by the cross-entropy method that the agent
uses. No learned model can be expected to return much more with the same planner. So if
this is low, the planner does not look far enough ahead, or tries too little.
"""

from __future__ import annotations

import functools
import os
import pathlib
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tqdm

from planet.control import batch_env, real_agent, real_planning
from planet.scripts import random_returns, rules, tasks
from planet.tools import atomic_files, cli, parameters

PROG = "planet.scripts.ceiling"


class Replicas:
    """Copies of an environment in processes, which share the trying of candidates.

    Args:
      task: what `tasks.load` returns.
      amount: how many processes there are.
    """

    def __init__(self, task: tasks.Task, amount: int):
        self._envs = batch_env.BatchEnv(
            [batch_env.make(task.env_ctor) for _ in range(amount)]
        )

    def __enter__(self) -> Replicas:
        return self

    def __exit__(self, *_) -> None:
        self._envs.close()

    def reset(self, seed: int) -> None:
        """Starts the same episode everywhere."""
        self._envs.reset([seed] * len(self._envs))

    def step(self, action: np.ndarray) -> tuple[float, bool]:
        """Applies an action [A]; returns reward and whether the episode is over."""
        _, rewards, done, _ = self._envs.step(np.tile(action, (len(self._envs), 1)))
        return float(rewards[0]), bool(done[0])

    def rewards(self, candidates: np.ndarray) -> np.ndarray:
        """Rewards [1, N, H] of candidates [1, N, H, A]."""
        parts = np.array_split(candidates[0], len(self._envs))
        waits = [
            env.rewards_async(part)
            for env, part in zip(self._envs.envs, parts, strict=True)
        ]
        return np.concatenate([wait() for wait in waits])[None]


def play(
    agent: real_agent.RealAgent,
    replicas: Replicas,
    seed: Sequence[int],
    watch: Callable[[], Any] = lambda: None,
) -> float:
    """The return of an episode.

    Args:
      agent: plans in the replicas.
      replicas: where the episode takes place.
      seed: integers that determine all of it.
      watch: called after each decision.
    """
    first, *_ = np.random.SeedSequence(seed).generate_state(1)
    replicas.reset(int(first))
    agent.reset()
    total, done, decision = 0.0, False, 0
    while not done:
        (action,) = agent.act({}, 0.0, [*seed, decision])
        reward, done = replicas.step(action)
        total += reward
        decision += 1
        watch()
    return total


@cli.main(PROG)
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    parser = _make_parser()
    args = parser.parse_args(argv)
    if args.topk > args.amount:
        parser.error(f"--topk must be at most {args.amount}, not {args.topk}")
    try:
        (task,) = tasks.load(
            tasks.Selection(
                [args.task], action_repeat=args.action_repeat, observations="nothing"
            )
        )
    except tasks.TaskError as error:
        parser.error(str(error))
    if not task.restorable:
        parser.error(rules.not_restorable(args.task))
    settings = {
        "action_repeat": task.action_repeat,
        **{name: getattr(args, name) for name in _SETTINGS},
    }
    returns: list[float] = []
    if args.output and args.output.exists() and not args.overwrite:
        try:
            returns = _read(args.output, args.task, settings)
        except ValueError as error:
            parser.error(str(error))
    try:
        for value in _play_all(task, args, len(returns)):
            returns.append(value)
            if args.output:
                entry = _entry(settings, returns)
                atomic_files.write_json(args.output, {args.task: entry}, indent=2)
    except batch_env.EnvError as error:
        print(f"{PROG}: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", flush=True)
        return 130
    print(report(args.task, _entry(settings, returns)))
    return 0


def report(task: str, entry: dict[str, Any]) -> str:
    """Mean, deviation and all returns of a task, as text."""
    mean, stddev = (f"{entry[key]:.2f}" for key in ("mean", "stddev"))
    values = " ".join(f"{value:.2f}" for value in entry["returns"])
    lines = textwrap.wrap(f"returns: {values}", 80, subsequent_indent="  ")
    return "\n".join([f"{task}, {entry['label']}: {mean} ± {stddev}", *lines])


def _play_all(task, args, first):
    """Returns of the episodes from the given one on, one after the other."""
    if first >= args.episodes:
        return
    search, discrete = real_planning.cross_entropy_method, task.discrete
    if discrete:
        search = real_planning.discrete_cross_entropy_method
    sizes = {name: getattr(args, name) for name in ("amount", "topk", "iterations")}
    with (
        Replicas(task, min(args.workers, args.amount)) as replicas,
        tqdm.tqdm(
            desc=task.name,
            total=(args.episodes - first) * task.max_length,
            unit=" decisions",
            disable=None,
        ) as progress,
    ):
        agent = real_agent.RealAgent(
            replicas.rewards,
            functools.partial(search, **sizes),
            real_agent.epsilon_greedy if discrete else real_agent.add_noise,
            args.horizon,
            1,
            task.action_size,
            args.warm_start,
        )
        for index in range(first, args.episodes):
            yield play(agent, replicas, [args.seed, index], progress.update)


# Arguments that returns depend on.
_SETTINGS = ("horizon", "amount", "topk", "iterations", "warm_start", "seed")


def _entry(settings, returns):
    """What is written of a task."""
    label = f"perfect model, horizon {settings['horizon']}"
    return {"label": label, **settings, **random_returns.summary(returns)}


def _read(path: pathlib.Path, task: str, settings: dict[str, Any]) -> list[float]:
    """Returns of a file to continue.

    Raises:
      ValueError: They are those of something else.
    """
    try:
        entry = atomic_files.read_json(path)[task]
        found = {name: entry[name] for name in settings}
        returns = [float(value) for value in entry["returns"]]
        if not np.isfinite(returns).all():
            raise ValueError("a return is not finite")
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        message = f"{str(path)!r} is not what this writes for {task}: {error!r}"
        raise ValueError(f"{message}; --overwrite replaces it") from None
    for name, value in settings.items():
        if found[name] != value:
            raise ValueError(
                f"{str(path)!r} was written with {name} {parameters.show(found[name])}"
                f", not {value}; "
                "--overwrite replaces it"
            )
    return returns


def _make_parser() -> cli.Parser:
    parser = cli.Parser(
        PROG,
        "What the planner would return in a task if its model were perfect: the true "
        "environment tries its plans. Possible in dm_control's suite, gymnasium's "
        "MuJoCo environments and Atari games.",
        "An interrupted measurement goes on with the next episode of its --output.",
    )
    parser.add_word("task", "--task", "--tasks", metavar="NAME", help="the task")
    whole = functools.partial(cli.number, int)
    for name, low, default, text in (
        ("horizon", 1, rules.HORIZON, "decisions to plan"),
        ("amount", 1, 1000, "candidates in an iteration"),
        ("topk", 1, 100, "elites of an iteration"),
        ("iterations", 0, 10, "iterations; 0: the initial mean"),
        ("episodes", 1, 10, "episodes to play in all"),
        ("seed", 0, 0, "seed of all randomness"),
        ("workers", 1, os.cpu_count() or 1, "processes that try candidates"),
    ):
        parser.add_argument(
            f"--{name}",
            type=whole(low, 2**32 - 1 if name == "seed" else 1_000_000),
            default=default,
            metavar="N",
            help=f"{text} (default: %(default)s)",
        )
    parser.add_argument(
        "--action_repeat",
        type=whole(1, 1000),
        metavar="N",
        help="how often each action is repeated (default: the task's own)",
    )
    parser.add_argument(
        "--warm_start",
        action="store_true",
        help="start each search from the last plan, shifted by one step",
    )
    parser.add_argument(
        "--output",
        type=cli.output_file(".json"),
        metavar="FILE.json",
        help="file of the results to write, or to continue; plot_scores --baseline "
        "draws it as a line",
    )
    parser.add_overwrite()
    return parser


if __name__ == "__main__":
    sys.exit(main())
