"""Headless OpenGL: whether it works, what renders, and where that is safe.

    python -m planet.control.envs.opengl

renders one frame and prints the name of the renderer, or says in one line why it
cannot.

TensorFlow and a software renderer cannot share a process: each brings an LLVM of
its own, and loading the second causes a segmentation fault that no `except` catches.
"""

import contextlib
import functools
import os
import pathlib
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator

_ERROR = "planet.control.envs.opengl: error: "
_SOFTWARE = ("llvmpipe", "softpipe", "swrast", "software rasterizer")
_LIBRARIES = ("libEGL", "libGL", "libOSMesa")
_IMPORTING = threading.Lock()


class OpenGLError(RuntimeError):
    """OpenGL does not work, or must not be used in this process."""


def select_backend() -> None:
    """Makes MuJoCo render with EGL unless there is a display or MUJOCO_GL is set.

    Takes effect when called before the first import of dm_control or mujoco.
    """
    if "DISPLAY" not in os.environ:
        os.environ.setdefault("MUJOCO_GL", "egl")


@contextlib.contextmanager
def switched_off() -> Iterator[None]:
    """Lets dm_control be imported without OpenGL, for environments that render nothing.

    Such an import is safe in a process that uses TensorFlow.
    """
    with _IMPORTING:
        before = os.environ.get("MUJOCO_GL")
        os.environ["MUJOCO_GL"] = "disable"
        try:
            yield
        finally:
            if before is None:
                del os.environ["MUJOCO_GL"]
            else:
                os.environ["MUJOCO_GL"] = before


def is_loaded() -> bool:
    """Tells whether this process has loaded OpenGL, as rendering with it does."""
    libraries = pathlib.Path("/proc/self/maps").read_text()
    return any(f"/{name}" in libraries for name in _LIBRARIES)


@functools.cache
def renderer() -> str:
    """Name of what renders on this machine, found out once, in a process of its own.

    Raises:
      OpenGLError: Rendering does not work.
    """
    command = [sys.executable, "-m", "planet.control.envs.opengl"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        reason = result.stderr.rpartition(_ERROR)[2].strip()
        raise OpenGLError(reason or f"rendering ends with code {result.returncode}")
    return result.stdout.strip()


def is_software() -> bool:
    """Tells whether frames are rendered by the CPU."""
    return any(name in renderer().lower() for name in _SOFTWARE)


def require_isolation(isolate_envs: str) -> None:
    """Checks that environments may render when isolated in this way.

    Args:
      isolate_envs: `none`, `thread` or `process`.

    Raises:
      OpenGLError: They would render in software in TensorFlow's process.
    """
    if isolate_envs != "process" and is_software():
        raise OpenGLError(
            f"the software renderer {renderer()} crashes in a process that uses "
            f"TensorFlow; set `isolate_envs: process` instead of {isolate_envs!r}"
        )


def require_safe_process() -> None:
    """Checks that this process may initialize OpenGL.

    Raises:
      OpenGLError: It has loaded TensorFlow, and rendering is done in software.
    """
    if "tensorflow" in sys.modules and is_software():
        raise OpenGLError(
            f"the software renderer {renderer()} crashes in a process that has loaded "
            "TensorFlow; render in another process with `isolate_envs: process`"
        )


def _render_one_frame() -> str:
    """Renders a sphere and returns the name of the renderer."""
    select_backend()
    import mujoco
    from OpenGL import GL

    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><geom size='1'/></worldbody></mujoco>"
    )
    with mujoco.Renderer(model, height=64, width=64) as view:
        view.update_scene(mujoco.MjData(model))
        view.render()
        return GL.glGetString(GL.GL_RENDERER).decode()


def main() -> int:
    """Prints the name of the renderer, or why there is none; returns the exit code."""
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda _: None  # Freeing a half-made context fails.
    try:
        print(_render_one_frame())
    except Exception as error:  # A driver, or its absence, can raise anything.
        backend = os.environ.get("MUJOCO_GL", "unset")
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        message = f"cannot render with MUJOCO_GL={backend}: {reason}"
        print(_ERROR + message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
