import json
import os
import pathlib
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest

from planet.control.envs import opengl, suite
from planet.scripts import configs, runs, tasks, train
from planet.tools import parameters, tensorflow_start, tf1_checkpoint

ROOT = pathlib.Path(__file__).parent.parent.parent
TINY = "tasks: [dummy], dumbnet: true, action_repeat: 20, overshooting: 0"


@pytest.fixture
def run_train(run_python, tmp_path):
    """Runs the command; its temporary folders, if any, are in tmp_path/tmp."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()

    def run(*arguments):
        command = ("-m", "planet.scripts.train", *arguments)
        return run_python(*command, TMPDIR=str(temporary))

    return run


@pytest.mark.parametrize(
    ("observations", "given", "expected"),
    [("image", None, "1"), ("image", "0", "0"), ("state", None, None)],
)
def test_convolutions_are_favoured_where_there_are_any(
    observations, given, expected, monkeypatch, run_main
):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    os.environ.pop(tensorflow_start.ONEDNN, None)
    if given:
        os.environ[tensorflow_start.ONEDNN] = given
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    params = {"tasks": ["dummy"], "observations": observations}
    params["checkpoint_to_load"] = "missing"
    code, _, _ = run_main(train.main, "--config", "debug", "--params", params)
    assert code == 2
    assert os.environ.get(tensorflow_start.ONEDNN) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--params", "{cem_amont: 3}"),
            "unknown parameter 'cem_amont' in --params; did you mean 'cem_amount'?",
        ),
        (
            ("--params", "{tasks: [nope]}"),
            "unknown task 'nope' in --params; known: 'cartpole_balance', ",
        ),
        (
            ("--params", "{model: rsm}"),
            "unknown model 'rsm' in --params; did you mean 'rssm'?",
        ),
        (
            ("--config", "newph"),
            "unknown config 'newph'; did you mean 'newhp'?",
        ),
        (
            ("--params", "{cem_amount: many}"),
            "cem_amount in --params must be a whole number of at least 1, not 'many'",
        ),
        (
            ("--params", "{batch_shape: [8]}"),
            "batch_shape in --params must be a list of 2 values, not [8]",
        ),
        (
            ("--params", "{tasks: ['gym:Pendulm-v1']}"),
            "task 'gym:Pendulm-v1' cannot be used: unknown id of gymnasium "
            "'Pendulm-v1'; did you mean 'Pendulum-v1'",
        ),
        (
            ("--params", "{tasks: [cartpole_balance], discrete_action: true}"),
            "discrete_action must be false, or null, for the continuous actions of "
            "cartpole_balance, not true",
        ),
        (
            ("--params", "{planner: real, tasks: [dummy]}"),
            "planner 'real': the state of task 'dummy' cannot be saved and restored, "
            "unlike that of dm_control's suite, gymnasium's MuJoCo environments and "
            "Atari games",
        ),
        (
            ("--params", "{action_repeat: 50}"),
            "episodes of task 'cheetah_run' have 21 steps with this action repeat, "
            "fewer than the 50 of batch_shape",
        ),
        (
            ("--params", "{checkpoint_to_load: missing/ckpt}"),
            "checkpoint_to_load must be a run, RUN@STEP, RUN@best, a checkpoint "
            "without its suffix .index, or a folder of checkpoints or weights, not "
            "'missing/ckpt'",
        ),
        (
            ("--params", "[tasks]"),
            "--params must be key=value, FILE.yaml or a mapping of parameters, not "
            "['tasks']",
        ),
        (
            ("--params", "{tasks: ["),
            "--params cannot be read as YAML: ",
        ),
        (
            ("--params", "{cem_amount: 1,\n cem_amount: 2}"),
            "--params cannot be read as YAML: found duplicate key ",
        ),
        (
            ("--params",),
            "argument --params: expected at least one argument",
        ),
        (
            ("--params", "cem_amount=3", "cem_amount=many"),
            "cem_amount in --params must be a whole number of at least 1, not 'many'",
        ),
        (
            ("--config", "runs/00007"),
            "--config 'runs/00007' cannot be read: No such file or directory",
        ),
        (
            ("--num_runs", "0"),
            "argument --num_runs: must be a whole number from 1 to 99999, not '0'",
        ),
        (
            ("--num_runs", "2.5"),
            "argument --num_runs: must be a whole number from 1 to 99999, not '2.5'",
        ),
        (
            ("--ping_every", "nan"),
            "argument --ping_every: must be a number from 0 to 86400, not 'nan'",
        ),
        (
            ("--resume_runs", "maybe"),
            "argument --resume_runs: must be True or False, not 'maybe'",
        ),
        (("--parms", "{}"), "unknown flag '--parms'; did you mean '--params'?"),
        (("{}",), "argument LOGDIR: '{}' looks like --params {}"),
        (("seed=1",), "argument LOGDIR: 'seed=1' looks like --params seed=1"),
        (
            ("--tasks", "dummy", "--params", "tasks=dummy"),
            "tasks are given in --tasks and --params",
        ),
        (("--tasks", "foo"), "unknown task 'foo' in --tasks; known: 'cartpole_bal"),
        (
            ("--tasks", "dummy", "dummy"),
            "--tasks must be a list of different tasks, or all, not ['dummy', 'dummy']",
        ),
        (("--logdir", ""), "argument --logdir: '' is not a path"),
        (("--logdir", "setup.py"), "argument --logdir: 'setup.py' is not a folder"),
        (("--logdir", "setup.py/a"), "argument --logdir: 'setup.py/a' is not a folder"),
        (("--logdir", "a" * 300), f"argument --logdir: '{'a' * 300}': [Errno 36] File"),
    ],
)
def test_bad_input(arguments, message, run_main, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if "--logdir" not in arguments and arguments[0].startswith("--"):
        arguments = ("--logdir", tmp_path / "logdir", *arguments)
    code, out, err = run_main(train.main, *arguments)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(f"planet.scripts.train: error: {message}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("workers", "message"),
    [
        (0, "distribute: multi_worker takes the environment variable TF_CONFIG, such"),
        (3, "batch_shape must begin with a multiple of 3, the number of replicas, not"),
    ],
)
def test_processes_that_cannot_share_updates(
    workers, message, run_main, tmp_path, monkeypatch
):
    addresses = [f"localhost:{port}" for port in range(1, workers + 1)]
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config) if workers else "")
    command = ("--config", "debug", "--params", "distribute=multi_worker")
    logdir = tmp_path / "logdir"
    code, out, err = run_main(train.main, *command, "--logdir", logdir)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(f"planet.scripts.train: error: {message}")
    assert not logdir.exists()


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("tasks: [nope]", "unknown task 'nope' in --params; known: 'cartpole_"),
        ("tasks: ['gym:Pendulm-v1']", "task 'gym:Pendulm-v1' cannot be used: "),
    ],
)
def test_bad_input_without_logdir(parameter, message, run_train, tmp_path):
    result = run_train("--params", f"{{{parameter}}}")
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"planet.scripts.train: error: {message}")
    assert [path.name for path in tmp_path.rglob("*")] == ["tmp"]


@pytest.mark.parametrize("task", ["cheetah_run", "dmc:walker_run"])
def test_missing_dm_control(task, run_python, tmp_path):
    """As after `pip install` for Python 3.13."""
    hide = "import sys; sys.modules['dm_control'] = None"
    (tmp_path / "sitecustomize.py").write_text(hide)
    command = ["-m", "planet.scripts.train", "--logdir", tmp_path / "logdir"]
    command += ["--params", f"{{tasks: ['{task}']}}"]
    result = run_python(*command, PYTHONPATH=str(tmp_path))
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == (
        f"planet.scripts.train: error: task '{task}' cannot be used: it needs "
        f"dm_control: pip install --no-deps '{suite.REQUIREMENT}'\n"
    )
    assert not (tmp_path / "logdir").exists()


@pytest.mark.skipif(not opengl.is_software(), reason="OpenGL uses hardware here")
@pytest.mark.parametrize("isolation", ["none", "thread"])
def test_software_rendering_beside_tensorflow_is_refused(isolation, run_main, tmp_path):
    params = f"{{isolate_envs: {isolation}, tasks: [cartpole_balance]}}"
    command = ("--logdir", tmp_path / "logdir", "--params", params)
    code, _, err = run_main(train.main, *command)
    assert code == 2
    (line,) = err.splitlines()
    assert "isolate_envs: process" in line
    assert not (tmp_path / "logdir").exists()


def test_short_horizons_are_warned_about_once(run_main, tmp_path):
    for name in ("00001", "00002"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "DONE").touch()
    command = ("--logdir", tmp_path, "--num_runs", 2, "--params")
    code, out, err = run_main(
        train.main, *command, "{tasks: [cartpole_balance_da], planner_horizon: 12}"
    )
    assert (code, err) == (0, "")
    warning, *rest = out.splitlines()
    assert warning.startswith("Horizon 12 sees 0.48 s ahead. With a perfect model, ")
    assert rest == [f"Skip {tmp_path}/{name}: finished" for name in ("00001", "00002")]
    params = "{tasks: [cartpole_balance_da], planner_horizon: null}"
    _, out, _ = run_main(train.main, *command, params)
    assert out.splitlines() == rest


def test_cuts_and_lost_channels_are_announced(run_main, tmp_path):
    (tmp_path / "00001").mkdir()
    (tmp_path / "00001" / "DONE").touch()
    users = "tests.control.user_envs"
    command = ("--logdir", tmp_path, "--params")
    params = f"tasks: ['{users}:long_walk', '{users}:with_alpha']"
    code, out, err = run_main(train.main, *command, f"{{{params}}}")
    assert (code, err) == (0, "")
    long, short, alpha, _ = out.splitlines()
    assert long == (
        f"Episodes of {users}:long_walk are cut after 1000 steps of the environment, "
        "which itself ends them after 5000; episode_steps changes that."
    )
    assert short.startswith(f"Episodes of {users}:with_alpha are cut after 1000 steps ")
    assert short.endswith(
        "itself does not say when they end; episode_steps changes that."
    )
    assert alpha.startswith(f"The fourth channel of the image of task '{users}:with_a")
    params = f"tasks: ['{users}:long_walk'], episode_steps: 5000"
    _, out, _ = run_main(train.main, *command, f"{{{params}}}")
    assert out == f"Skip {tmp_path}/00001: finished\n"


def test_help(run_main):
    code, out, _ = run_main(train.main, "--help")
    assert code == 0
    flags = ("logdir", "config", "params", "num_runs", "resume_runs", "ping_every")
    for flag in flags:
        assert f"--{flag}" in out
    for name in (*configs.CONFIGS, *tasks.names(), *configs.PARAMETERS):
        assert name in out
    for parameter in configs.PARAMETERS.values():
        assert all(alias in out for alias in parameter.aliases)
    assert max(map(len, out.splitlines())) <= 80


def test_imports_no_tensorflow(run_python):
    program = (
        "import sys; from planet.scripts import train\n"
        "try: train.main(['--help'])\n"
        "except SystemExit: sys.exit('tensorflow' in sys.modules)"
    )
    result = run_python("-c", program)
    assert result.returncode == 0, result.stderr


def interrupt(command, marker, tmp_path, send=None):
    """Presses Ctrl-C at the first line that starts with a text.

    Args:
      command: Arguments of the command line.
      marker: The text.
      tmp_path: The folder for temporary files.
      send: Sends another signal to the process, in place of Ctrl-C.

    Returns:
      The exit code and the lines from there on.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "planet.scripts.train", *command],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        preexec_fn=_listen_to_interrupts,
    )
    try:
        lines = iter(process.stdout.readline, "")
        next(line for line in lines if line.startswith(marker))
        if send:
            send(process)
        else:
            os.killpg(process.pid, signal.SIGINT)  # To its workers as well.
        rest = list(lines)
        return process.wait(60), rest
    finally:
        process.kill()
        process.wait()


