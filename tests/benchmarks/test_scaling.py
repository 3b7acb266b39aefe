import pytest

from benchmarks import scaling

ONE = {"replicas": 1, "update": 1.0, "reduce": 0.0, "send": 0.0}


def case(**values):
    return {**ONE, "reduced": 8_000_000, "sent": 1_000_000, **values}


def test_projection_of_what_is_all_divided():
    found = scaling.project([case(), case(replicas=2, update=0.5)], 8)
    assert found["update"] == pytest.approx(1 / 8)
    assert found["efficiency"] == pytest.approx(1)


def test_projection_leaves_a_part_undivided_and_sends_more():
    two = case(replicas=2, update=0.9, reduce=0.1, send=0.2)  # 0.2 + 0.8 / 2.
    found = scaling.project([case(), two], 8)
    assert found["undivided"] == pytest.approx(0.2)
    assert found["divided"] == pytest.approx(0.1)
    assert found["reduce"] == pytest.approx(0.1 * 7 / 4)
    assert found["send"] == pytest.approx(0.2 * 3)
    assert found["speed"] == pytest.approx(1 / (0.3 + 0.175 + 0.6))
    assert "Projection, not measured: 8 replicas" in scaling.describe(found)


def test_table_of_cases():
    header, _, *rows = scaling.table(
        [case(), case(replicas=2, update=0.625)]
    ).splitlines()
    assert "efficiency" in header
    cells = [cell.strip() for cell in rows[1].split("|")[1:-1]]
    assert cells == ["2", "0.625", "1.60", "80%", "0.000", "0.000", "8.0", "1.0"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--replicas", "3"), "--replicas must divide the 8 sequences, not 3"),
        (("--params", "batch_shpe=1"), "unknown parameter 'batch_shpe'; did you"),
        (("--params", "observations=state"), "observations must be image, not state"),
        (("--repeats", "0"), "argument --repeats: must be a whole number from 1"),
    ],
)
def test_bad_input(arguments, message, run_main):
    code, out, err = run_main(scaling.main, *arguments)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(f"benchmarks.scaling: error: {message}")
