"""The benchmark of updates by several processes."""

import json

import pytest

from benchmarks import scaling

pytestmark = pytest.mark.scale


def test_one_and_two_replicas(tmp_path, run_main):
    path = tmp_path / "scaling.json"
    params = "{dumbnet: true, batch_shape: [2, 4], model_size: 8, state_size: 4}"
    command = ("--params", params, "--repeats", "1", "--output", path)
    code, out, err = run_main(scaling.main, *command)
    assert (code, err) == (0, "")
    content = json.loads(path.read_text())
    one, two = content["cases"]
    assert (one["replicas"], two["replicas"]) == (1, 2)
    assert one["reduced"] == two["reduced"] > 0
    assert two["sent"] > two["reduced"]
    assert content["projection"]["replicas"] == 8
    assert "Projection, not measured: 8 replicas" in out