def _listen_to_interrupts():
    """Undoes what a shell does to the jobs it starts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow
def test_interrupted_run_continues_with_its_settings(run_main, tmp_path):
    logdir = tmp_path / "a" / "logdir"
    command = ["--logdir", logdir, "--config", "debug", "--params"]
    params = f"{{{TINY}, max_steps: 40}}"
    code, lines = interrupt([*command, params], "Phase test", tmp_path)
    assert code == 130
    (step,) = runs.checkpoints(logdir / "00001")
    expected = f"Interrupted; step {step} is saved; the same command continues.\n"
    assert lines[-1] == expected
    assert "Traceback" not in "".join(lines)
    names = {path.name for path in (logdir / "00001").iterdir()}
    assert {"config.yaml", "train_episodes", "test_episodes"} <= names
    assert not names & {"DONE", "FAIL"}

    other = f"{{{TINY}, max_steps: 30, free_nats: 7}}"
    code, out, err = run_main(train.main, *command, other)
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0] == f"Continue run {logdir}/00001"
    message = "Keep the run's own settings; given otherwise: free_nats, max_steps"
    assert lines[1] == message
    assert lines[-1] == f"Finished run {logdir}/00001"
    config = runs.read_config(logdir / "00001" / "config.yaml")
    assert (config.config_name, config.max_steps) == ("debug", 40)
    assert config.logdir == str(logdir / "00001")

    code, out, err = run_main(train.main, *command, params)
    assert code == 0, err
    assert out == f"Skip {logdir}/00001: finished\n"


@pytest.fixture
def finished(tmp_path):
    """Logdir of a run that claims to be finished."""
    (tmp_path / "00001").mkdir()
    config = configs.load("debug", {"tasks": ["dummy"], "max_steps": 40})
    runs.save_config(config, tmp_path / "00001" / "config.yaml")
    (tmp_path / "00001" / "DONE").touch()
    return tmp_path


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_skipped_run_names_what_is_given_otherwise(finished, run_main):
    before = contents(finished)
    command = ("--logdir", finished, "--config", "debug", "--params")
    for params, names in (
        ("{tasks: [dummy], max_steps: 40}", ""),
        ("{tasks: [dummy], max_steps: 30, free_nats: 7}", "free_nats, max_steps"),
        ("{tasks: [dummy]}", "max_steps"),  # Longer, but only as it is the config's.
    ):
        code, out, _ = run_main(train.main, *command, params)
        ending = f" with its own settings; given otherwise: {names}" if names else ""
        assert (code, out) == (0, f"Skip {finished}/00001: finished{ending}\n")
    assert contents(finished) == before


def test_what_a_finished_run_started_from_need_not_be_there(finished, run_main):
    source = finished / "source"
    (source / "checkpoints").mkdir(parents=True)
    (source / "checkpoints" / "ckpt-20.index").touch()
    (source / "config.yaml").write_text((finished / "00001/config.yaml").read_text())
    params = {"tasks": ["dummy"], "max_steps": 40}
    path = str(source / "checkpoints" / "ckpt-20")
    config = configs.load("debug", {**params, "checkpoint_to_load": path})
    runs.save_config(config, finished / "00001" / "config.yaml")
    command = ("--logdir", finished, "--config", "debug", "--tasks", "dummy")
    command += ("--params", "max_steps=40", f"checkpoint_to_load={source}")
    code, out, _ = run_main(train.main, *command)
    assert (code, out) == (0, f"Skip {finished}/00001: finished\n")
    shutil.rmtree(source)
    code, out, _ = run_main(train.main, *command)
    assert code == 0
    assert out.endswith("; given otherwise: checkpoint_to_load\n")


@pytest.mark.parametrize("done", [True, False])
def test_another_task_is_refused(done, finished, run_main):
    if not done:
        (finished / "00001" / "DONE").unlink()
    before = contents(finished)
    params = "{tasks: [cartpole_balance], max_steps: 1000}"
    command = ("--logdir", finished, "--config", "debug", "--params", params)
    code, out, err = run_main(train.main, *command)
    assert (code, out) == (2, "")
    assert err == (
        f"planet.scripts.train: error: {finished}/00001 learns dummy, not "
        "cartpole_balance; other tasks need another --logdir\n"
    )
    assert contents(finished) == before


def test_a_run_starts_with_the_settings_of_another_one(finished, run_main, tmp_path):
    """It is finished, too, so that nothing is trained."""
    (tmp_path / "new" / "00001").mkdir(parents=True)
    (tmp_path / "new" / "00001" / "DONE").touch()
    start = finished / "00001" / "config.yaml"
    params = ("seed=3", "tasks=cheetah_run")
    new = configs.load("debug", {"tasks": ["dummy"], "max_steps": 40, "seed": 3})
    runs.save_config(new, tmp_path / "new" / "00001" / "config.yaml")
    command = ("--logdir", tmp_path / "new", "--config", start, "--params")
    code, out, _ = run_main(train.main, *command, "seed=3")
    assert (code, out.splitlines()) == (
        0,
        [
            f"Settings of {start}, but for seed and checkpoint_to_load.",
            f"Skip {tmp_path}/new/00001: finished",
        ],
    )
    code, _, err = run_main(train.main, *command, *params)
    assert code == 2
    assert "00001 learns dummy, not cheetah_run; " in err


@pytest.mark.slow
def test_a_run_starts_from_weights_of_another_one(finished_runs, run_main, tmp_path):
    source, logdir = finished_runs[0] / "00001", tmp_path / "logdir"
    command = ("--logdir", logdir, "--config", source, "--params", "max_steps=10")
    wrong = (f"checkpoint_to_load={source}@20", "model_size=20")
    code, out, err = run_main(train.main, *command, *wrong)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    expected = f"checkpoint_to_load: checkpoint {source}/checkpoints/ckpt-20 does "
    assert line.startswith(f"planet.scripts.train: error: {expected}")
    assert not logdir.exists()
    for chosen, step in (("@20", 20), ("", 40)):
        folder = tmp_path / f"from_{step}"
        command = ("--logdir", folder, "--config", source, "--params", "max_steps=10")
        start = f"checkpoint_to_load={source}{chosen}"
        code, out, err = run_main(train.main, *command, start)
        assert code == 0, err
        path = f"{source}/checkpoints/ckpt-{step}"
        assert f"Start from step {step}: {path}." in out.splitlines()
        config = runs.read_config(folder / "00001" / "config.yaml")
        assert config.checkpoint_to_load == path


def test_a_run_is_no_folder_of_runs(finished, run_main):
    code, _, err = run_main(train.main, "--logdir", finished / "00001")
    assert code == 2
    assert f"00001 is a run; --logdir is the folder of runs, {finished}\n" in err


@pytest.mark.slow
def test_a_reopened_run_equals_one_that_was_as_long_at_once(run_main, tmp_path):
    """It ends in the middle of a train phase at first."""
    weights = {}
    for name, lengths in (("reopened", (25, 60)), ("whole", (60,))):
        for max_steps in lengths:
            logdir = tmp_path / name
            params = f"{{{TINY}, seed: 0, max_steps: {max_steps}}}"
            command = ("--logdir", logdir, "--config", "debug", "--params", params)
            code, out, err = run_main(train.main, *command)
            assert code == 0, err
        steps, path = runs.choose_checkpoint(logdir / "00001")
        assert steps == 60
        weights[name] = tf1_checkpoint.read(path)
        assert runs.read_config(logdir / "00001" / "config.yaml").max_steps == 60
        assert (logdir / "00001" / "DONE").exists()
        if len(lengths) > 1:
            assert out.splitlines()[:2] == [
                f"Reopen finished run {logdir}/00001",
                "Train to step 60, not 25.",
            ]
    reopened, whole = weights.values()
    assert reopened.keys() == whole.keys()
    for key, value in whole.items():
        np.testing.assert_array_equal(reopened[key], value)


def test_interrupted_temporary_run_leaves_nothing(tmp_path):
    command = ("--config", "debug", "--params", f"{{{TINY}}}")
    code, lines = interrupt(command, "Recorded", tmp_path)
    assert code == 130
    assert lines[-1] == "Interrupted.\n"
    assert lines[-3].startswith("Removed the temporary folder ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("times", [1, 2])
def test_terminated_temporary_run_leaves_nothing(times, tmp_path):
    """As `timeout` does it, which sends SIGTERM twice."""

    def terminate(process):
        time.sleep(1)  # TensorFlow generates code.
        for _ in range(times):
            process.terminate()
            time.sleep(0.1)

    command = ("--config", "debug", "--params", f"{{{TINY}}}")
    code, lines = interrupt(command, "Temporary: ", tmp_path, terminate)
    assert code == 143
    assert lines[0].startswith("Phase train (epoch 1, step 0 ")
    assert "Traceback" not in "".join(lines)
    assert list(tmp_path.iterdir()) == []


def test_failed_run(run_main, tmp_path):
    (tmp_path / "00001").mkdir()
    (tmp_path / "00001" / "config.yaml").write_text("{")
    command = ("--logdir", tmp_path, "--params", f"{{{TINY}}}")
    code, _, err = run_main(train.main, *command)
    assert code == 1
    assert "config.yaml cannot be read as YAML" in err
    assert "ParameterError" in (tmp_path / "00001" / "FAIL").read_text()


def test_folder_that_cannot_be_created(run_train, tmp_path):
    (tmp_path / "00001").touch()
    result = run_train("--logdir", tmp_path, "--params", f"{{{TINY}}}")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("planet.scripts.train: error: [Errno 17] File exists: ")


OWN_TASK = """
from planet.control.envs import dummy_env


