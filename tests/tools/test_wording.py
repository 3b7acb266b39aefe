from planet.tools import wording


def test_plurals():
    counts = [wording.count(amount, "run") for amount in (0, 1, 2, 12_345)]
    assert counts == ["0 runs", "1 run", "2 runs", "12,345 runs"]
