import pytest

import planet
from planet.control import batch_env
from tests.api.small import SMALL


@pytest.mark.slow
def test_a_run_that_is_left_goes_on(tmp_path):
    params = {**SMALL, "max_steps": 20}
    phases = planet.train("debug", params, tmp_path)
    first = next(phases)
    phases.close()
    rest = list(planet.train("debug", params, tmp_path))
    steps = [phase.step for phase in (first, *rest)]
    assert steps == [5, 10, 15, 20]
    assert (tmp_path / "00001" / "DONE").exists()
    assert list(planet.train("debug", params, tmp_path)) == []


def test_settings_are_checked_before_anything_is_created(tmp_path):
    logdir = tmp_path / "runs"
    for params in ({"model": "rsm"}, {"tasks": ["cheeta_run"]}, {"modell": "rssm"}):
        with pytest.raises(ValueError, match="did you mean"):
            planet.train("debug", params, logdir)
    assert not logdir.exists()


@pytest.mark.slow
def test_errors_of_a_run_are_raised(tmp_path):
    params = {
        **SMALL,
        "num_seed_episodes": 1,
        "tasks": ["tests.control.user_envs:raising_on_step"],
    }
    with pytest.raises(batch_env.EnvError):
        list(planet.train("debug", params, tmp_path))
    assert (tmp_path / "00001" / "FAIL").exists()
