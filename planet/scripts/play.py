"""Plays a task, or the dream that a model has of it, with keys or at random.

    python -m planet.scripts.play cartpole_balance
    python -m planet.scripts.play --dream LOGDIR/00001

TensorFlow is imported only by dreams: spawned workers import this module too.
"""

from __future__ import annotations

import contextlib
import pathlib
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import tqdm

import planet
from planet.control import batch_env
from planet.control.envs import opengl
from planet.scripts import runs
from planet.tools import cli, pictures, video, window

PROG = "planet.scripts.play"
FPS = 15  # Where the task does not say how long a decision takes.
SCALE = 6  # Pixels on the screen per pixel of an image.
CONTEXT = 5  # Steps that the model sees before it dreams.
# Keys for each entry of an action, that push it down and up.
PUSHES = (
    ("left", "right"),
    ("down", "up"),
    ("a", "d"),
    ("s", "w"),
    ("j", "l"),
    ("k", "i"),
)
CHOICES = "1234567890"  # Keys of discrete actions.
KEYS = """\
keys:
  Held, left and right push the first entry of an action down and up, down and up
  the second, a and d the third, s and w the fourth, j and l the fifth, k and i the
  sixth. Discrete actions are chosen by 1, 2, 3…, and stay until the next one.
  Escape ends it.

In a terminal without a display, actions are random, and a film is written.
"""


class World:
    """The environment of a task, one episode after the other.

    Args:
      env: the environment.
      record_to: folder for its episodes, if they are to be recorded.
    """

    def __init__(self, env: planet.Env, record_to: pathlib.Path | None = None):
        self.caption = env.task.name
        self._env = env
        self._record_to = record_to

    def reset(self, seed: int) -> np.ndarray:
        """Starts an episode; returns what is seen, uint8 [H, W, C]."""
        return self._env.reset(seed, self._record_to)["image"]

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool]:
        """What is seen, what is paid, and whether the episode is over."""
        observation, reward, done = self._env.step(action)
        return observation["image"], reward, done


class Dream:
    """What an agent expects to follow, once it has seen the start of an episode.

    Args:
      agent: the agent.
      env: its environment.
      length: steps of a dream.
    """

    def __init__(self, agent: planet.Agent, env: planet.Env, length: int):
        self.caption = f"a dream of {env.task.name}"
        self._agent = agent
        self._env = env
        self._length = length
        self._left = 0

    def reset(self, seed: int) -> np.ndarray:
        """Shows the agent some steps without any action; returns what it makes of it.

        Where actions are choices, it is the first of them.
        """
        space = self._env.action_space
        nothing = np.zeros(space.shape, np.float32)
        if not space.contains(nothing):
            nothing[0] = 1
        self._agent.observe(self._env.reset(seed))
        for _ in range(CONTEXT - 1):
            observation, _, _ = self._env.step(nothing)
            self._agent.observe(observation, nothing)
        self._left = self._length
        return self._agent.decode()["image"]

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool]:
        """What it expects to see and to be paid, and whether the dream is over."""
        self._left -= 1
        dream = self._agent.imagine(action[None], go_on=True)
        return dream["image"][0], float(dream["reward"][0]), not self._left


class Player:
    """Chooses actions by keys or, without a window, at random.

    Args:
      space: of the actions.
      keys: the window where keys are pressed, if somebody plays.
    """

    def __init__(self, space, keys: window.Window | None):
        self._space = space
        self._keys = keys
        self._discrete = not space.contains(np.zeros(space.shape, np.float32))
        self._choice = 0

    def act(self) -> np.ndarray:
        """The next action [A]."""
        if self._keys is None:
            return self._space.sample()
        (size,) = self._space.shape
        action = np.zeros(size, np.float32)
        if self._discrete:
            chosen = [
                CHOICES.index(key) for key in self._keys.pressed if key in CHOICES
            ]
            self._choice = next((x for x in chosen[::-1] if x < size), self._choice)
            action[self._choice] = 1
            return action
        for entry, (down, up) in zip(range(size), PUSHES, strict=False):
            action[entry] = (up in self._keys.held) - (down in self._keys.held)
        return action


def play(
    world: World | Dream,
    player: Player,
    episodes: int,
    seed: int,
    fps: float,
    screen: window.Window | None,
    returns: list[float],
) -> Iterator[np.ndarray]:
    """Plays episodes until the window is closed; yields the frames.

    Args:
      world: where to play.
      player: who plays.
      episodes: how many.
      seed: of the first of them; the others follow.
      fps: frames per second in the window.
      screen: the window, if there is one.
      returns: receives the return of each episode that came to its end.
    """
    for episode in range(episodes):
        image, total, step, done = world.reset(seed + episode), 0.0, 0, False
        caption = f"{world.caption}, episode {episode + 1}"
        footer = "step 0"
        while True:
            frame = pictures.compose([image], [caption], footer, SCALE)
            yield frame
            if screen:
                screen.show(frame, fps)
                if screen.closed:
                    return
            if done:
                break
            image, reward, done = world.step(player.act())
            total, step = total + reward, step + 1
            footer = f"step {step}   reward {reward:.2f}   return {total:.1f}"
        returns.append(total)


