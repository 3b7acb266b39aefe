"""Real runs of `planet.scripts.train`, to be interrupted and killed."""

from __future__ import annotations

import hashlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

from planet.scripts import runs
from planet.tools import episode_files

ROOT = pathlib.Path(__file__).parents[2]
PARAMS = {
    "tasks": "[dummy]",
    "dumbnet": "true",
    "action_repeat": "50",
    "overshooting": "0",
    "train_steps": "100",
    "test_steps": "20",
    "collect_every": "25",
    "seed": "1",
}
STEP = re.compile(r"step/\S+ = \[(\d+) |Phase \w+ \(epoch \d+, step (\d+) of")
BATCH = 5  # Of the debug config.


class Training:
    """A process that trains, and what it prints.

    Args:
      logdir: its logdir.
      params: settings beside those of `PARAMS`, as they are in YAML.
      flags: further flags.
    """

    def __init__(self, logdir: pathlib.Path, params: dict | None = None, flags=()):
        settings = {**PARAMS, **(params or {})}
        text = ", ".join(f"{key}: {value}" for key, value in settings.items())
        command = [sys.executable, "-m", "planet.scripts.train", "--config", "debug"]
        command += ["--logdir", str(logdir), "--params", f"{{{text}}}", *flags]
        self._file = logdir.with_suffix(".log")
        with self._file.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_listen_to_interrupts,
            )

    def lines(self) -> list[str]:
        """What it has printed."""
        return self._file.read_text(encoding="utf-8", errors="replace").splitlines()

    def step(self) -> int:
        """The last step that it has printed."""
        found = [max(match) for x in self.lines() for match in STEP.findall(x)]
        return max(map(int, found), default=0)

    def end(self, number: int, group: bool = False) -> float:
        """Sends a signal and waits; returns the seconds it took to end.

        Args:
          number: of the signal.
          group: whether its workers receive it too, as with Ctrl-C.
        """
        send = os.killpg if group else os.kill
        start = time.monotonic()
        send(self.process.pid, number)
        self.process.wait(120)
        return time.monotonic() - start

    def wait(self, seconds: float) -> bool:
        """Waits for so long; returns whether it has ended by itself."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def orphans(self) -> list[int]:
        """Processes of its session that are left, after a moment to end in."""
        for _ in range(50):
            found = [pid for pid in _pids() if _session(pid) == self.process.pid]
            if not found:
                break
            time.sleep(0.1)
        return found


def _listen_to_interrupts():
    """Undoes what a shell does to the jobs it starts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def _session(pid: int) -> int | None:
    """Session of a process; None if it is gone or only waits to be collected."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    state, _, _, session = text.rpartition(")")[2].split()[:4]
    return None if state == "Z" else int(session)


def updates(step: int) -> int:
    """Updates that a run has made by a step."""
    train, test = (int(PARAMS[f"{x}_steps"]) // BATCH for x in ("train", "test"))
    epochs, done = divmod(step // BATCH, train + test)
    return epochs * train + min(done, train)


def saved(run: pathlib.Path) -> int:
    """Step of the newest checkpoint; 0 if there is none."""
    return max(runs.checkpoints(run), default=0)


def problems(run: pathlib.Path) -> list[str]:
    """What is wrong with the files of a run, after it was ended somehow."""
    found = [f"{name} exists" for name in ("FAIL", "PING") if (run / name).exists()]
    known = {}
    for phase in ("train", "test"):
        for path in episode_files.scan(run / f"{phase}_episodes"):
            try:
                episode = episode_files.read(path)
            except episode_files.TornEpisodeError as error:
                found.append(str(error))
                continue
            content = b"".join(episode[key].tobytes() for key in sorted(episode))
            digest = hashlib.sha256(content).hexdigest()
            if digest in known:
                found.append(f"{path.name} is {known[digest]} again")
            known[digest] = path.name
    return found
