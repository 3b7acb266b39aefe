"""The loop that all searches are: propose, imagine, score, refit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from planet.tools import noise, unroll

Act = Callable[[dict[str, tf.Tensor], tf.Tensor], tf.Tensor]


class Plan(NamedTuple):
    """What a planner found, for each of B environments.

    Attributes:
      action: what to do now, [B, A].
      belief: center of the final belief over sequences, [B, H, X]: the mean of actions
        or of the noise that is searched, or logits where actions are discrete.
      returns: imagined return of every candidate, [iterations, B, amount]; -inf where
        an iteration had fewer candidates.
      memory: what the next decision's warm start is made from, entries [B, ..., H, X];
        the belief, if it is None. See `remembers`.
    """

    action: tf.Tensor
    belief: tf.Tensor
    returns: tf.Tensor
    memory: Any = None


def search(
    belief: Any,
    propose: Callable[[Any, tf.Tensor], tf.Tensor],
    attempt: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    refit: Callable[[Any, tf.Tensor, tf.Tensor], Any],
    iterations: int,
    batch: int,
    amount: int,
    unroll: bool = False,
) -> tuple[Any, tf.Tensor]:
    """Moves a belief to where candidates are imagined to have high returns.

    Args:
      belief: where the search starts, any structure of tensors.
      propose: candidates [B, N, H, X] from the belief and the number of the iteration.
      attempt: what can be done of the candidates, and the returns [B, N] of that, see
        `imagine`.
      refit: the next belief from the last one, what was attempted, and its returns.
      iterations: rounds of all this.
      batch: number of environments, B.
      amount: candidates of each iteration, N.
      unroll: whether each iteration gets a graph of its own, as it takes if they differ
        in shapes; the number of the iteration is an integer then.

    Returns:
      The final belief, and the returns of all candidates, [iterations, B, N].
    """
    history = tf.TensorArray(tf.float32, iterations, element_shape=[batch, amount])
    seed = noise.seed()
    for iteration in range(iterations) if unroll else tf.range(iterations):
        with noise.stream(tf.random.fold_in(seed, iteration)):
            candidates = propose(belief, iteration)
            candidates, returns = attempt(candidates)
        belief = refit(belief, candidates, returns)
        history = history.write(iteration, returns)
    return belief, history.stack()


def imagine(
    cell,
    objective_fn: Callable[[dict[str, tf.Tensor]], tf.Tensor],
    state: dict[str, tf.Tensor],
    candidates: tf.Tensor,
    discount: float,
    act: Act | None = None,
) -> tf.Tensor:
    """Returns of candidates, each from the state of its own environment.

    Args:
      cell: offers `transition`.
      objective_fn: rewards [B, N, H] of imagined states [B, N, H, ...].
      state: where to start, entries [B, ...].
      candidates: N sequences for each environment, [B, N, H, X]: of actions or, with
        `act`, of what that makes actions from.
      discount: weight of a step's reward relative to the step before.
      act: actions [M, A] from imagined states, entries [M, ...], and what the
        candidates hold for their step, [M, X]: how a policy acts inside the dream.

    Returns:
      Imagined returns, [B, N].
    """
    batch, amount, horizon, size = candidates.shape
    start = tf.nest.map_structure(lambda entry: tf.repeat(entry, amount, 0), state)
    merged = tf.reshape(candidates, [batch * amount, horizon, size])
    imagined = unroll.open_loop(cell, start, merged, act)
    imagined = tf.nest.map_structure(
        lambda entry: tf.reshape(entry, [batch, amount, *entry.shape[1:]]), imagined
    )
    return discounted_return(objective_fn(imagined), discount)


def discounted_return(rewards: tf.Tensor, discount: float) -> tf.Tensor:
    """Sum of discount ** k times the k-th reward, [...] from rewards [..., H]."""
    steps = tf.range(rewards.shape[-1], dtype=rewards.dtype)
    return tf.linalg.matvec(rewards, discount**steps)


def elites(
    candidates: tf.Tensor, returns: tf.Tensor, topk: int, ranked: bool = False
) -> tf.Tensor:
    """The candidates [B, topk, H, X] with the highest returns.

    Args:
      candidates: [B, N, H, X].
      returns: [B, N].
      topk: how many of them.
      ranked: whether the best one has to come first; otherwise any order will do.
    """
    best = tf.math.top_k(returns, topk, sorted=ranked).indices
    return tf.gather(candidates, best, batch_dims=1)


def shift(belief: Any) -> Any:
    """Sequences [..., H, X] a step later: the first step dropped, a neutral one added.

    Args:
      belief: a tensor or a structure of them.
    """
    return tf.nest.map_structure(
        lambda x: tf.concat([x[..., 1:, :], tf.zeros_like(x[..., :1, :])], -2), belief
    )


def remembers(blank: Callable[..., Any]) -> Callable[[Callable], Callable]:
    """Marks a planner that remembers something else than a belief [B, H, A].

    Args:
      blank: what there is to remember before the first decision, of the same structure
        and shapes as the `memory` of the planner's plans. Its arguments are the number
        of environments, the horizon and the size of an action, and then those of the
        planner's arguments that it needs, by name.
    """

    def mark(planner):
        planner.blank = blank
        return planner

    return mark
