"""The cross-entropy method in copies of the true environment, in NumPy.

These are the planners of `planet.control.planning`, apart from what imagines: a
function that returns the rewards [B, N, H] of candidates [B, N, H, A].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Rewards = Callable[[np.ndarray], np.ndarray]


class Plan(NamedTuple):
    """What a planner found, for each of B environments; see `planning.Plan`.

    Attributes:
      action: what to do now, [B, A].
      belief: center of the final belief, [B, H, A]: means, or probabilities where
        actions are discrete.
      returns: return of every candidate, [iterations, B, amount].
    """

    action: np.ndarray
    belief: np.ndarray
    returns: np.ndarray


def cross_entropy_method(
    rewards: Rewards,
    start: np.ndarray,
    random: np.random.Generator,
    amount: int = 1000,
    topk: int = 100,
    iterations: int = 10,
    discount: float = 0.99,
    initial_sigma: float = 1.0,
) -> Plan:
    """Searches the action sequence with the highest return.

    Source: Hafner et al. 2019, section 3 and algorithm 2.

    Args:
      rewards: rewards [B, N, H] of candidates [B, N, H, A].
      start: initial mean, [B, H, A].
      random: source of all randomness.
      amount: candidates drawn in each iteration, N.
      topk: elites to which the belief is refit.
      iterations: rounds of drawing and refitting; with 0 the initial mean is the plan.
      discount: weight of a step's reward relative to the step before.
      initial_sigma: initial standard deviation.

    Returns:
      The plan; its action is the first of the final mean.
    """
    batch, *shape = start.shape
    mean, stddev = start, np.full_like(start, initial_sigma)
    returns = np.empty([iterations, batch, amount], np.float32)
    for iteration in range(iterations):
        noise = random.standard_normal([batch, amount, *shape], np.float32)
        actions = np.clip(mean[:, None] + stddev[:, None] * noise, -1, 1)
        returns[iteration] = discounted_return(rewards(actions), discount)
        elites = _best(actions, returns[iteration], topk)
        mean, stddev = elites.mean(1), np.sqrt(elites.var(1) + 1e-6)
    return Plan(mean[:, 0], mean, returns)


def discrete_cross_entropy_method(
    rewards: Rewards,
    start: np.ndarray,
    random: np.random.Generator,
    amount: int = 1000,
    topk: int = 100,
    iterations: int = 10,
    discount: float = 0.99,
    select: str = "mode",
    smoothing: float = 0.2,
) -> Plan:
    """Searches the sequence of one-hot actions with the highest return.

    The belief is a categorical distribution at each step, refit to how often the
    elites take each action.

    Args:
      rewards: rewards [B, N, H] of candidates [B, N, H, A].
      start: initial probabilities [B, H, A]; they are smoothed, so that no action is
        out of reach. Zeros stand for even chances.
      random: source of all randomness.
      amount: candidates drawn in each iteration, N.
      topk: elites to which the belief is refit.
      iterations: rounds of drawing and refitting; with 0, the initial belief's
        likeliest action is taken.
      discount: weight of a step's reward relative to the step before.
      select: `best` takes the first action of the best sequence of the last iteration,
        `mode` the likeliest first action of the final belief, `sample` draws from it.
      smoothing: share of the initial chances that is spread evenly.

    Returns:
      The plan; its action is one-hot.
    """
    batch, _, size = start.shape
    vectors = np.eye(size, dtype=np.float32)
    even = ~start.any(-1, keepdims=True)
    chances = _smoothed(np.where(even, 1 / size, start), smoothing)
    action = vectors[chances[:, 0].argmax(-1)]
    returns = np.empty([iterations, batch, amount], np.float32)
    for iteration in range(iterations):
        actions = vectors[_draw(chances, random, amount)]
        returns[iteration] = discounted_return(rewards(actions), discount)
        elites = _best(actions, returns[iteration], topk)
        chances = _smoothed(elites.mean(1), 1e-6)
        action = elites[:, 0, 0]
    if select == "mode":
        action = vectors[chances[:, 0].argmax(-1)]
    elif select == "sample":
        action = vectors[_draw(chances, random, 1)[:, 0, 0]]
    return Plan(action, chances, returns)


def discounted_return(rewards: np.ndarray, discount: float) -> np.ndarray:
    """Sum of discount ** k times the k-th reward, [...] from rewards [..., H]."""
    return rewards @ discount ** np.arange(rewards.shape[-1])


def shift(belief: np.ndarray) -> np.ndarray:
    """A belief [B, H, A] a step later: its first step dropped, a neutral one added."""
    return np.concatenate([belief[:, 1:], np.zeros_like(belief[:, :1])], 1)


def _best(actions: np.ndarray, returns: np.ndarray, topk: int) -> np.ndarray:
    """The candidates [B, topk, H, A] with the highest returns [B, N], best first."""
    order = np.argsort(-returns, 1, stable=True)[:, :topk]
    return np.take_along_axis(actions, order[:, :, None, None], 1)


def _draw(chances: np.ndarray, random: np.random.Generator, amount: int) -> np.ndarray:
    """Numbers of actions [B, amount, H] of probabilities [B, H, A]."""
    batch, horizon, _ = chances.shape
    dice = random.random([batch, amount, horizon, 1], np.float32)
    return (dice > chances.cumsum(-1)[:, None, :, :-1]).sum(-1)


def _smoothed(probabilities: np.ndarray, share: float) -> np.ndarray:
    """Probabilities [..., A] of which a share is spread evenly."""
    return (1 - share) * probabilities + share / probabilities.shape[-1]
