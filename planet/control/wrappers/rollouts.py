"""Rewards of many sequences of actions at once, for a few tasks with simple rewards.

MuJoCo steps all sequences without returning to Python in between, and the rewards are
computed from the states that it visits. They equal those that the environment pays.
"""

from __future__ import annotations

from collections.abc import Callable

import gymnasium
import numpy as np
from gymnasium.wrappers import TimeLimit

from planet.control.wrappers.actions import ActionRepeat, NormalizeActions
from planet.control.wrappers.duration import MinimumDuration
from planet.control.wrappers.promises import CheckResults

# Positions, velocities, sensors and controls, each [N, T, ...].
Reward = Callable[..., np.ndarray]


class Rollouts:
    """Tries sequences of actions in an environment of dm_control's suite.

    Args:
      time_limit: The wrapper that ends episodes.
      normalize: The wrapper that scales actions.
      repeat: The wrapper that repeats actions.
      reward: Makes a function of the physics that computes rewards; see `REWARDS`.
    """

    def __init__(
        self,
        time_limit: TimeLimit,
        normalize: NormalizeActions,
        repeat: ActionRepeat,
        reward: Callable[..., Reward],
    ):
        self._time_limit = time_limit
        self._normalize = normalize
        self._repeat = repeat._amount
        self._suite = repeat.unwrapped._env  # Shimmy has no public way to it.
        self._reward = reward
        self._scratch = None

    def rewards(self, candidates: np.ndarray) -> np.ndarray:
        """The reward of each decision, [N, H], for actions in [-1, 1], [N, H, A]."""
        amount, horizon, _ = candidates.shape
        suite = self._suite
        scaled = [[self._normalize.action(x) for x in plan] for plan in candidates]
        controls = np.repeat(np.array(scaled, float), self._repeat, 1)
        rewards = self._reward(suite.task, suite.physics, *self._roll_out(controls))
        rewards[:, int(min(suite._step_limit - suite._step_count, 10**9)) :] = 0
        rewards = rewards.reshape(amount, horizon, self._repeat).sum(-1)
        limit = self._time_limit
        rewards[:, limit._max_episode_steps - limit._elapsed_steps :] = 0
        return rewards

    def _roll_out(self, controls):
        """Positions, velocities, sensors and controls after each step, [N, T, ...]."""
        import mujoco
        from mujoco import rollout

        model, data = self._suite.physics.model.ptr, self._suite.physics.data.ptr
        if self._scratch is None:
            self._scratch = mujoco.MjData(model)
        kind = mujoco.mjtState.mjSTATE_FULLPHYSICS
        start = np.empty(mujoco.mj_stateSize(model, kind))
        mujoco.mj_getState(model, data, start, kind)
        steps = self._suite._n_sub_steps
        # Sensors show the state before a step, so we make one more.
        longer = np.pad(np.repeat(controls, steps, 1), [(0, 0), (0, 1), (0, 0)])
        states, sensors = rollout.rollout(
            model,
            [self._scratch],
            initial_state=np.tile(start, (len(controls), 1)),
            control=longer,
            initial_warmstart=np.tile(data.qacc_warmstart, (len(controls), 1)),
        )
        states = states[:, steps - 1 : -1 : steps, 1:]  # The first entry is the time.
        positions, velocities, _ = np.split(states, [model.nq, model.nq + model.nv], -1)
        return positions, velocities, sensors[:, steps::steps], controls


def find(env: gymnasium.Env) -> Rollouts | None:
    """Rollouts of a wrapped environment; None if its task is none of `REWARDS`."""
    layers = []
    while isinstance(env, gymnasium.Wrapper):
        layers.append(env)
        env = env.env
    kinds = [TimeLimit, MinimumDuration, NormalizeActions, ActionRepeat, CheckResults]
    if [type(layer) for layer in layers] != kinds:
        return None
    task = type(getattr(vars(env).get("_env"), "task", None))
    reward = REWARDS.get((task.__module__, task.__name__))
    time_limit, _, normalize, repeat, _ = layers
    return Rollouts(time_limit, normalize, repeat, reward) if reward else None


def _tolerance(*arguments, **settings):
    from dm_control.utils import rewards

    return rewards.tolerance(*arguments, **settings)


def _cartpole(task, physics, positions, velocities, sensors, controls):
    cart = positions[..., 0]
    # Poles may stand on one another, and their angles are relative to those below.
    cosines = np.cos(positions[..., 1:].cumsum(-1))
    if task._sparse:
        upright = _tolerance(cosines, task._ANGLE_COSINE_RANGE).prod(-1)
        return upright * _tolerance(cart, task._CART_RANGE)
    upright = (cosines.mean(-1) + 1) / 2
    centered = (1 + _tolerance(cart, margin=2)) / 2
    quadratic = {"value_at_margin": 0, "sigmoid": "quadratic"}
    control = (4 + _tolerance(controls[..., 0], margin=1, **quadratic)) / 5
    still = (1 + _tolerance(velocities[..., 1:], margin=5).min(-1)) / 2
    return upright * control * still * centered


def _cheetah(task, physics, positions, velocities, sensors, controls):
    from dm_control.suite import cheetah

    (address,) = physics.model.sensor("torso_subtreelinvel").adr
    linear = {"value_at_margin": 0, "sigmoid": "linear"}
    goal = cheetah._RUN_SPEED
    bounds = (goal, float("inf"))
    return _tolerance(sensors[..., address], bounds, margin=goal, **linear)


def _finger(task, physics, positions, velocities, sensors, controls):
    from dm_control.suite import finger

    (address,) = physics.model.joint("hinge").dofadr
    return (velocities[..., address] <= -finger._SPIN_VELOCITY).astype(float)


def _reacher(task, physics, positions, velocities, sensors, controls):
    model = physics.model
    shoulder, wrist = np.moveaxis(np.exp(1j * positions), -1, 0)
    upper, lower = (model.body(name).pos[0] for name in ("hand", "finger"))
    finger = shoulder * (upper + wrist * lower)
    target, tip = model.geom("target"), model.geom("finger")
    distances = np.abs(finger - complex(*target.pos[:2]))
    return _tolerance(distances, (0, target.size[0] + tip.size[0]))


# By module and class of the task, functions of the task, its physics, and of
# positions, velocities, sensors and controls after each step, [N, T, ...].
REWARDS: dict[tuple[str, str], Reward] = {
    ("dm_control.suite.cartpole", "Balance"): _cartpole,
    ("dm_control.suite.cheetah", "Cheetah"): _cheetah,
    ("dm_control.suite.finger", "Spin"): _finger,
    ("dm_control.suite.reacher", "Reacher"): _reacher,
}
