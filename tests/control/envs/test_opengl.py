import os
import subprocess
import sys

import pytest

from planet.control.envs import opengl


def run(*command, **environment):
    environment = {**os.environ, **environment}
    command = [sys.executable, *command]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


needs_software = pytest.mark.skipif(
    "not opengl.is_software()", reason="frames are rendered by hardware here"
)


def test_the_renderer_has_a_name():
    result = run("-m", "planet.control.envs.opengl")
    assert result.returncode == 0
    assert result.stdout.strip() == opengl.renderer()
    assert len(opengl.renderer().splitlines()) == 1


def test_failure_is_one_line(monkeypatch):
    result = run("-m", "planet.control.envs.opengl", MUJOCO_GL="off")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    prefix = "planet.control.envs.opengl: error: "
    assert line.startswith(f"{prefix}cannot render with MUJOCO_GL=off")
    monkeypatch.setenv("MUJOCO_GL", "off")
    with pytest.raises(opengl.OpenGLError) as caught:
        opengl.renderer.__wrapped__()
    assert str(caught.value) == line.removeprefix(prefix)


@pytest.mark.parametrize(
    ("environment", "backend"),
    [
        ({}, "egl"),
        ({"MUJOCO_GL": "osmesa"}, "osmesa"),
        ({"DISPLAY": ":0"}, None),
        ({"DISPLAY": ":0", "MUJOCO_GL": "glfw"}, "glfw"),
    ],
)
def test_backend_is_chosen_where_there_is_no_display_and_no_wish(
    monkeypatch, environment, backend
):
    monkeypatch.setattr(os, "environ", environment)
    opengl.select_backend()
    assert environment.get("MUJOCO_GL") == backend


@pytest.mark.parametrize("before", [None, "egl"])
def test_switching_opengl_off_leaves_the_wish_as_it_was(monkeypatch, before):
    environment = {"MUJOCO_GL": before} if before else {}
    monkeypatch.setattr(os, "environ", dict(environment))
    with opengl.switched_off():
        assert os.environ == {"MUJOCO_GL": "disable"}
    assert os.environ == environment


@needs_software
@pytest.mark.parametrize("isolate", ["none", "thread"])
def test_software_rendering_requires_processes(isolate):
    with pytest.raises(opengl.OpenGLError, match="isolate_envs: process") as caught:
        opengl.require_isolation(isolate)
    assert opengl.renderer() in str(caught.value)
    opengl.require_isolation("process")


PROGRAM = """
import functools, sys
import numpy as np
from planet.control import batch_env
from planet.scripts import tasks
from tests.control import counting_env

if __name__ == "__main__":
    import tensorflow

    (task,) = tasks.load(tasks.Selection(["cartpole_balance"], action_repeat=50))
    env_ctor = functools.partial(counting_env.telling, task.env_ctor)
    env = batch_env.make(env_ctor, "process")
    print(env.reset()[0]["image"].std() > 5)
    print("tensorflow" in env.step(np.zeros(1))[-1]["modules"])
    env.close()
    for isolate in ["none", "thread"]:
        try:
            batch_env.make(env_ctor, isolate).reset()
        except batch_env.EnvError as error:
            print(str(error).splitlines()[0])
"""


@needs_software
def test_beside_tensorflow_only_other_processes_render(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    paths = os.pathsep.join(filter(None, sys.path))
    result = run(tmp_path / "program.py", PYTHONPATH=paths)
    assert result.returncode == 0, result.stderr
    shown, loaded, *refusals = result.stdout.splitlines()
    assert shown == "True"
    assert loaded == "False"
    assert len(refusals) == 2
    for refusal in refusals:
        assert "OpenGLError: the software renderer" in refusal
        assert "isolate_envs: process" in refusal
