import pathlib

import numpy as np
import pytest

from planet.control import batch_env
from planet.control.wrappers.actions import OneHot
from planet.scripts import play
from planet.tools import episode_files, video, window

ROOT = pathlib.Path(__file__).parent.parent.parent
QUICK = ("--params", "{action_repeat: 50}")


@pytest.fixture
def run_play(run_main, tmp_path, monkeypatch):
    """Plays in an empty folder, by default without a display."""
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    return lambda *arguments: run_main(play.main, *arguments)


def test_without_a_display_there_is_a_film(run_play, tmp_path):
    command = ("cartpole_balance", *QUICK, "--episodes", 2, "--record", "episodes")
    code, out, err = run_play(*command)
    assert code == 0, err
    assert err == ("Actions are random: a window needs a display, and there is none.\n")
    recorded = [
        episode_files.read(path) for path in sorted((tmp_path / "episodes").iterdir())
    ]
    returns = " ".join(f"{episode['reward'].sum():.2f}" for episode in recorded)
    assert out == f"Returns: {returns}\nWritten to play.gif.\nRecorded to episodes.\n"
    frames, fps = video.read_gif(tmp_path / "play.gif")
    assert len(frames) == sum(len(episode["reward"]) for episode in recorded) == 42
    assert fps == pytest.approx(2)
    assert run_play(*command)[0] == 2  # The film exists.


class Keyboard:
    """Keys that are held or pressed."""

    def __init__(self, *keys):
        self.held = set(keys)
        self.pressed = list(keys)


def test_keys_push_entries_and_make_choices():
    box = batch_env.gymnasium.spaces.Box(-1, 1, [3], np.float32)
    acts = {
        (): [0, 0, 0],
        ("left",): [-1, 0, 0],
        ("right", "up"): [1, 1, 0],
        ("left", "right", "a"): [0, 0, -1],
    }
    for keys, action in acts.items():
        assert play.Player(box, Keyboard(*keys)).act().tolist() == action
    keyboard = Keyboard("9", "3")
    player = play.Player(OneHot(3), keyboard)
    assert player.act().tolist() == [0, 0, 1]
    keyboard.pressed = []
    assert player.act().tolist() == [0, 0, 1]
    keyboard.pressed = ["1", "x"]
    assert player.act().tolist() == [1, 0, 0]


def test_window_shows_frames_and_notices_keys(monkeypatch):
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    window.require()
    screen = window.Window("PlaNet")
    try:
        frame = np.zeros([20, 30, 3], np.uint8)
        frame[5, 7] = 1, 2, 3
        screen.show(frame, 1000)
        shown = pygame.surfarray.array3d(pygame.display.get_surface())
        np.testing.assert_array_equal(shown.swapaxes(0, 1), frame)
        for key in (pygame.K_LEFT, pygame.K_2):
            pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key))
        pygame.event.post(pygame.event.Event(pygame.KEYUP, key=pygame.K_2))
        screen.show(frame, 1000)
        assert (screen.held, screen.pressed) == ({"left"}, ["left", "2"])
        screen.show(frame, 1000)
        assert (screen.held, screen.pressed, screen.closed) == ({"left"}, [], False)
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_ESCAPE))
        screen.show(frame, 1000)
        assert screen.closed
    finally:
        screen.close()


def test_a_dream_starts_from_what_was_seen_and_follows_actions(run_play, tmp_path):
    agent = ROOT / "agents" / "cartpole_balance"
    command = ("--dream", agent, "--length", 8, "--video", "dream.gif")
    code, out, err = run_play(*command)
    assert code == 0, err
    assert out.startswith("Returns: ")
    frames, fps = video.read_gif(tmp_path / "dream.gif")
    assert len(frames) == 9
    assert fps == pytest.approx(12.5)
    # It sees the upright pole and, from the first steps on, keeps on dreaming of it.
    assert np.ptp(frames[0].astype(int)) > 100
    assert (frames[0] != frames[-1]).any()


def test_bad_input(run_play, finished_runs, tmp_path):
    logdir, _ = finished_runs
    wrong = {
        (): "what is there to play? Give a TASK, or --dream RUN",
        ("cartpole_balanc",): "did you mean 'cartpole_balance'",
        ("cartpole_balance", "--policy", "human"): "--policy human: a window needs a",
        ("--dream", str(logdir)): "holds several runs; choose one: 00001, 00002",
        ("--dream", str(logdir / "00001"), "--record", "x"): "--record needs a task",
        ("dummy", "--video", "film.avi"): "must end with .gif or .mp4",
        ("cartpole", "--dream", str(logdir / "00001")): "unknown task of the run",
    }
    for arguments, message in wrong.items():
        code, _, err = run_play(*arguments)
        assert code == 2, arguments
        assert message in err.splitlines()[-1]
        assert not list(tmp_path.iterdir())
