import contextlib
import json
import multiprocessing
import os
import pathlib
import signal
import tempfile
import threading
import time

import pytest

from planet.tools import cluster, interruption
from planet.training.running import Experiment, Heartbeat

CONTEXT = multiprocessing.get_context("spawn")


def count(logdir):
    """Yields three scores; a file in the run's folder says which is next."""
    counter = logdir / "counter"
    start = int(counter.read_text()) if counter.exists() else 0
    for score in range(start, 3):
        counter.write_text(str(score + 1))
        yield float(score)


def stumble(logdir):
    """Fails in the first run until it is mended."""
    yield 0.0
    if logdir.name == "00001" and not (logdir / "mended").exists():
        raise ValueError("broken\nrun")
    yield 1.0


def lose_another(logdir):
    """Ends because another process has."""
    yield 0.0
    raise cluster.LostError("another process has ended")


def keep_diary(logdir):
    """Notes who works on a run; the first run lasts until the second has started."""
    for step in range(10):
        with (logdir / "diary").open("a") as diary:
            diary.write(f"{os.getpid()} {step}\n")
        if logdir.name == "00001":
            wait_for(logdir.parent / "00002" / "diary")
        yield float(step)


def hang(logdir):
    """Starts and hangs."""
    (logdir / "started").touch()
    time.sleep(600)
    yield 0.0


def work(logdir, process_fn, num_runs=1):
    with Experiment(logdir, process_fn, num_runs, ping_every=5) as experiment:
        for run in experiment:
            list(run)


@contextlib.contextmanager
def workers(amount, *args):
    processes = [CONTEXT.Process(target=work, args=args) for _ in range(amount)]
    for process in processes:
        process.start()
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.join()


def wait_for(path):
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.02)


