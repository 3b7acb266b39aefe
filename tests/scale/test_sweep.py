"""Real sweeps of debug runs on a local Ray."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

import psutil
import pytest

from benchmarks import scaling
from planet.scripts import compile_scores
from planet.tools import json_lines, ray_cluster
from tests import conftest

pytestmark = [pytest.mark.scale, pytest.mark.timeout(1200)]
BASE = """
config: debug
params: {tasks: [dummy], max_steps: 80, isolate_envs: thread, dumbnet: true,
         observations: state, overshooting: 0, action_repeat: 100}
"""
GRID = """
space:
  model: {grid: [rssm, ssm]}
  seed: {grid: [0, 1]}
"""
LABELS = ["rssm,seed=0", "rssm,seed=1", "ssm,seed=0", "ssm,seed=1"]
STEPS = [20, 40, 60, 80]


class Sweep:
    """A sweep in a folder, whose command can be started again and again."""

    def __init__(self, folder, space, *flags, base=BASE):
        self.logdir = folder / "sweep"
        self.out = folder / "out.txt"
        (folder / "space.yaml").write_text(base + space)
        module = "planet.scripts.sweep"
        command = [sys.executable, "-m", module, folder / "space.yaml", self.logdir]
        self.command = [*map(str, command), "--cpus_per_trial", "0.5", *flags]

    def start(self):
        with self.out.open("a") as file:
            self.driver = subprocess.Popen(
                self.command,
                cwd=conftest.ROOT,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        return self.driver

    def run(self):
        process = self.start()
        return process.wait(), self.out.read_text()

    def wait_for(self, pattern):
        """Waits until a line of the command matches; returns all that it said."""
        while not re.search(pattern, text := self.out.read_text(), re.M):
            assert self.driver.poll() is None, text
            time.sleep(0.2)
        return text

    def processes(self):
        """Those that train, by the label of their trial."""
        result = {}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                if "planet.scripts.sweep_trials" in words:
                    folder = pathlib.Path(words[words.index("--logdir") + 1])
                    if folder.parent == self.logdir:
                        result[folder.name] = process
        return result

    def steps(self, label):
        """Steps of a trial's test phases."""
        records = json_lines.read(self.logdir / label / "00001" / "metrics.jsonl")
        return [record["step"] for record in records if record["phase"] == "test"]

    def says(self, label, text):
        """How often a trial's process printed a text."""
        return (self.logdir / label / "log.txt").read_text().count(text)


@pytest.fixture(autouse=True)
def nothing_stays():
    """Ends what a failing test leaves."""
    yield
    for child in psutil.Process().children():
        kill(child)


def descendants():
    """All processes that this one started, and those in turn."""
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_sweep_survives_what_kills_its_parts(tmp_path):
    sweep = Sweep(tmp_path, GRID)
    driver = sweep.start()
    text = sweep.wait_for(r"^\S+: step ")
    label = re.search(r"^(\S+): step ", text, re.M)[1]
    sweep.processes()[label].kill()
    sweep.wait_for(rf"^{label}: killed by SIGKILL; retry 1 of 3$")
    sweep.wait_for(r"finished, \d of 4 trials done")
    started = descendants()
    driver.kill()
    driver.wait()
    finished = [x for x in LABELS if (sweep.logdir / x / "00001" / "DONE").exists()]
    assert 1 <= len(finished) < 4
    left = [psutil.Process(pid) for pid in started if psutil.pid_exists(pid)]
    _, alive = psutil.wait_procs(left, 30)
    assert not alive, alive
    assert not sweep.processes()
    code, text = sweep.run()
    assert code == 0, text
    for label in LABELS:
        assert (sweep.logdir / label / "00001" / "DONE").exists()
        assert sweep.steps(label) == STEPS
        assert sweep.says(label, "Finished run") == 1
    assert all(sweep.says(x, "Continue run") == 0 for x in finished if x != label)
    values = json.loads((sweep.logdir / "sweep.json").read_text())
    assert [len(group["scores"]) for group in values["results"]] == [2, 2]
    means = [group["mean"] for group in values["results"]]
    assert means == sorted(means, reverse=True)
    assert {path.name for path in sweep.logdir.iterdir()} == {*LABELS, "sweep.json"}
    scores = tmp_path / "scores.json"
    assert compile_scores.main([str(sweep.logdir), str(scores)]) == 0
    assert sorted(json.loads(scores.read_text())) == LABELS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_sweep_saves_its_runs(number, tmp_path):
    sweep = Sweep(tmp_path, "space: {seed: {grid: [0]}}")
    driver = sweep.start()
    sweep.wait_for(r"^run: step 20")
    started = descendants()
    begun = time.monotonic()
    os.killpg(driver.pid, number) if number == signal.SIGINT else driver.terminate()
    assert driver.wait() == 128 + number
    assert time.monotonic() - begun < 60
    assert "Interrupted; the same command continues." in sweep.out.read_text()
    assert not any(psutil.pid_exists(pid) for pid in started)
    assert sweep.says("run", "Interrupted; step") == 1
    code, text = sweep.run()
    assert code == 0, text
    assert sweep.steps("run") == STEPS
    assert sweep.says("run", "Continue from the checkpoint of step") == 1


@contextlib.contextmanager
def node(*flags):
    """A machine of a cluster, all of whose processes are killed at the end."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *flags]
    process = psutil.Popen(
        command,
        cwd=conftest.ROOT,
        env={**os.environ, **ray_cluster.ENVIRONMENT},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        kill(process)


def kill(process):
    """Kills a process and all that it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        everything = [process, *process.children(recursive=True)]
        for one in everything:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(everything, 60)


