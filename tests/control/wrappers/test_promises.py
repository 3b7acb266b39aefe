import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.spaces import Box
from gymnasium.wrappers import TimeLimit

from planet.control.errors import BrokenPromiseError, UnusableEnvError
from planet.control.wrappers import promises
from planet.control.wrappers.actions import OneHot
from tests.control import user_envs
from tests.control.counting_env import CountingEnv


def message(function, *arguments):
    with pytest.raises(BrokenPromiseError) as caught:
        function(*arguments)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 200
    return str(caught.value)


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ([0.5, 1.5], "action[1] is 1.5, not between -1.0 and 1.0"),
        ([-1.1, 0], "action[0] is -1.1, not between -1.0 and 1.0"),
        ([np.nan, 0], "action[0] is nan, not a finite number"),
        (np.zeros(3), "action is float64 [3], not float32 [2]"),
        (np.float32(1), "action is a number float32, not float32 [2]"),
        (None, "action is None, not float32 [2]"),
        ([[1], [1, 2]], "action is [[1], [1, 2]], not an array"),
    ],
)
def test_actions_have_to_be_in_their_space(action, reason):
    space = Box(-1, 1, [2], np.float32)
    assert message(promises.require_action, space, action) == reason


def test_actions_without_bounds_have_to_be_finite():
    space = Box(-np.inf, np.inf, [1], np.float32)
    promises.require_action(space, [1e9])
    reason = "action[0] is inf, not a finite number"
    assert message(promises.require_action, space, [np.inf]) == reason


def test_actions_may_be_rounded():
    promises.require_action(Box(-1, 1, [2], np.float32), [1 + 1e-7, -1 - 1e-7])


@pytest.mark.parametrize("action", [[0, 0, 0], [1, 0, 1], [0, 2, 0]])
def test_choices_have_to_be_one_hot(action):
    promises.require_action(OneHot(3), [0, 1, 0])
    reason = f"action is {action}, not one-hot"
    assert message(promises.require_action, OneHot(3), np.array(action)) == reason


class Returning(gymnasium.Env):
    """Returns whatever it is told to."""

    action_space = Box(-1, 1, [1], np.float32)

    def __init__(self, start=(0, {}), results=None, space=None):
        self.observation_space = space
        self._start = start
        self._results = results

    def reset(self, *, seed=None, options=None):
        return self._start

    def step(self, action):
        return self._results


@pytest.mark.parametrize(
    ("start", "got"),
    [
        (np.zeros(2), "ndarray"),
        ((1, 2, {}), "a tuple of 3"),
    ],
)
def test_reset_returns_two_things(start, got):
    env = promises.CheckResults(Returning(start))
    assert message(env.reset) == f"reset() returned {got}, not (observation, info)"


def step(*results):
    return promises.CheckResults(Returning(results=results)).step(None)


@pytest.mark.parametrize("results", [(1, 2.0, True, {}), (1, 2, True, True, {}, 6)])
def test_step_returns_five_things(results):
    assert message(step, *results) == (
        f"step() returned a tuple of {len(results)}, not (observation, reward, "
        "terminated, truncated, info)"
    )


@pytest.mark.parametrize(
    ("reward", "shown"),
    [
        (None, "None"),
        (np.nan, "nan"),
        (-np.inf, "-inf"),
        (np.float32("nan"), "np.float32(nan)"),
        (np.ones(2), "array([1., 1.])"),
        ([1, [2]], "[1, [2]]"),
        ("1", "'1'"),
        (1j, "1j"),
    ],
)
def test_rewards_have_to_be_finite_numbers(reward, shown):
    reason = f"reward is {shown}, not a finite number"
    assert message(step, 0, reward, False, False, {}) == reason


@pytest.mark.parametrize("reward", [1, 1.0, True, np.float32(1), np.array([1.0])])
def test_numbers_of_all_kinds_are_rewards(reward):
    assert step(0, reward, False, np.False_, {}) == (0, 1, False, False, {})
    assert np.isscalar(step(0, reward, False, 0, {})[1])


def test_other_results_have_their_types():
    reason = "terminated is 'no', not True or False"
    assert message(step, 0, 1, "no", False, {}) == reason
    reason = "truncated is None, not True or False"
    assert message(step, 0, 1, False, None, {}) == reason
    assert message(step, 0, 1, False, False, []) == "info is [], not a dict"


@pytest.mark.parametrize("wrapped", [False, True])
def test_reset_that_takes_no_seed_is_refused(wrapped):
    env = user_envs.Unseeded()
    with pytest.raises(UnusableEnvError) as caught:
        promises.CheckResults(TimeLimit(env, 5) if wrapped else env)
    assert str(caught.value) == (
        "its reset() must accept seed and options, as gymnasium's "
        "reset(*, seed=None, options=None) does"
    )


SPACE = spaces.Dict(
    image=Box(0, 255, (4, 4, 3), np.uint8),
    position=Box(-1, 1, (2,), np.float32),
    count=Box(0, 9, (), np.int32),
    choice=spaces.Discrete(3),
    pair=spaces.Tuple([Box(-1, 1), spaces.MultiBinary(2)]),
    inner=spaces.Dict(angle=Box(-4, 4, (1,), np.float64)),
)


