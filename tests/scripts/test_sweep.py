import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

from planet import scripts
from planet.scripts import spaces, sweep, sweep_plan, sweep_trials
from planet.tools import json_lines

SPACE = """
config: debug
params: {tasks: [dummy], dumbnet: true, isolate_envs: thread}
space:
  model: {grid: [rssm, ssm]}
  seed: {grid: [0, 1]}
"""
LABELS = ["rssm,seed=0", "rssm,seed=1", "ssm,seed=0", "ssm,seed=1"]


@pytest.fixture
def space(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(SPACE)
    return path


@pytest.fixture
def without_ray(monkeypatch):
    """As if it was not installed."""
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "planet.scripts.sweep_ray", raising=False)
    monkeypatch.delattr(scripts, "sweep_ray", raising=False)


def write_trial(logdir, label, *scores, mark="DONE"):
    """What a run leaves that was trained by a sweep."""
    run = logdir / label / "00001"
    run.mkdir(parents=True)
    for number, score in enumerate(scores, 1):
        place = {"phase": "test", "step": 20 * number, "epoch": number}
        json_lines.append(run / "metrics.jsonl", {**place, "score": score})
    (run / mark).touch()


def plan_of(space, logdir):
    return sweep_plan.Plan(logdir, spaces.read(space))


def test_importing_the_command_imports_no_ray(run_python):
    program = (
        "import sys, planet.scripts.sweep; print({'ray', 'optuna'} & {*sys.modules})"
    )
    assert run_python("-c", program).stdout.strip() == "set()"


@pytest.mark.usefixtures("without_ray")
def test_without_ray_the_extra_is_named(space, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        sweep.main([str(space), str(tmp_path / "sweep")])
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        "planet.scripts.sweep: error: sweeps need Ray and optuna: "
        "pip install 'planet[sweep]'\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["space.yaml"]


@pytest.mark.usefixtures("without_ray")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SPACE.replace("model:", "modl:"), "unknown parameter 'modl' in space.yaml"),
        (SPACE.replace("ssm]", "ssm, sm]"), "unknown model 'sm' in space.yaml"),
        (
            SPACE + "  overshooting: {grid: [1, 10]}",
            "space.yaml, at rssm,overshooting=10: overshooting must be at most 9",
        ),
    ],
)
def test_mistakes_are_found_before_anything_starts(
    text, message, space, tmp_path, capsys
):
    space.write_text(text)
    with pytest.raises(SystemExit) as end:
        sweep.main([str(space), "--logdir", str(tmp_path / "sweep")])
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"planet.scripts.sweep: error: {message}")
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.yaml", "sweep"], "'nothing.yaml' is not a file"),
        (["space.yaml"], "give DIR, or --logdir DIR"),
        (["space.yaml", "d", "--address", "here"], "must be auto or HOST:PORT, not"),
        (["space.yaml", "d", "--cpus_per_trial", "0"], "must be a number from 0.01 to"),
        (
            ["space.yaml", "d", "--max_concurent", "1"],
            "did you mean '--max_concurrent'",
        ),
    ],
)
def test_mistakes_in_flags(arguments, message, space, monkeypatch, capsys):
    monkeypatch.chdir(space.parent)
    with pytest.raises(SystemExit) as end:
        sweep.main(arguments)
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert [path.name for path in pathlib.Path().iterdir()] == ["space.yaml"]


def test_plan_is_kept(space, tmp_path):
    logdir = tmp_path / "sweep"
    logdir.mkdir()
    plan = plan_of(space, logdir)
    assert list(plan.trials) == LABELS
    write_trial(logdir, LABELS[0], 3.0, 5.0)
    plan.note(LABELS[1], sweep_plan.STOPPED)
    plan.note(LABELS[2], sweep_plan.FAILED, "ValueError: no")
    again = plan_of(space, logdir)
    assert again.trials == plan.trials
    states = [again.state(label) for label in LABELS]
    assert states == ["finished", "stopped", "failed", "unfinished"]
    assert again.failures() == {LABELS[2]: "ValueError: no"}
    assert again.progress() == "3 of 4 trials done"
    again.retry()
    assert [again.state(label) for label in LABELS[1:3]] == ["stopped", "unfinished"]
    (logdir / LABELS[0] / "00001" / "DONE").unlink()  # The runs know best.
    assert plan_of(space, logdir).state(LABELS[0]) == "unfinished"