@cli.main(PROG)
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    parser = _make_parser()
    args = parser.parse_args(argv)
    shows = _has_window(parser, args)
    output = args.video
    if output is None and not shows:
        output = pathlib.Path("play.gif")
    try:
        if output:
            video.check_format(output)
            if not args.overwrite:
                parser.refuse_existing(output)
        with contextlib.ExitStack() as stack:
            world, env = _make_world(parser, args, stack)
            returns = _show(args, world, env, shows, output)
    except (ValueError, opengl.OpenGLError) as error:
        parser.error(str(error))
    except batch_env.EnvError as error:
        print(f"{PROG}: error: {error}", file=sys.stderr)
        return 1
    if returns:
        print(f"Returns: {' '.join(f'{value:.2f}' for value in returns)}")
    if output:
        print(f"Written to {output}.")
    if args.record:
        print(f"Recorded to {args.record}.")
    return 0


def _has_window(parser, args) -> bool:
    """Whether there is a window; an error if there cannot be one that is needed."""
    try:
        window.require()
    except window.WindowError as error:
        if args.policy == "human":
            parser.error(f"--policy human: {error}; --policy random needs none")
        print(f"Actions are random: {error}.", file=sys.stderr, flush=True)
        return False
    return True


def _make_world(parser, args, stack) -> tuple[World | Dream, planet.Env]:
    """What is to be played, and the environment behind it."""
    params = runs.read_params(args.params)
    if args.dream is None:
        if args.task is None:
            parser.error("what is there to play? Give a TASK, or --dream RUN")
        env = stack.enter_context(planet.make_env(args.task, params))
        return World(env, args.record), env
    if args.record:
        parser.error("--record needs a task; dreams are no episodes to learn from")
    agent = planet.load(args.dream, args.checkpoint, params, args.seed)
    if (seen := agent.config.observations) != "image":
        raise runs.RunError(f"a dream needs a model of images; this one sees {seen}")
    env = stack.enter_context(agent.make_env(args.task))
    return Dream(agent, env, args.length), env


def _show(args, world, env, shows, output) -> list[float]:
    """Plays, and writes the film; returns the returns."""
    fps = 1 / env.task.seconds if env.task.seconds else FPS
    human = shows and args.policy != "random"
    returns: list[float] = []
    with contextlib.ExitStack() as stack:
        screen = window.Window(f"PlaNet: {env.task.name}") if shows else None
        if screen:
            stack.callback(screen.close)
        env.action_space.seed(args.seed)
        player = Player(env.action_space, screen if human else None)
        frames = play(world, player, args.episodes, args.seed, fps, screen, returns)
        progress = tqdm.tqdm(frames, unit=" steps", leave=False, disable=None)
        kept = [frame for frame in progress if output]
    if output:
        video.write(output, np.stack(kept), fps)
    return returns


def _make_parser() -> cli.Parser:
    parser = cli.Parser(
        PROG,
        "Plays the task of an agent by hand, to see how hard it is, or at random; or "
        "plays in the dream of an agent, which sees five steps and then makes up what "
        "follows from your actions.",
        KEYS,
    )
    parser.add_word(
        "task",
        "--task",
        "--tasks",
        required=False,
        metavar="TASK",
        help="name of a task, see planet.scripts.tasks; with --dream, one of the run's "
        "(default: its first one)",
    )
    parser.add_argument(
        "--dream",
        type=cli.existing_folder,
        metavar="RUN",
        help="folder of the run whose model dreams (default: the task is real)",
    )
    runs.add_checkpoint(parser)
    parser.add_argument(
        "--policy",
        choices=("human", "random"),
        help="who acts (default: human where there is a display)",
    )
    parser.add_argument(
        "--episodes",
        type=cli.number(int, 1, 1000),
        default=1,
        metavar="N",
        help="episodes, or dreams (default: %(default)s)",
    )
    parser.add_argument(
        "--length",
        type=cli.number(int, 1, 100_000),
        default=250,
        metavar="STEPS",
        help="steps of a dream (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=cli.number(int, 0, 2**31),
        default=0,
        metavar="N",
        help="seed of the first episode; the others follow (default: %(default)s)",
    )
    parser.add_params("the run, or the defaults of a task")
    parser.add_argument(
        "--record",
        type=cli.output_folder,
        metavar="FOLDER",
        help="where to record complete episodes, as training does (default: nowhere)",
    )
    parser.add_argument(
        "--video",
        type=cli.output_file(*video.SUFFIXES),
        metavar="FILE",
        help="film to write (default: play.gif where there is no display)",
    )
    parser.add_overwrite()
    return parser


if __name__ == "__main__":
    sys.exit(main())
