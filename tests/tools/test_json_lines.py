import math

from planet.tools import json_lines


def test_records_are_read_as_they_were_added(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert list(json_lines.read(path)) == []
    json_lines.keep(path, lambda record: True)
    assert not path.exists()
    json_lines.append(path, {"step": 1, "phase": "train", "loss": 0.5})
    json_lines.append(path, {"step": 2, "loss": math.nan, "score": -math.inf})
    assert list(json_lines.read(path)) == [
        {"step": 1, "phase": "train", "loss": 0.5},
        {"step": 2},
    ]


def test_torn_lines_and_records_that_are_not_wanted_go(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for step in range(3):
        json_lines.append(path, {"step": step})
    with path.open("ab") as file:
        file.write(b'[1]\n{"step": 3, "l\xff')
    assert [record["step"] for record in json_lines.read(path)] == [0, 1, 2]
    json_lines.keep(path, lambda record: record["step"] < 2)
    assert path.read_text() == '{"step": 0}\n{"step": 1}\n'