def test_another_space_needs_another_folder(space, tmp_path):
    logdir = tmp_path / "sweep"
    logdir.mkdir()
    plan_of(space, logdir).write()
    for text, key in (
        (SPACE.replace("[0, 1]", "[0, 2]"), "grid of seed of space"),
        (SPACE.replace("dumbnet: true, ", ""), "dumbnet of params"),
        (SPACE + "scheduler: asha\n", "scheduler"),
    ):
        space.write_text(text)
        with pytest.raises(spaces.parameters.ParameterError) as error:
            plan_of(space, logdir)
        assert str(error.value) == (
            f"{logdir} is the sweep of another space: {key} differs in space.yaml; "
            "that needs another --logdir"
        )


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.pop("trials"),
        lambda values: values["trials"].update({"../elsewhere": values["trials"]["x"]}),
        lambda values: values["trials"]["x"].update(params={"cem_amount": 0}),
        lambda values: values["trials"]["x"].update(params=3),
        lambda values: values["trials"]["x"].pop("group"),
    ],
)
def test_damaged_plan(change, space, tmp_path):
    plan_of(space, tmp_path).write()
    values = json.loads((tmp_path / "sweep.json").read_text())
    values["trials"] = {"x": values["trials"][LABELS[0]]}
    change(values)
    (tmp_path / "sweep.json").write_text(json.dumps(values))
    with pytest.raises(spaces.parameters.ParameterError) as error:
        plan_of(space, tmp_path)
    assert "sweep.json" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.usefixtures("without_ray")
def test_results_are_over_seeds_best_first(space, tmp_path, capsys):
    for label, score in zip(LABELS, (1.0, 3.0, 5.0, 9.0), strict=True):
        write_trial(tmp_path, label, 100.0, score)
    assert sweep.main([str(space), str(tmp_path)]) == 0  # There is nothing to run.
    lines = capsys.readouterr().out.splitlines()
    table = [
        [x.strip() for x in line.split("|")[1:-1]] for line in lines if "|" in line
    ]
    assert table[0] == ["trials", "runs", "test score", "95% interval", "step", "state"]
    assert table[2] == ["ssm", "2", "7.00", "5.00 to 9.00", "40", "finished"]
    assert table[3] == ["rssm", "2", "2.00", "1.00 to 3.00", "40", "finished"]
    values = json.loads((tmp_path / "sweep.json").read_text())
    best, second = values["results"]
    assert (best["label"], best["scores"], best["mean"]) == ("ssm", [5.0, 9.0], 7.0)
    assert second["trials"] == LABELS[:2]
    assert values["trials"][LABELS[3]]["test_score"] == 9.0
    assert not (tmp_path / "PING").exists()


def test_two_sweeps_do_not_share_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_trials, "PING_EVERY", 0.2)
    busy = pytest.raises(sweep.BusyError, match="is being swept by worker")
    with sweep._alone(tmp_path), busy:
        sweep._alone(tmp_path).__enter__()
    with sweep._alone(tmp_path):
        pass
    assert not any(tmp_path.iterdir())


def test_failure_is_the_last_line(tmp_path):
    (tmp_path / "00001").mkdir()
    assert sweep_trials.read_failure(tmp_path) == "unknown error"
    (tmp_path / "log.txt").write_text("begins\nError: no\n\n")
    assert sweep_trials.read_failure(tmp_path) == "Error: no"
    (tmp_path / "00001" / "FAIL").write_text("Traceback\nValueError: yes\n")
    assert sweep_trials.read_failure(tmp_path) == "ValueError: yes"


