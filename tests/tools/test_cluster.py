import json

import pytest

from planet.tools import cluster, parameters

WORKERS = {"worker": ["a:1", "b:2", "c:3"]}


def read(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    return cluster.read()


def config(jobs, job="worker", index=0, **others):
    return json.dumps(
        {"cluster": jobs, "task": {"type": job, "index": index}, **others}
    )


@pytest.mark.parametrize(
    ("jobs", "job", "index", "rank"),
    [
        (WORKERS, "worker", 0, 0),
        (WORKERS, "worker", 2, 2),
        ({"worker": ["b:2", "c:3"], "chief": ["a:1"]}, "chief", 0, 0),
        ({"worker": ["b:2", "c:3"], "chief": ["a:1"]}, "worker", 1, 2),
    ],
)
def test_the_chief_is_first(monkeypatch, jobs, job, index, rank):
    found = read(monkeypatch, config(jobs, job, index, rpc_layer="grpc"))
    assert [*found.addresses.values()] == ["a:1", "b:2", "c:3"]
    assert (found.rank, found.is_chief) == (rank, rank == 0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense", "Expecting value"),
        ("[" * 100_000, "maximum recursion depth"),
        ("[]", "TF_CONFIG must be a mapping, not []"),
        ("{}", "TF_CONFIG must be a mapping, not {}"),
        (json.dumps({"cluster": 1}), "cluster must be a mapping, not 1"),
        (json.dumps({"cluster": WORKERS}), "task must be a mapping, not None"),
        (config({"ps": ["a:1"]}), "jobs are chief and worker, not 'ps'"),
        (config({"worker": []}), "worker must be a list of addresses, not []"),
        (config({"worker": ["a"]}), "an address is HOST:PORT, not 'a'"),
        (config({"worker": ["a:b"]}), "an address is HOST:PORT, not 'a:b'"),
        (config({"worker": [1]}), "an address is HOST:PORT, not 1"),
        (config({"worker": ["a:1", "a:1"]}), "two of the addresses are the same"),
        (config({"chief": ["a:1", "b:1"]}), "there can be only one chief"),
        (config(WORKERS, "chief"), "type of the task must be worker, not 'chief'"),
        (config(WORKERS, index=3), "index of the task must be from 0 to 2, not 3"),
        (config(WORKERS, index="0"), "index of the task must be from 0 to 2, not '0'"),
    ],
)
def test_what_describes_no_cluster_is_refused(monkeypatch, text, reason):
    with pytest.raises(parameters.ParameterError, match="TF_CONFIG must be like ") as e:
        read(monkeypatch, text)
    assert reason in str(e.value)
    assert "\n" not in str(e.value)


def test_a_variable_that_is_not_there_is_named(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(
        parameters.ParameterError, match="the environment variable TF_C"
    ):
        cluster.read()


def test_a_lost_process_is_named_by_its_address(monkeypatch):
    found = read(monkeypatch, config(WORKERS))
    error = found.lost(
        "Graph execution error:\n\nCollective ops is aborted by: Collective ops is "
        "aborted by: Error reported from /job:worker/task:1: The following tasks are "
        "unhealthy (stopped sending heartbeats):\n/job:worker/replica:0/task:1\nThe"
    )
    assert str(error) == (
        "another process, b:2, has ended or cannot be reached (Error reported from "
        "/job:worker/task:1: The following tasks are unhealthy (stopped sending "
        "heartbeats):)"
    )
    assert str(found.lost("Socket closed")) == (
        "another process, a:1 or b:2 or c:3, has ended or cannot be reached "
        "(Socket closed)"
    )
