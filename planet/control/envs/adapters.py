"""Adapters that turn the environments of other libraries into gymnasium's.

With a `size` of None, the environment does not render. The `params` are what the user
wants to be passed to the environment's constructor, by keyword.
"""

import contextlib
import importlib
import io
import logging
import os
import re
import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import gymnasium

from planet.control.envs import opengl, suite
from planet.control.errors import UnusableEnvError
from planet.tools import extensions, parameters

Size = tuple[int, int]
Params = Mapping[str, Any]
NO_PARAMS: Params = types.MappingProxyType({})


def dm_control(
    name: str, size: Size | None, params: Params = NO_PARAMS
) -> gymnasium.Env:
    """Loads a task of the DeepMind Control Suite.

    Args:
      name: Body and goal, for example `cartpole_balance`.
      size: Height and width of what `render` returns, the view of camera 0.
      params: Passed to the suite's function for the task, such as `time_limit`.

    Returns:
      An environment whose observations are dicts without an image.

    Raises:
      UnusableEnvError: There is no such task, it does not take these parameters, or
        dm_control is missing.
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
    domain, goal = known[name]
    module = importlib.import_module(f"dm_control.suite.{domain}")
    function = module.SUITE[goal]
    _require_keywords(name, function, params)
    settings = {}
    if size is not None:
        view = {"height": size[0], "width": size[1], "camera_id": 0}
        settings = {"render_mode": "rgb_array", "render_kwargs": view}
    with _naming_keywords(params):
        suite_env = load(domain, goal, dict(params))
    env = shimmy.DmControlCompatibilityV0(suite_env, **settings)
    return _documented(env, f"{module.__doc__} {function.__doc__}")


def gym(name: str, size: Size | None, params: Params = NO_PARAMS) -> gymnasium.Env:
    """Makes an environment that is registered with gymnasium.

    Args:
      name: Its id, for example `Pendulum-v1`; `module:id` imports that module first.
      size: Height and width of what `render` returns, where the environment lets us
          choose; one that cannot render is made all the same.
      params: Passed to its constructor; `max_episode_steps` sets its limit.

    Raises:
      UnusableEnvError: There is no such environment, or it does not take these
        parameters.
      OpenGLError: Rendering would crash this process.
    """
    module, _, name = name.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise UnusableEnvError(f"there is no module {error.name!r}") from error
    _require_known("id of gymnasium", name, gymnasium.registry)
    entry_point = _creator(gymnasium.spec(name).entry_point)
    chosen = ("render_mode", "disable_env_checker")
    _require_keywords(name, entry_point, params, chosen, ("max_episode_steps",))
    settings = dict(params)
    if "mujoco" in str(gymnasium.spec(name).entry_point):
        _prepare_mujoco(size)
        if size is not None:
            settings = {"height": size[0], "width": size[1]} | settings
    try:
        if size is not None and "rgb_array" in _render_modes(entry_point):
            settings["render_mode"] = "rgb_array"
            _do_without_display()
        with _naming_keywords(params):
            return gymnasium.make(name, disable_env_checker=True, **settings)
    except (ImportError, gymnasium.error.Error) as error:
        raise UnusableEnvError(" ".join(str(error).split())) from error


def atari(
    game: str, frameskip: int, sticky: float = 0.25, params: Params = NO_PARAMS
) -> gymnasium.Env:
    """Makes an Atari game, which observes its own images.

    Args:
      game: Its name, for example `Breakout`.
      frameskip: Frames for which the emulator repeats each action.
      sticky: Probability that the emulator repeats the last action instead.
      params: Passed to its constructor, such as `difficulty`.

    Raises:
      UnusableEnvError: There is no such game, or it does not take these parameters.
    """
    import ale_py

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    gymnasium.register_envs(ale_py)
    specs = gymnasium.registry.values()
    games = {spec.name for spec in specs if spec.namespace == "ALE"}
    _require_known("game", game, games)
    chosen = ("game", "frameskip", "render_mode")  # The second is the action repeat.
    _require_keywords(game, ale_py.AtariEnv, params, chosen)
    settings = {"repeat_action_probability": sticky, **params}
    return gymnasium.make(
        f"ALE/{game}-v5", disable_env_checker=True, frameskip=frameskip, **settings
    )


def old_gym(name: str, size: Size | None, params: Params = NO_PARAMS) -> gymnasium.Env:
    """Makes an environment that is registered with gym, gymnasium's predecessor.

    Args:
      name: Its id, for example `CartPole-v1`.
      size: None not to render; otherwise, it renders in a size of its own choice.
      params: Passed to its constructor.

    Raises:
      UnusableEnvError: There is no such environment, or it does not take these
        parameters.
    """
    _silence_predecessor()
    import gym as predecessor

    with opengl.switched_off():  # Shimmy imports dm_control.
        shimmy = _import_shimmy()
    specs = predecessor.envs.registry
    _require_known("id of gym", name, specs)
    entry_point = _creator(specs[name].entry_point)
    chosen = ("render_mode", "disable_env_checker")
    _require_keywords(name, entry_point, params, chosen)
    # The checker fails on NumPy 2.
    settings = {**params, "disable_env_checker": True}
    if size is not None and "rgb_array" in _render_modes(entry_point):
        settings["render_mode"] = "rgb_array"
        _do_without_display()
    with _naming_keywords(params):
        env = shimmy.GymV26CompatibilityV0(name, settings)
    limit = specs[name].max_episode_steps
    env.spec = None  # gymnasium's wrappers do not understand it.
    # Shimmy removes the predecessor's limit.
    return gymnasium.wrappers.TimeLimit(env, limit) if limit else env


def constructed(path: str, params: Params = NO_PARAMS) -> gymnasium.Env:
    """Calls a function, or class, that returns an environment.

    The environment shows pixels if its observation is an image or has an entry `image`,
    or else if its `render_mode` is `rgb_array`.

    Args:
      path: `package.module:function`.
      params: Passed to the function. They may come from a file, so it has to be a class
        of environments, or to be declared to return one: others could do anything.

    Raises:
      UnusableEnvError: There is no such function, it does not take these parameters, or
        it returns something else.
    """
    module, _, name = path.partition(":")
    try:
        functions = vars(importlib.import_module(module))
    except ModuleNotFoundError as error:
        if f"{module}.".startswith(f"{error.name}."):
            raise UnusableEnvError(f"there is no module {error.name!r}") from None
        raise
    _require_known(f"function of {module}", name, functions)
    function = functions[name]
    if not callable(function):
        raise UnusableEnvError(f"it is not a function, but {parameters.show(function)}")
    if params and not _is_declared(function):
        raise UnusableEnvError(
            "env_params are only passed to a class of environments, or to a function "
            f"that is declared to return one, `def {name}(...) -> gymnasium.Env`"
        )
    _require_keywords(name, function, params)
    with _naming_keywords(params):
        env = function(**params)
    if not isinstance(env, gymnasium.Env):
        raise UnusableEnvError(f"it is not a gymnasium.Env, but {type(env).__name__}")
    if isinstance(function, type) or not function.__doc__:
        return env
    return _documented(env, function.__doc__)


def _is_declared(function: Callable) -> bool:
    """Tells whether a function says, without being called, that it makes one."""
    try:
        made = function
        if not isinstance(function, type):
            made = typing.get_type_hints(function).get("return")
    except (AttributeError, NameError, TypeError):
        return False
    return isinstance(made, type) and issubclass(made, gymnasium.Env)


def _documented(env, text):
    """Gives an environment a docstring of its own, for `inspection`."""
    env.unwrapped.__doc__ = text
    return env


def _require_known(what: str, word: str, known: Iterable[str]) -> None:
    """Refuses a word that is not one of the known ones."""
    if word not in known:
        raise UnusableEnvError(parameters.unknown(what, word, known))


def _require_keywords(
    what: str,
    function: Callable,
    params: Params,
    chosen: Collection[str] = (),
    others: Collection[str] = (),
) -> None:
    """Refuses parameters that a function does not take, as far as it says so.

    Args:
      what: What the function makes.
      function: The function, or class.
      params: What it is to be called with.
      chosen: What it takes, but not from the user.
      others: Further words that the user may give.
    """
    known = {*extensions.argument_names(function), *others} - {*chosen}
    for word in params:
        if word in chosen or extensions.missing_arguments(function, {word} - {*others}):
            _require_known(f"parameter of {what}", word, known)


@contextlib.contextmanager
def _naming_keywords(params: Params) -> Iterator[None]:
    """Names the parameter that a function passed on to another one in vain."""
    try:
        yield
    except TypeError as error:
        found = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if not found or found[1] not in params:
            raise
        raise UnusableEnvError(f"unknown parameter {found[1]!r}") from None


def _creator(entry_point: str | Callable) -> Callable:
    """What makes a registered environment: a class, mostly."""
    if isinstance(entry_point, str):
        return gymnasium.envs.registration.load_env_creator(entry_point)
    return entry_point


def _render_modes(entry_point: Callable) -> Iterable[str]:
    """Render modes of an environment, known before it is made."""
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