def write_run(folder, steps):
    run = folder / "00001"
    for name in ("checkpoints", "train_episodes", "test"):
        (run / name).mkdir(parents=True)
    for step in steps:
        for end in (".index", ".data-00000-of-00001"):
            (run / "checkpoints" / f"ckpt-{step}{end}").write_text(
                f"{folder.name} {step}"
            )
    (run / "train_episodes" / "1.npz").write_text(folder.name)
    (run / "config.yaml").write_text("learning_rate: 0.001  # from 0\n")
    (run / "PING").touch()
    return run


def test_copy_goes_on_from_the_step(tmp_path):
    best, other = tmp_path / "best", tmp_path / "other"
    write_run(best, [20, 40, 60])
    run = write_run(other, [20])
    (run / "DONE").touch()
    sweep_trials.copy(best, 40, other)
    names = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert names == ["ckpt-40.data-00000-of-00001", "ckpt-40.index"]
    assert (run / "train_episodes" / "1.npz").read_text() == "best"
    assert not (run / "PING").exists()
    assert not (run / "DONE").exists()
    assert [path.name for path in other.iterdir()] == ["00001"]
    (run / "mine").touch()
    sweep_trials.copy(best, 40, other)  # It was done before.
    assert (run / "mine").exists()
    sweep_trials.copy(best, 50, other)  # There is no such step any more.
    assert not (run / "mine").exists()
    records = list(json_lines.read(run / "copies.jsonl"))
    assert records == [{"from": "best", "step": 50, "checkpoint": 60}]


def test_interrupted_copy_is_undone(tmp_path):
    best, other = tmp_path / "best", tmp_path / "other"
    write_run(best, [20])
    write_run(other, [40]).rename(other / ".00001.old")
    (other / ".00001.new").mkdir()
    sweep_trials.copy(best, 20, other)
    assert [path.name for path in other.iterdir()] == ["00001"]
    assert (other / "00001" / "train_episodes" / "1.npz").read_text() == "best"


@pytest.mark.slow
def test_training_is_followed_and_continued(tmp_path):
    params = {"tasks": ["dummy"], "dumbnet": True, "isolate_envs": "thread"}
    params |= {"max_steps": 200, "observations": "state", "overshooting": 0}
    stop = tmp_path / "stop"

    def train(**changes):
        return sweep_trials.Training(
            tmp_path / "trial", "debug", params, stop, threads=1, **changes
        )

    first = train()
    result = next(first.results())
    assert result.step == 20
    stop.touch()
    known = list(first.results())
    assert known[0] == result
    stop.unlink()
    assert not sweep_trials.is_finished(tmp_path / "trial")
    second = train(changes={"learning_rate": 5e-4})
    steps = list(range(known[-1].step, 201, 20))
    assert [x.step for x in second.results(newest_only=True)] == steps
    assert sweep_trials.is_finished(tmp_path / "trial")
    assert sweep_trials.read_settings(tmp_path / "trial").learning_rate == 5e-4
    assert [x.step for x in train().results()] == list(range(20, 201, 20))
    log = (tmp_path / "trial" / "log.txt").read_text()
    assert "Continue from the checkpoint of step" in log


@pytest.mark.slow
def test_failing_training_is_named(tmp_path):
    params = {"tasks": ["tests.no_module:make"]}
    training = sweep_trials.Training(tmp_path, "debug", params, tmp_path / "stop")
    with pytest.raises(sweep_trials.TrainingError, match="there is no module"):
        next(training.results())


@pytest.mark.slow
def test_training_ends_with_its_parent(tmp_path):
    program = """
import pathlib, sys
from planet.scripts import sweep_trials
params = {"tasks": ["dummy"], "dumbnet": True, "isolate_envs": "thread"}
folder, stop = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[1], "stop")
training = sweep_trials.Training(folder, "debug", params, stop)
training._start()
print(training._process.pid, flush=True)
input()
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "trial")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    pid = int(parent.stdout.readline())
    log = tmp_path / "trial" / "log.txt"
    while "Phase train" not in log.read_text():
        os.kill(pid, 0)
        time.sleep(0.2)
    parent.kill()
    parent.wait()
    for _ in range(50):
        if not is_alive(pid):
            break
        time.sleep(0.2)
    assert not is_alive(pid)


def is_alive(pid):
    """Whether there is such a process that is not a zombie."""
    try:
        status = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
