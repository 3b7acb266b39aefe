"""A window that shows frames and notices keys, by pygame."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import numpy as np


class WindowError(RuntimeError):
    """There can be no window; the message is one line."""


def require() -> None:
    """Raises WindowError where no window can be opened."""
    if importlib.util.find_spec("pygame") is None:
        raise WindowError("a window needs pygame; pip install 'planet[play]'")
    displays = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    if not any(map(os.environ.get, displays)):
        raise WindowError("a window needs a display, and there is none")


class Window:
    """An open window.

    Args:
      title: its title.

    Attributes:
      held: names of the keys that are down, such as `left`, `a` or `1`.
      pressed: names of those that went down since `show` was called before.
      closed: whether the user has closed it, or pressed Escape.
    """

    def __init__(self, title: str):
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        import pygame

        self._pygame: Any = pygame
        pygame.display.init()
        pygame.display.set_caption(title)
        self._clock = pygame.time.Clock()
        self.held: set[str] = set()
        self.pressed: list[str] = []
        self.closed = False

    def show(self, frame: np.ndarray, fps: float) -> None:
        """Shows a frame, uint8 [H, W, 3], and waits until the next one is due."""
        pygame = self._pygame
        surface = pygame.surfarray.make_surface(frame.swapaxes(0, 1))
        screen = pygame.display.get_surface()
        if screen is None or screen.get_size() != surface.get_size():
            screen = pygame.display.set_mode(surface.get_size())
        screen.blit(surface, (0, 0))
        pygame.display.flip()
        self.pressed = []
        for event in pygame.event.get():
            self._handle(event)
        self._clock.tick(fps)

    def close(self) -> None:
        """Closes it."""
        self._pygame.display.quit()

    def _handle(self, event) -> None:
        pygame = self._pygame
        if event.type == pygame.QUIT:
            self.closed = True
        elif event.type == pygame.KEYDOWN:
            name = pygame.key.name(event.key)
            self.held.add(name)
            self.pressed.append(name)
            self.closed |= name == "escape"
        elif event.type == pygame.KEYUP:
            self.held.discard(pygame.key.name(event.key))