def scores(*args, **kwargs):
    """Scores by name of the run."""
    with Experiment(*args, **kwargs) as experiment:
        return {run.logdir.name: list(run) for run in experiment}


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_nothing_is_created_before_the_first_run(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    Experiment(tmp_path / "logdir", count)
    Experiment(None, count)
    assert files(tmp_path) == []


def test_runs_one_after_the_other(tmp_path, capsys):
    expected = {"00001": [0.0, 1.0, 2.0], "00002": [0.0, 1.0, 2.0]}
    assert scores(tmp_path / "a" / "b", count, num_runs=2) == expected
    assert files(tmp_path / "a" / "b" / "00001") == ["DONE", "counter"]
    folder = tmp_path / "a" / "b" / "00001"
    assert capsys.readouterr().out.splitlines()[:2] == [
        f"Start run {folder}",
        f"Finished run {folder}",
    ]


def test_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    scores("~/logdir", count)
    assert files(tmp_path / "logdir") == ["00001"]


def test_finished_runs_are_skipped(tmp_path, capsys):
    scores(tmp_path, count)
    capsys.readouterr()
    assert list(scores(tmp_path, count, num_runs=2)) == ["00002"]
    expected = f"Skip {tmp_path}/00001: finished"
    assert capsys.readouterr().out.splitlines()[0] == expected


def test_finished_runs_can_go_on(tmp_path, capsys):
    scores(tmp_path, count)
    (tmp_path / "00001" / "counter").write_text("1")

    def why_finished(folder):
        return None if (folder / "counter").read_text() == "1" else "long enough"

    capsys.readouterr()
    experiment = {"ping_every": 10, "why_finished": why_finished}
    assert scores(tmp_path, count, **experiment) == {"00001": [1.0, 2.0]}
    assert files(tmp_path / "00001") == ["DONE", "counter"]
    assert scores(tmp_path, count, **experiment) == {}
    assert capsys.readouterr().out.splitlines() == [
        f"Reopen finished run {tmp_path}/00001",
        f"Finished run {tmp_path}/00001",
        f"Skip {tmp_path}/00001: long enough",
    ]


def test_a_finished_run_is_reopened_by_one_worker(tmp_path):
    """Whoever comes while it is trained leaves it, and what marks it, alone."""
    scores(tmp_path, count)
    seen = []

    def process(logdir):
        seen.append(files(logdir))
        other = Experiment(tmp_path, count, ping_every=10, why_finished=lambda _: None)
        with other as experiment:
            assert list(experiment) == []
        yield 0.0

    experiment = {"ping_every": 10, "why_finished": lambda _: None}
    assert scores(tmp_path, process, **experiment) == {"00001": [0.0]}
    assert seen == [["PING", "counter"]]
    assert files(tmp_path / "00001") == ["DONE", "counter"]


def test_interrupted_run_continues(tmp_path, capsys):
    def interrupted(logdir):
        scores = count(logdir)
        yield next(scores)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scores(tmp_path, interrupted, ping_every=10)
    assert files(tmp_path / "00001") == ["counter"]
    assert scores(tmp_path, count, ping_every=10) == {"00001": [1.0, 2.0]}
    assert f"Continue run {tmp_path}/00001\n" in capsys.readouterr().out


def test_abandoned_run_is_closed_and_can_be_continued(tmp_path):
    closed = []

    def process(logdir):
        with contextlib.closing(count(logdir)) as scores:
            try:
                yield from scores
            finally:
                closed.append(logdir.name)

    with Experiment(tmp_path, process, ping_every=10) as experiment:
        for run in experiment:
            for _ in run:
                break
    assert closed == ["00001"]
    assert files(tmp_path / "00001") == ["counter"]


def test_error_ends_its_run_only(tmp_path, capsys):
    with Experiment(tmp_path, stumble, num_runs=2) as experiment:
        results = [list(run) for run in experiment]
    assert results == [[0.0], [0.0, 1.0]]
    assert [run.logdir.name for run in experiment.failed] == ["00001"]
    assert files(tmp_path / "00001") == ["FAIL"]
    assert files(tmp_path / "00002") == ["DONE"]
    text = (tmp_path / "00001" / "FAIL").read_text()
    assert text.startswith("Traceback")
    assert "ValueError: broken\nrun" in text
    assert text in capsys.readouterr().err


def test_failed_run_is_retried(tmp_path, capsys):
    scores(tmp_path, stumble)
    (tmp_path / "00001" / "mended").touch()
    capsys.readouterr()
    assert scores(tmp_path, stumble) == {"00001": [0.0, 1.0]}
    assert files(tmp_path / "00001") == ["DONE", "mended"]
    expected = f"Retry failed run {tmp_path}/00001"
    assert capsys.readouterr().out.splitlines()[0] == expected


def test_error_before_the_first_score(tmp_path):
    def process(logdir):
        raise OSError("no luck")

    with Experiment(tmp_path, process) as experiment:
        assert [list(run) for run in experiment] == [[]]
    assert len(experiment.failed) == 1


def test_new_runs_take_free_numbers(tmp_path):
    (tmp_path / "00002").mkdir()
    runs = scores(tmp_path, count, num_runs=2, resume_runs=False)
    assert list(runs) == ["00001", "00003"]
    assert list(scores(tmp_path, count, resume_runs=False)) == ["00004"]
    assert files(tmp_path / "00002") == []


def test_temporary_folder(capsys):
    with Experiment(None, count) as experiment:
        folders = [run.logdir for run in experiment if list(run)]
        assert folders[0].is_dir()
    assert not folders[0].parent.exists()
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"Removed the temporary folder {folders[0].parent}"


@pytest.mark.parametrize("logdir", [None, "logdir"])
def test_what_libraries_leave_is_removed(logdir, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def process(logdir):
        _, path = tempfile.mkstemp()
        assert pathlib.Path(path).parent.parent == tmp_path
        yield 0.0

    runs = scores(logdir and tmp_path / logdir, process)
    assert runs == {"00001": [0.0]}
    assert files(tmp_path) == ([logdir] if logdir else [])
    assert tempfile.gettempdir() == str(tmp_path)


def test_temporary_folder_is_removed_after_an_interruption():
    folders = []

    def process(logdir):
        folders.append(logdir)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scores(None, process)
    assert not folders[0].parent.exists()


def test_heartbeat_is_renewed_json(tmp_path):
    heartbeat = Heartbeat(tmp_path, every=0.1)
    assert heartbeat.start()
    try:
        first = json.loads((tmp_path / "PING").read_text())
        assert first["worker"] == heartbeat.worker
        deadline = time.monotonic() + 30
        while json.loads((tmp_path / "PING").read_text())["time"] == first["time"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        heartbeat.stop()
    assert files(tmp_path) == []


def test_run_of_a_live_worker_is_left_alone(tmp_path, capsys):
    other = Heartbeat(tmp_path / "00001", every=10)
    (tmp_path / "00001").mkdir()
    assert other.start()
    try:
        assert list(scores(tmp_path, count, num_runs=2, ping_every=10)) == ["00002"]
        expected = f"Skip {tmp_path}/00001: worker {other.worker} is at it\n"
        assert expected in capsys.readouterr().out
        assert files(tmp_path / "00001") == ["PING"]
    finally:
        other.stop()


def write_ping(path, written, age=0.0):
    """A heartbeat that says that it was written then, in a file of that age."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"worker": "other", "time": written}))
    os.utime(path, (time.time() - age,) * 2)


@pytest.mark.parametrize("skew", [0, 600, -600])
def test_stale_heartbeat_is_taken_over_whatever_the_clock_of_its_host(skew, tmp_path):
    write_ping(tmp_path / "00001" / "PING", time.time() - 60 + skew, age=60)
    assert scores(tmp_path, count, ping_every=10) == {"00001": [0.0, 1.0, 2.0]}
    assert files(tmp_path / "00001") == ["DONE", "counter"]


@pytest.mark.parametrize(
    "ping",
    ["", "[]", "\x80", "[" * 100_000, f'{{"worker": "a", "time": 1{"0" * 400}}}'],
    ids=["empty", "list", "not_text", "nested", "huge"],
)
def test_damaged_heartbeat_is_taken_over(ping, tmp_path):
    (tmp_path / "00001").mkdir()
    (tmp_path / "00001" / "PING").write_text(ping)
    assert scores(tmp_path, count, ping_every=10) == {"00001": [0.0, 1.0, 2.0]}
    assert files(tmp_path / "00001") == ["DONE", "counter"]


@pytest.mark.parametrize("skew", [600, -600])
def test_a_clock_that_is_wrong_makes_a_worker_watch(skew, tmp_path):
    ping = tmp_path / "00001" / "PING"
    write_ping(ping, time.time() + skew)
    assert scores(tmp_path, count, ping_every=0.5) == {"00001": [0.0, 1.0, 2.0]}
    ping = tmp_path / "00002" / "PING"
    write_ping(ping, time.time() + skew)
    beat = threading.Timer(0.5, write_ping, (ping, time.time() + skew + 1))
    beat.start()
    assert scores(tmp_path, count, num_runs=2, ping_every=0.5) == {}
    beat.join()


def test_runs_in_doubt_are_put_off_until_the_others_are_done(tmp_path, capsys):
    for number in (1, 2):
        write_ping(tmp_path / f"{number:05}" / "PING", time.time() + 600)

    def process(logdir):
        if logdir.name == "00003":  # Meanwhile, one of the other workers is heard of.
            write_ping(tmp_path / "00001" / "PING", time.time() + 601)
        yield from count(logdir)

    found = scores(tmp_path, process, num_runs=3, ping_every=0.5)
    assert list(found) == ["00003", "00002"]
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"Put off {tmp_path}/00001: worker other may be at it",
        f"Put off {tmp_path}/00002: worker other may be at it",
        f"Start run {tmp_path}/00003",
        f"Finished run {tmp_path}/00003",
        f"Skip {tmp_path}/00001: worker other is at it",
        f"Continue run {tmp_path}/00002",
        f"Finished run {tmp_path}/00002",
    ]


def test_single_worker_waits_for_nobody(tmp_path):
    ping = json.dumps({"worker": "killed", "time": time.time()})
    (tmp_path / "00001").mkdir()
    (tmp_path / "00001" / "PING").write_text(ping)
    assert scores(tmp_path, count) == {"00001": [0.0, 1.0, 2.0]}


def test_run_taken_over_is_given_up(tmp_path, capsys):
    def process(logdir):
        yield 0.0
        write_ping(logdir / "PING", time.time())
        interruption.check()
        raise AssertionError

    assert scores(tmp_path, process, ping_every=10) == {"00001": [0.0]}
    assert files(tmp_path / "00001") == ["PING"]
    assert "worker other took it over" in capsys.readouterr().out


def test_run_taken_over_at_its_end_is_not_marked_as_done(tmp_path):
    def process(logdir):
        yield 0.0
        write_ping(logdir / "PING", time.time())

    assert scores(tmp_path, process, ping_every=10) == {"00001": [0.0]}
    assert files(tmp_path / "00001") == ["PING"]


def test_a_run_whose_heartbeat_was_removed_is_given_up(tmp_path, capsys):
    def process(logdir):
        (logdir / "PING").unlink()
        interruption.check()
        raise AssertionError
        yield 0.0

    assert scores(tmp_path, process, ping_every=10) == {"00001": []}
    assert files(tmp_path / "00001") == []
    assert "worker unknown took it over" in capsys.readouterr().out


def test_what_killed_workers_left_is_removed(tmp_path):
    write_ping(tmp_path / "00001" / "PING-killed", time.time(), age=60)
    write_ping(tmp_path / "00001" / "PING-claiming", time.time())
    scores(tmp_path, count, ping_every=10)
    assert files(tmp_path / "00001") == ["DONE", "PING-claiming", "counter"]


def test_a_worker_that_wakes_up_does_not_touch_the_heartbeat_of_another(tmp_path):
    heartbeat = Heartbeat(tmp_path, every=0.05)
    assert heartbeat.start()
    write_ping(tmp_path / "new", time.time())
    (tmp_path / "new").replace(tmp_path / "PING")
    time.sleep(0.2)
    assert not heartbeat.is_ours()
    heartbeat.stop()
    assert json.loads((tmp_path / "PING").read_text())["worker"] == "other"


def test_two_workers_share_runs(tmp_path):
    with workers(2, tmp_path, keep_diary, 3) as processes:
        for process in processes:
            process.join(60)
        assert [process.exitcode for process in processes] == [0, 0]
    authors = set()
    for run in ("00001", "00002", "00003"):
        assert files(tmp_path / run) == ["DONE", "diary"]
        lines = (tmp_path / run / "diary").read_text().splitlines()
        pids, steps = zip(*(line.split() for line in lines), strict=True)
        assert list(map(int, steps)) == list(range(10))  # By one worker, once.
        authors |= set(pids)
    assert len(authors) == 2


def test_run_of_a_killed_worker_is_taken_over(tmp_path):
    with workers(1, tmp_path, hang) as (process,):
        wait_for(tmp_path / "00001" / "started")
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    assert (tmp_path / "00001" / "PING").exists()
    assert scores(tmp_path, count, ping_every=60) == {}  # It might still be alive.
    time.sleep(1)
    assert scores(tmp_path, count, ping_every=0.5) == {"00001": [0.0, 1.0, 2.0]}


def race(folder, start, results):
    heartbeat = Heartbeat(pathlib.Path(folder), every=10)
    start.wait()
    results.put(heartbeat.start())
    time.sleep(1)


@pytest.mark.parametrize("stale", [False, True])
def test_one_of_several_workers_gets_a_run(stale, tmp_path):
    if stale:
        write_ping(tmp_path / "PING", time.time(), age=60)
    start, results = CONTEXT.Barrier(4), CONTEXT.Queue()
    arguments = (str(tmp_path), start, results)
    processes = [CONTEXT.Process(target=race, args=arguments) for _ in range(4)]
    for process in processes:
        process.start()
    winners = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(winners) == [False, False, False, True]
    assert files(tmp_path) == ["PING"]


def test_the_end_of_another_process_interrupts_the_runs(tmp_path):
    with Experiment(tmp_path, lose_another, num_runs=2) as experiment:
        run = next(iter(experiment))
        with pytest.raises(cluster.LostError):
            list(run)
    assert files(tmp_path) == ["00001"]
    assert files(tmp_path / "00001") == []
