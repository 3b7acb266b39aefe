"""Adapters that turn the environments of other libraries into gymnasium's.

With a `size` of None, the environment does not render.
"""

import contextlib
import importlib
import io
import logging
import os
import types
from collections.abc import Iterable
from typing import Any

import gymnasium

from planet.control.envs import opengl, suite
from planet.control.errors import UnusableEnvError
from planet.tools import parameters

Size = tuple[int, int]


def dm_control(name: str, size: Size | None) -> gymnasium.Env:
    """Loads a task of the DeepMind Control Suite.

    Args:
      name: Body and goal, for example `cartpole_balance`.
      size: Height and width of what `render` returns, the view of camera 0.

    Returns:
      An environment whose observations are dicts without an image.

    Raises:
      UnusableEnvError: There is no such task, or dm_control is missing.
      OpenGLError: Rendering would crash this process, and so would even the import of
          dm_control, which initializes OpenGL.
    """
    if hint := suite.missing():
        raise UnusableEnvError(hint)
    if size is None:
        with opengl.switched_off():
            from dm_control.suite import ALL_TASKS, load

            shimmy = _import_shimmy()
    else:
        opengl.require_safe_process()
        opengl.select_backend()
        from dm_control.suite import ALL_TASKS, load

        shimmy = _import_shimmy()

    _ignore_warnings_of_models()
    known = {"_".join(pair): pair for pair in ALL_TASKS}
    _require_known("task of the control suite", name, known)
    settings = {}
    if size is not None:
        view = {"height": size[0], "width": size[1], "camera_id": 0}
        settings = {"render_mode": "rgb_array", "render_kwargs": view}
    return shimmy.DmControlCompatibilityV0(load(*known[name]), **settings)


def gym(name: str, size: Size | None, **settings: Any) -> gymnasium.Env:
    """Makes an environment that is registered with gymnasium.

    Args:
      name: Its id, for example `Pendulum-v1`; `module:id` imports that module first.
      size: Height and width of what `render` returns, where the environment lets us
          choose; one that cannot render is made all the same.
      settings: Passed to its constructor.

    Raises:
      UnusableEnvError: There is no such environment.
      OpenGLError: Rendering would crash this process.
    """
    module, _, name = name.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise UnusableEnvError(f"there is no module {error.name!r}") from error
    _require_known("id of gymnasium", name, gymnasium.registry)
    entry_point = gymnasium.spec(name).entry_point
    if "mujoco" in str(entry_point):
        _prepare_mujoco(size)
        if size is not None:
            settings |= {"height": size[0], "width": size[1]}
    try:
        if size is not None and "rgb_array" in _render_modes(entry_point):
            settings["render_mode"] = "rgb_array"
            _do_without_display()
        return gymnasium.make(name, disable_env_checker=True, **settings)
    except (ImportError, gymnasium.error.Error) as error:
        raise UnusableEnvError(" ".join(str(error).split())) from error


def atari(game: str, frameskip: int, sticky: float = 0.25) -> gymnasium.Env:
    """Makes an Atari game, which observes its own images.

    Args:
      game: Its name, for example `Breakout`.
      frameskip: Frames for which the emulator repeats each action.
      sticky: Probability that the emulator repeats the last action instead.

    Raises:
      UnusableEnvError: There is no such game.
    """
    import ale_py

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    gymnasium.register_envs(ale_py)
    specs = gymnasium.registry.values()
    games = {spec.name for spec in specs if spec.namespace == "ALE"}
    _require_known("game", game, games)
    return gymnasium.make(
        f"ALE/{game}-v5",
        disable_env_checker=True,
        frameskip=frameskip,
        repeat_action_probability=sticky,
    )


def old_gym(name: str, size: Size | None) -> gymnasium.Env:
    """Makes an environment that is registered with gym, gymnasium's predecessor.

    Args:
      name: Its id, for example `CartPole-v1`.
      size: None not to render; otherwise, it renders in a size of its own choice.

    Raises:
      UnusableEnvError: There is no such environment.
    """
    _silence_predecessor()
    import gym as predecessor

    with opengl.switched_off():  # Shimmy imports dm_control.
        shimmy = _import_shimmy()
    specs = predecessor.envs.registry
    _require_known("id of gym", name, specs)
    # The checker fails on NumPy 2.
    settings: dict[str, Any] = {"disable_env_checker": True}
    if size is not None and "rgb_array" in _render_modes(specs[name].entry_point):
        settings["render_mode"] = "rgb_array"
        _do_without_display()
    env = shimmy.GymV26CompatibilityV0(name, settings)
    limit = specs[name].max_episode_steps
    env.spec = None  # gymnasium's wrappers do not understand it.
    # Shimmy removes the predecessor's limit.
    return gymnasium.wrappers.TimeLimit(env, limit) if limit else env


def constructed(path: str) -> gymnasium.Env:
    """Calls a function without arguments that returns an environment.

    The environment shows pixels if its observation is an image or has an entry `image`,
    or else if its `render_mode` is `rgb_array`.

    Args:
      path: `package.module:function`.

    Raises:
      UnusableEnvError: There is no such function, or it returns something else.
    """
    module, _, name = path.partition(":")
    try:
        functions = vars(importlib.import_module(module))
    except ModuleNotFoundError as error:
        if f"{module}.".startswith(f"{error.name}."):
            raise UnusableEnvError(f"there is no module {error.name!r}") from None
        raise
    _require_known(f"function of {module}", name, functions)
    env = functions[name]()
    if not isinstance(env, gymnasium.Env):
        raise UnusableEnvError(f"it is not a gymnasium.Env, but {type(env).__name__}")
    return env


def _require_known(what: str, word: str, known: Iterable[str]) -> None:
    """Refuses a word that is not one of the known ones."""
    if word not in known:
        raise UnusableEnvError(parameters.unknown(what, word, known))


def _render_modes(entry_point) -> Iterable[str]:
    """Render modes of an environment, known before it is made."""
    if isinstance(entry_point, str):
        entry_point = gymnasium.envs.registration.load_env_creator(entry_point)
    return getattr(entry_point, "metadata", {}).get("render_modes", ())


def _prepare_mujoco(size: Size | None) -> None:
    """Prepares gymnasium's environments that use MuJoCo."""
    import mujoco

    # Otherwise MuJoCo writes its warnings to a file in the current folder.
    mujoco.set_mju_user_warning(logging.getLogger("absl").warning)
    _ignore_warnings_of_models()
    if size is not None:
        opengl.require_safe_process()
        opengl.select_backend()


def _do_without_display() -> None:
    """Lets pygame draw to memory without complaining that there is no screen."""
    if "DISPLAY" not in os.environ:
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")


def _import_shimmy() -> types.ModuleType:
    """Imports shimmy, but not its list of environments that it could not register."""
    _silence_predecessor()
    with contextlib.redirect_stdout(io.StringIO()):
        import shimmy
    return shimmy


def _silence_predecessor() -> None:
    """Keeps gym, which shimmy imports, from printing its long deprecation notice."""
    with contextlib.suppress(ImportError):
        from gym_notices import notices

        notices.notices.clear()


def _ignore_warnings_of_models() -> None:
    """Silences a deprecation in cheetah's model that users can do nothing about."""
    logging.getLogger("absl").addFilter(lambda log: "settotalmass" not in str(log.msg))