def observe(bounds=True, **changes):
    SPACE.seed(0)
    observation = {**SPACE.sample(), **changes}
    env = Returning((observation, {}), space=SPACE)
    assert promises.CheckObservations(env, bounds).reset()[0] is observation


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"image": np.ones((4, 4, 3))},
            "'image' is float64 [4, 4, 3], not uint8 [4, 4, 3] as its space says",
        ),
        (
            {"image": np.ones((4, 4, 3), int)},
            "'image' is int64 [4, 4, 3], not uint8 [4, 4, 3] as its space says",
        ),
        (
            {"position": np.zeros(3)},
            "'position' is float64 [3], not float32 [2] as its space says",
        ),
        (
            {"position": np.zeros(2, int)},
            "'position' is int64 [2], not float32 [2] as its space says",
        ),
        (
            {"position": "here"},
            "'position' is 'here', not float32 [2] as its space says",
        ),
        ({"position": [[1], [1, 2]]}, "'position' is [[1], [1, 2]], not an array"),
        (
            {"position": np.array([0, -np.inf])},
            "'position'[1] is -inf, not a finite number",
        ),
        (
            {"position": np.array([0, 1.1])},
            "'position'[1] is 1.1, not between -1.0 and 1.0",
        ),
        ({"count": 0.5}, "'count' is 0.5, not a number int32 as its space says"),
        ({"count": 10}, "'count' is 10, not between 0 and 9"),
        ({"choice": 3}, "'choice' is 3, not in Discrete(3)"),
        (
            {"pair": 7},
            "'pair' is 7, not in Tuple(Box(-1.0, 1.0, (1,), float32), MultiBinary(2))",
        ),
        (
            {"pair": (np.array([np.nan]), np.ones(2, int))},
            "'pair/0'[0] is nan, not a finite number",
        ),
        (
            {"inner": {"angle": np.array([5.0])}},
            "'inner/angle'[0] is 5.0, not between -4.0 and 4.0",
        ),
        ({"inner": {}}, "'inner' lacks 'angle', which its space has"),
        ({"inner": None}, "'inner' is None, not a dict"),
    ],
)
def test_observations_have_to_be_what_their_space_says(changes, reason):
    observe()
    assert message(lambda: observe(**changes)) == f"observation {reason}"


@pytest.mark.parametrize("where", [(), ("eye",), ("eye", "left")])
@pytest.mark.parametrize(
    ("space", "value", "reason"),
    [
        (
            Box(0, 1, (3, 9, 9)),
            1.7,
            "[0, 0, 0] is 1.7000000476837158, not between 0.0 and 1.0",
        ),
        (Box(0, 1, (9, 9)), -0.5, "[0, 0] is -0.5, not between 0.0 and 1.0"),
        (Box(0, 1, (9, 9, 4)), np.nan, "[0, 0, 0] is nan, not a finite number"),
        (
            Box(0, 1, (9, 9, 3)),
            np.uint8(200),
            " is uint8 [9, 9, 3], not float32 [9, 9, 3] as its space says",
        ),
        (
            Box(0, 255, (9, 9), np.uint8),
            np.int64(200),
            " is int64 [9, 9], not uint8 [9, 9] as its space says",
        ),
    ],
)
def test_images_of_every_kind_have_to_keep_their_promises(where, space, value, reason):
    value = value if isinstance(value, np.generic) else np.float32(value)
    observation = np.full(space.shape, value)
    for name in reversed(where):
        space, observation = spaces.Dict({name: space}), {name: observation}
    env = Returning((observation, {}), space=space)
    name = f" {'/'.join(where)!r}" if where else ""
    check = promises.CheckObservations(env, image=where)
    assert message(check.reset) == f"observation{name}{reason}"


def test_rounding_of_images_is_fine():
    space = Box(0, 1, (9, 9))
    env = Returning((np.full((9, 9), 1 + 1e-7, np.float32), {}), space=space)
    promises.CheckObservations(env, image=()).reset()


def test_observations_have_the_names_of_their_space():
    reason = "observation has 'more', which its space lacks"
    assert message(lambda: observe(more=1)) == reason


@pytest.mark.parametrize(
    "changes",
    [
        {"position": np.array([1 + 1e-7, -1 - 1e-7])},
        {"position": [0.5, 0.5]},
        {"count": np.uint8(3)},
        {"choice": np.int64(2)},
    ],
)
def test_other_widths_and_rounding_are_fine(changes):
    observe(**changes)


def test_bounds_are_checked_only_where_they_are_asked_for():
    observe(bounds=False, position=np.array([7.0, 8.0]))


def test_task_and_decision_are_named():
    env = promises.KeepPromises(promises.CheckResults(CountingEnv()), "mine")
    for _ in range(2):
        env.reset()
        env.step(np.zeros(1))
        reason = "task 'mine', decision 2: action[0] is nan, not a finite number"
        assert message(env.step, np.array([np.nan])) == reason
    env = promises.KeepPromises(promises.CheckResults(Returning((0, 1))), "mine")
    assert message(env.reset) == "task 'mine', reset: info is 1, not a dict"
