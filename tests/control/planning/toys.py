"""Small worlds whose best actions are known, and policies for them."""

import keras
import tensorflow as tf

from planet.tools import noise


class PointCell:
    """A cell whose state is where it wants the last action to be, and that action."""

    def transition(self, prev_state, prev_action):
        return {"target": prev_state["target"], "action": prev_action}


def closeness(state):
    """Rewards [B, N, H]: 0 for the target, less for anything else."""
    return -tf.reduce_sum((state["action"] - state["target"]) ** 2, -1)


def plan_for(planner, targets, horizon=5, seed=(0, 0), **kwargs):
    """Plans for environments with the given targets [B, A]."""
    targets = tf.convert_to_tensor(targets, tf.float32)
    state = {"target": targets, "action": tf.zeros_like(targets)}
    size = targets.shape[1]
    with noise.stream(seed):
        return planner(PointCell(), closeness, state, (size,), horizon, **kwargs)


class ChoiceCell:
    """A cell whose state counts the steps and remembers the last action."""

    def transition(self, prev_state, prev_action):
        step = prev_state["step"] + 1
        return {"step": step, "wanted": prev_state["wanted"], "action": prev_action}


def rightness(state):
    """Rewards [B, N, H]: 1 for the action wanted at that step, of the one-hot ones."""
    wanted = tf.gather(state["wanted"], state["step"] - 1, batch_dims=3)
    return tf.gather(state["action"], wanted, batch_dims=3)


def choose_for(planner, wanted, size, seed=(0, 0), **kwargs):
    """Plans for environments with the given sequences of best actions [B, H]."""
    wanted = tf.convert_to_tensor(wanted)
    batch, horizon = wanted.shape
    state = {
        "step": tf.zeros([batch], tf.int32),
        "wanted": wanted,
        "action": tf.zeros([batch, size]),
    }
    with noise.stream(seed):
        return planner(ChoiceCell(), rightness, state, (size,), horizon, **kwargs)


class WalkCell:
    """A cell whose state is a place, which actions move."""

    def transition(self, prev_state, prev_action):
        place = prev_state["place"] + prev_action
        return {"target": prev_state["target"], "place": place}


def arrival(state):
    """Rewards [B, N, H]: 0 at the target, less at a distance."""
    return -tf.reduce_sum((state["place"] - state["target"]) ** 2, -1)


class ZeroPolicy:
    """Does nothing but its noise, and finds all choices equal."""

    def __init__(self, size):
        self.noise_size = size

    def act(self, state, noise=None):
        action = tf.zeros([tf.shape(state["action"])[0], self.noise_size])
        return action if noise is None else action + noise

    def logits(self, state):
        return self.act(state)


class Chaser:
    """Goes half of the way that is left."""

    def act(self, state, noise=None):
        return 0.5 * (state["target"] - state["place"])


class SmallPolicy(keras.layers.Layer):
    """A network with one hidden layer, on the target of a point."""

    def __init__(self, size, units=16):
        super().__init__()
        self.noise_size = units
        first, last = (keras.initializers.GlorotUniform(seed) for seed in (0, 1))
        self._hidden = keras.layers.Dense(units, "relu", kernel_initializer=first)
        self._output = keras.layers.Dense(size, kernel_initializer=last)

    def act(self, state, noise=None):
        hidden = self._hidden(state["target"])
        return tf.tanh(self._output(hidden if noise is None else hidden + noise))


class Stubborn:
    """Takes the first choice, unless noise on its logits is strong."""

    def logits(self, state):
        return 6.0 * tf.one_hot(tf.zeros_like(state["step"]), state["action"].shape[-1])


class Oracle:
    """Knows the best choice of each step, more or less."""

    def logits(self, state):
        wanted = tf.gather(state["wanted"], state["step"], batch_dims=1)
        return 3.0 * tf.one_hot(wanted, state["action"].shape[-1])

    def act(self, state, noise=None):
        logits = self.logits(state)
        return tf.one_hot(tf.argmax(logits, -1), logits.shape[-1])
