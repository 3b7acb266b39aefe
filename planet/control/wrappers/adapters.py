"""Adapters that turn the environments of other libraries into gymnasium's."""

import logging

import gymnasium

from planet.control import opengl


def dm_control(domain: str, task: str, size: tuple[int, int]) -> gymnasium.Env:
    """Loads a task of the DeepMind control suite.

    Args:
      domain: The body, for example `cartpole`.
      task: What it shall do, for example `balance`.
      size: Height and width of what `render` returns, the view of camera 0.

    Returns:
      An environment whose observations are dicts without an image.

    Raises:
      OpenGLError: Rendering would crash this process, as would already the import
          of dm_control, which initializes OpenGL.
    """
    opengl.require_safe_process()
    opengl.select_backend()
    from dm_control import suite
    from shimmy import DmControlCompatibilityV0

    # Cheetah's model warns of a deprecation that its users can do nothing about.
    logging.getLogger("absl").addFilter(lambda log: "settotalmass" not in str(log.msg))
    env = suite.load(domain, task)
    view = {"height": size[0], "width": size[1], "camera_id": 0}
    return DmControlCompatibilityV0(env, render_mode="rgb_array", render_kwargs=view)