def test_a_machine_of_a_cluster_dies(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    (address,) = scaling.free_addresses(1)
    joins = (f"--address={address}", "--num-cpus=1")
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True)
        )
        port = f"--port={address.partition(':')[2]}"
        head = ("--head", port, "--num-cpus=0", f"--temp-dir={folder}")
        stack.enter_context(node(*head, "--include-dashboard=false"))
        first = stack.enter_context(node(*joins))
        space = "space: {seed: {grid: [0]}}"
        sweep = Sweep(tmp_path, space, "--address", address)
        while (driver := sweep.start()).poll() is None:
            while driver.poll() is None and "starts" not in sweep.out.read_text():
                time.sleep(0.2)
            if driver.poll() is None:
                break
            assert driver.returncode == 1  # The machines are not there yet.
        sweep.wait_for(r"^run: step 40")
        kill(first)
        stack.enter_context(node(*joins))
        sweep.wait_for(r"^run: its process or machine died; retry 1 of 3$")
        assert driver.wait() == 0
    assert sweep.steps("run") == STEPS
    assert sweep.says("run", "Continue from the checkpoint of step") == 1


def test_failing_trial_is_named_and_the_others_go_on(tmp_path):
    variants = "{good: {}, bad: {checkpoint_to_load: nowhere}}"
    sweep = Sweep(tmp_path, f"space: {{start: {{variants: {variants}}}}}")
    code, text = sweep.run()
    assert code == 1, text
    reason = "planet.scripts.train: error: checkpoint_to_load must be .*"
    for number in (1, 2, 3):
        assert re.search(rf"^bad: {reason}; retry {number} of 3$", text, re.M)
    assert re.search(
        rf"^planet.scripts.sweep: error: bad failed: {reason}$", text, re.M
    )
    assert sweep.steps("good") == STEPS
    assert re.search(r"^\| good +\| 1 +\|.*\| finished +\|$", text, re.M)


def test_search_by_optuna(tmp_path):
    space = """
space:
  learning_rate: {loguniform: [1.0e-4, 1.0e-2]}
  activation: {choice: [relu, elu]}
  seed: {grid: [0, 1]}
samples: 2
search: optuna
"""
    sweep = Sweep(tmp_path, space, base=BASE.replace("max_steps: 80", "max_steps: 40"))
    driver = sweep.start()
    sweep.wait_for(r"finished, \d of 4 trials done")
    driver.kill()
    driver.wait()
    before = json.loads((sweep.logdir / "sweep.json").read_text())["trials"]
    assert before
    code, text = sweep.run()
    assert code == 0, text
    values = json.loads((sweep.logdir / "sweep.json").read_text())
    assert len(values["trials"]) == 4
    for label, trial in before.items():
        assert values["trials"][label]["params"] == trial["params"]
    for group in values["results"]:
        first, second = (values["trials"][label]["params"] for label in group["trials"])
        assert (first.pop("seed"), second.pop("seed")) == (0, 1)
        assert first == second
    assert len({group["label"] for group in values["results"]}) == 2


def test_populations_copy_their_best(tmp_path):
    space = """
space:
  learning_rate: {loguniform: [1.0e-4, 1.0e-2]}
samples: 2
scheduler: pbt
"""
    longer = BASE.replace("max_steps: 80", "max_steps: 120")
    slower = longer.replace("action_repeat: 100", "action_repeat: 5")
    sweep = Sweep(tmp_path, space, base=slower)  # Both train at the same time.
    code, text = sweep.run()
    assert code == 0, text
    assert " goes on as a copy of " in text
    copied = [
        label
        for label in ("sample=1", "sample=2")
        if (sweep.logdir / label / "00001" / "copies.jsonl").exists()
    ]
    assert copied
    values = json.loads((sweep.logdir / "sweep.json").read_text())["trials"]
    for label in ("sample=1", "sample=2"):
        assert sweep.steps(label) == [*STEPS, 100, 120]
        assert values[label]["state"] == "finished"


@pytest.mark.parametrize("scheduler", ["asha", "median"])
def test_the_worse_are_stopped_by_what_is_known(scheduler, tmp_path):
    space = f"space: {{seed: {{grid: [0, 1, 2, 3]}}}}\nscheduler: {scheduler}"
    sweep = Sweep(tmp_path, space)
    for seed in (0, 1, 2):
        write_run(sweep.logdir / f"seed={seed}" / "00001", STEPS, 900.0)
        (sweep.logdir / f"seed={seed}" / "00001" / "DONE").touch()
    write_run(sweep.logdir / "seed=3" / "00001", STEPS[:1], 1.0)
    code, text = sweep.run()
    assert code == 0, text
    assert "seed=3: stopped, 4 of 4 trials done" in text
    values = json.loads((sweep.logdir / "sweep.json").read_text())["trials"]
    states = [trial["state"] for trial in values.values()]
    assert states == ["finished", "finished", "finished", "stopped"]
    assert not (sweep.logdir / "seed=3" / "log.txt").exists()  # It was not trained.
    code, text = sweep.run()  # There is nothing left to do.
    assert code == 0, text
    assert text.count("seed=3: stopped") == 1


def write_run(run, steps, score):
    """What schedulers see of a run: scores, and that there is a checkpoint of each."""
    (run / "checkpoints").mkdir(parents=True)
    for step in steps:
        record = {"phase": "test", "step": step, "score": score}
        json_lines.append(run / "metrics.jsonl", record)
        (run / "checkpoints" / f"ckpt-{step}.index").touch()
