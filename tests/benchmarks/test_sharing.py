import pytest

from benchmarks import sharing


@pytest.mark.parametrize("skew", [0, 600])
def test_each_run_is_trained_once_whatever_becomes_of_workers(skew):
    arguments = ["--workers", "12", "--runs", "40", "--kills", "3", "--stalls", "2"]
    arguments += ["--skew", str(skew)]
    simulation = sharing.simulate(sharing.make_parser().parse_args(arguments))
    results = simulation.results()
    assert results["workers killed"] > 5
    assert results["stalled workers that noticed they had lost their run"] > 5
    assert results["runs"] == results["finished once"] == 40
    assert results["phases written"] == results["phases of all runs"] == 400
    assert results["runs of killed workers taken over"] > 5


def test_a_simulation_can_be_repeated():
    arguments = ["--workers", "3", "--runs", "4", "--kills", "2", "--seed", "5"]
    first, second = (
        sharing.simulate(sharing.make_parser().parse_args(arguments)).results()
        for _ in range(2)
    )
    assert first == second


def test_clocks_that_are_wrong_do_not_keep_workers_waiting():
    """They pass by whatever runs others train, and so they finish as early."""
    hours = []
    for skew in (0, 600):
        arguments = ["--workers", "30", "--runs", "60", "--kills", "0", "--stalls", "0"]
        arguments += ["--skew", str(skew)]
        simulation = sharing.simulate(sharing.make_parser().parse_args(arguments))
        hours.append(simulation.results()["hours"])
    earlier, later = hours
    assert later < earlier + 0.2


def test_a_simulation_ends_with_the_last_worker():
    """One that starts soon after another was killed takes its run for a live one."""
    arguments = ["--workers", "1", "--runs", "1", "--kills", "0.1", "--stalls", "0"]
    simulation = sharing.simulate(sharing.make_parser().parse_args(arguments))
    assert not simulation.is_over()
    assert simulation.results()["workers killed"] > 1
