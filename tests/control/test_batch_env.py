import functools
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit

from planet.control import batch_env
from planet.control.batch_env import BatchEnv, EnvError
from planet.control.envs.dummy_env import DummyEnv
from planet.control.random_episodes import random_episodes
from planet.tools import episode_files, interruption
from tests.control import counting_env
from tests.control.counting_env import CountingEnv

ISOLATIONS = ["none", "thread", "process"]


def make_batch(env_ctors, isolate):
    return BatchEnv([batch_env.make(env_ctor, isolate) for env_ctor in env_ctors])


def short_dummy_env(length):
    return TimeLimit(DummyEnv(), length)


def is_running(pid):
    try:
        status = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.02)


def test_isolation_makes_no_difference():
    def play(isolate):
        env_ctors = [functools.partial(short_dummy_env, n) for n in (3, 5)]
        random = np.random.default_rng(0)
        with make_batch(env_ctors, isolate) as envs:
            results = [envs.reset([7, 8])["image"]]
            for _ in range(5):
                step = envs.step(random.uniform(-1, 1, (2, 2)))
                results += [step[0]["image"], *step[1:3]]
            return [envs.observation_space, envs.action_space], results

    spaces, results = play("none")
    assert results[0].shape == (2, 64, 64, 3)
    assert results[-1].tolist() == [True, True]
    for isolate in ["thread", "process"]:
        other_spaces, other_results = play(isolate)
        assert other_spaces == spaces
        for result, other in zip(results, other_results, strict=True):
            np.testing.assert_array_equal(result, other, strict=True)


def test_environments_that_are_done_are_held():
    with make_batch(
        [functools.partial(CountingEnv, n) for n in (1, 3)], "none"
    ) as envs:
        envs.reset()
        envs.step(np.zeros((2, 1)))
        observations, rewards, done, infos = envs.step(np.zeros((2, 1)))
        assert observations["position"].tolist() == [[1], [2]]
        assert rewards.tolist() == [0, 2]
        assert rewards.dtype == np.float32
        assert done.tolist() == [True, False]
        assert infos[0] == {}
        assert envs.reset()["position"].tolist() == [[0], [0]]
        *_, done, _ = envs.step(np.zeros((2, 1)))
        assert done.tolist() == [True, False]


@pytest.mark.parametrize("isolate", ["thread", "process"])
def test_environments_work_at_the_same_time(isolate):
    env_ctor = functools.partial(CountingEnv, seconds=0.5)
    with make_batch([env_ctor] * 3, isolate) as envs:
        envs.reset()
        start = time.monotonic()
        envs.step(np.zeros((3, 1)))
        assert time.monotonic() - start < 1.2


@pytest.mark.parametrize("where", ["constructor", "reset", "step"])
@pytest.mark.parametrize("isolate", ISOLATIONS)
def test_exceptions_arrive_with_their_traceback(isolate, where):
    with make_batch([functools.partial(counting_env.failing, where)], isolate) as envs:
        with pytest.raises(EnvError) as caught:  # noqa: PT012 (one of them fails)
            envs.reset()
            envs.step(np.zeros((1, 1)))
        message = str(caught.value)
        assert message.splitlines()[0] == f"ZeroDivisionError: broken {where}"
        assert "Traceback (most recent call last)" in message
        assert "in _fail" in message


@pytest.mark.parametrize("isolate", ISOLATIONS)
def test_an_environment_lives_on_after_an_exception(isolate):
    env_ctors = [CountingEnv, functools.partial(counting_env.failing, "step")]
    with make_batch(env_ctors[::-1], isolate) as envs:
        for _ in range(2):
            observations = envs.reset()
            assert observations["position"].tolist() == [[0], [0]]
            with pytest.raises(EnvError):
                envs.step(np.zeros((2, 1)))
        healthy = BatchEnv(envs.envs[1:])
        healthy.reset()
        assert healthy.step(np.zeros((1, 1)))[1].tolist() == [1]


def test_a_dead_process_is_noticed():
    with make_batch([counting_env.dying], "process") as envs:
        envs.reset()
        for _ in range(2):
            with pytest.raises(EnvError, match="ended by itself with code 7"):
                envs.step(np.zeros((1, 1)))


@pytest.mark.parametrize("isolate", ["thread", "process"])
def test_an_environment_that_hangs_is_not_waited_for(isolate):
    env = batch_env.make(counting_env.hanging, isolate, timeout=3)
    env.reset()
    start = time.monotonic()
    with pytest.raises(EnvError, match="gave no answer for 3 s"):
        env.step(np.zeros(1))
    assert time.monotonic() - start < 6
    if isolate == "process":
        (process,) = multiprocessing.active_children()
        env.close()
        assert not is_running(process.pid)
        assert time.monotonic() - start < 6


def test_an_environment_that_stops_within_an_answer_is_not_waited_for():
    env = batch_env.make(counting_env.stopping_midway, timeout=2)
    env.reset()
    wait = env.step_async(np.zeros(1))
    time.sleep(1)
    with pytest.raises(EnvError, match="gave no answer for 2 s"):
        wait()
    env.close()


