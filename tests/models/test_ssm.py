import tensorflow as tf

from planet.models.ssm import SSM


def test_samples_have_the_stddev_of_the_state():
    cell = SSM(3, 8, min_stddev=0.5)
    state = cell.transition(cell.zero_state(10_000), tf.zeros([10_000, 2]))
    noise = (state["sample"] - state["mean"]) / state["stddev"]
    assert float(tf.reduce_min(state["stddev"])) > 0.5
    assert abs(float(tf.math.reduce_std(noise)) - 1) < 0.02
    assert cell.features_from_state(state) is state["sample"]