def noise():
    return dummy_env.DummyEnv()
"""


@pytest.mark.slow
def test_module_of_the_working_directory_is_noted_and_asked_for(tmp_path):
    project, elsewhere = tmp_path / "my project", tmp_path / "elsewhere"
    project.mkdir()
    elsewhere.mkdir()
    (project / "own_envs.py").write_text(OWN_TASK)
    run = tmp_path / "runs" / "00001"
    params = (
        "{tasks: ['own_envs:noise'], dumbnet: true, action_repeat: 100, max_steps: 5}"
    )
    command = [
        "planet.scripts.train",
        "--logdir",
        tmp_path / "runs",
        "--config",
        "debug",
    ]
    result = run_in(project, *command, "--params", params)
    assert result.returncode == 0, result.stderr
    values = parameters.parse((run / "config.yaml").read_text(), "config.yaml")
    assert values["module_folders"] == {"own_envs": str(project)}

    command = ["planet.scripts.evaluate", "--logdir", run, "--episodes", "1"]
    result = run_in(elsewhere, *command)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert "there is no module 'own_envs'" in line
    quoted = f"'{project}'"
    assert line.endswith(
        f"; when the run began, 'own_envs' was in {quoted}: PYTHONPATH={quoted} would "
        "help"
    )
    result = run_in(elsewhere, *command, path=project)
    assert result.returncode == 0, result.stderr


def run_in(folder, module, *arguments, path=None):
    """Runs a script in a folder, with another one in PYTHONPATH."""
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{path or ROOT}"},
        capture_output=True,
        text=True,
        timeout=300,
    )
