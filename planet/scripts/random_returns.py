"""Plays random episodes of tasks: their returns are the baseline for an agent.

python -m planet.scripts.random_returns --tasks finger_spin ale:Pong --episodes 100
"""

import functools
import sys
from collections.abc import Sequence

import numpy as np
import tqdm

from planet.control import batch_env
from planet.control.random_episodes import random_episodes
from planet.scripts import tasks
from planet.tools import atomic_files, cli, tables


def summary(returns: Sequence[float]) -> dict[str, float | list[float]]:
    """Statistics of the returns of N episodes.

    Returns:
      `episodes`, their number; `mean`, `stddev` (of the sample; 0 for one episode) and
      `percentile_99` of the returns; and the `returns` themselves.
    """
    return {
        "episodes": len(returns),
        "mean": float(np.mean(returns)),
        "stddev": float(np.std(returns, ddof=1)) if len(returns) > 1 else 0.0,
        "percentile_99": float(np.percentile(returns, 99)),
        "returns": list(returns),
    }


def play(
    task: tasks.Task, num_episodes: int, num_envs: int, seed: int | None = None
) -> list[float]:
    """Plays random episodes in processes of their own.

    Args:
      task: What to play.
      num_episodes: How many episodes to play.
      num_envs: How many environments to step at the same time.
      seed: Seeds actions and environments.

    Returns:
      Returns of the episodes.
    """
    make = functools.partial(batch_env.make, task.env_ctor)
    envs = [make() for _ in range(min(num_envs, num_episodes))]
    with (
        batch_env.BatchEnv(envs) as batch,
        tqdm.tqdm(total=num_episodes, desc=task.name, disable=None) as progress,
    ):
        return random_episodes(
            batch,
            num_episodes,
            folder=None,
            seed=seed,
            progress=lambda done, _: progress.update(done - progress.n),
        )


@cli.main("planet.scripts.random_returns")
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    parser = _make_parser()
    args = parser.parse_args(argv)
    if args.output and not args.overwrite:
        parser.refuse_existing(args.output)
    try:
        select = functools.partial(
            tasks.Selection,
            action_repeat=args.action_repeat,
            observations="nothing",  # Random actions do not depend on them.
        )
        names = tasks.ALL if args.tasks == ["all"] else args.tasks
        chosen = [tasks.load(select([name]))[0] for name in names]
    except tasks.TaskError as error:
        parser.error(str(error))
    results = {}
    try:
        for task in chosen:
            returns = play(task, args.episodes, args.num_envs, args.seed)
            results[task.name] = summary(returns)
    except batch_env.EnvError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", flush=True)
        return 130
    header = ("task", "episodes", "mean ± standard error", "stddev", "99th percentile")
    print(tables.markdown(header, map(_row, results, results.values())))
    if args.output:
        atomic_files.write_json(args.output, results, indent=2)
    return 0


def _row(name, result):
    error = result["stddev"] / np.sqrt(result["episodes"])
    mean = f"{result['mean']:.4g} ± {error:.2g}"
    spread = (f"{result[key]:.4g}" for key in ("stddev", "percentile_99"))
    return name, result["episodes"], mean, *spread


def _make_parser() -> cli.Parser:
    parser = cli.Parser(
        prog="planet.scripts.random_returns",
        description="Returns of uniformly random actions, as a baseline.",
    )
    parser.add_word(
        "tasks",
        "--tasks",
        several=True,
        metavar="NAME",
        help="tasks, or all, as for planet.scripts.train",
    )
    parser.add_argument(
        "--episodes",
        type=cli.number(int, 1, 1_000_000),
        default=100,
        metavar="N",
        help="episodes of each task (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=cli.output_file(".json"),
        metavar="FILE.json",
        help="where to write the results, with the return of each episode",
    )
    parser.add_overwrite()
    parser.add_argument(
        "--action_repeat",
        type=cli.number(int, 1, 1000),
        metavar="N",
        help="how often each action is repeated (default: each task's own)",
    )
    parser.add_argument(
        "--num_envs",
        type=cli.number(int, 1, 1000),
        default=2,
        metavar="N",
        help="environments to step at the same time (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=cli.number(int, 0, 2**32 - 1),
        metavar="N",
        help="makes the returns reproducible",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