def test_an_interruption_does_not_wait_for_an_environment():
    def interrupt():
        raise KeyboardInterrupt

    env = batch_env.make(functools.partial(CountingEnv, seconds=60), "process")
    env.reset()
    wait = env.step_async(np.zeros(1))
    start = time.monotonic()
    with interruption.required(interrupt), pytest.raises(KeyboardInterrupt):
        wait()
    env.close()
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("isolate", ISOLATIONS)
def test_an_environment_is_made_anew(isolate):
    env = batch_env.make(CountingEnv, isolate)
    env.reset()
    env.step(np.zeros(1))
    env.restart()
    assert env.action_space.shape == (1,)
    assert env.reset()[0]["position"] == 0
    env.close()


FAULTS = {
    "raise_error": "ZeroDivisionError: broken step",
    "kill": "the process of an environment ended by itself with code -9",
    "crash": "the process of an environment ended by itself with code -11",
    "stop": "the environment gave no answer for 5 s",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_episode_that_fails_is_played_again(fault, tmp_path, capsys):
    ctors = [
        functools.partial(
            counting_env.failing_once,
            getattr(counting_env, fault) if index else None,
            tmp_path / ("failed" if index else ""),
            length=1 + index,
        )
        for index in range(2)
    ]
    envs = [batch_env.make(ctor, timeout=5) for ctor in ctors]
    with BatchEnv(envs) as batch:
        returns = random_episodes(batch, 2, tmp_path / "episodes", 0, retry_as="mine")
        again = random_episodes(batch, 2, None, 0)
    assert returns == again
    (line,) = capsys.readouterr().out.splitlines()
    assert line == f"Episode of mine dropped, tried again (1 of 3): {FAULTS[fault]}"
    paths = episode_files.scan(tmp_path / "episodes")
    assert [len(episode_files.read(path)["reward"]) for path in paths] == [2, 3]


def test_an_episode_that_always_fails_is_an_error(capsys):
    with make_batch([functools.partial(counting_env.failing, "step")], "none") as envs:
        with pytest.raises(EnvError) as caught:
            random_episodes(envs, 1, None, 0, retry_as="mine")
        assert len(capsys.readouterr().out.splitlines()) == 3
    message = str(caught.value).splitlines()[0]
    assert message == (
        "task 'mine' failed 4 times in a row; the last time: ZeroDivisionError: broken "
        "step"
    )


def test_closing_ends_the_process_and_ctrl_c_does_not():
    env = batch_env.make(functools.partial(counting_env.telling, CountingEnv))
    (process,) = multiprocessing.active_children()
    for _ in range(10):  # Most of them while the process starts.
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.02)
    env.reset()
    assert env.step(np.zeros(1))[-1]["pid"] == process.pid
    os.kill(process.pid, signal.SIGINT)
    assert env.step(np.zeros(1))[0]["position"] == 2
    env.close()
    assert not is_running(process.pid)


@pytest.mark.parametrize("state", ["idle", "busy", "hanging"])
def test_processes_end_when_their_parent_is_killed(state):
    program = f"""
import functools, multiprocessing, time
import numpy as np
from planet.control import batch_env
from tests.control import counting_env

if __name__ == "__main__":
    env_ctor = functools.partial(counting_env.CountingEnv, seconds=0.2)
    env_ctor = functools.partial(counting_env.telling, env_ctor)
    envs = [batch_env.make(env_ctor, "process") for _ in range(2)]
    for env in envs:
        env.reset()
    print(*[env.step(np.zeros(1))[-1]["pid"] for env in envs], flush=True)
    waits = [env.step_async(np.zeros(1)) for env in envs if {state!r} == "busy"]
    if {state!r} == "hanging":
        envs = [batch_env.make(functools.partial(counting_env.hanging, True))]
        envs[0].reset()
        wait = envs[0].step_async(np.zeros(1))
        (*_, process) = multiprocessing.active_children()
        print(process.pid, flush=True)
    time.sleep(60)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    )
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    if state == "hanging":
        pids.append(int(parent.stdout.readline()))
        time.sleep(0.5)
    assert all(map(is_running, pids))
    parent.kill()
    parent.communicate()
    wait_until(lambda: not any(map(is_running, pids)))


SCRIPT = """
import functools
import numpy as np
from planet.control import batch_env
from planet.control.envs.dummy_env import DummyEnv

print("runs")
env = batch_env.make({ctor}, "process", timeout=60)
env.reset()
print(env.step(np.zeros(3))[1])
env.close()
"""


@pytest.mark.parametrize("interactive", [False, True])
def test_a_script_needs_no_guard(interactive, tmp_path):
    program = SCRIPT.format(ctor="functools.partial(DummyEnv, action_size=3)")
    script = tmp_path / "script.py"
    script.write_text(program)
    result = subprocess.run(
        [sys.executable, "-" if interactive else script],  # As in a notebook.
        input=program,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert len(result.stdout.splitlines()) == 2


def test_an_environment_may_be_defined_by_the_script_itself(tmp_path):
    script = tmp_path / "script.py"
    lines = SCRIPT.format(ctor="make").lstrip().splitlines()
    start = lines.index('print("runs")')
    define = ["def make():", "    return DummyEnv(action_size=3)"]
    guarded = ['if __name__ == "__main__":', *("    " + x for x in lines[start:])]
    script.write_text("\n".join([*lines[:start], *define, *guarded]))
    result = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120
    )
    assert (result.returncode, result.stderr) == (0, "")
