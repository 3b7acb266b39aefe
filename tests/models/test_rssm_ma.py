import numpy as np
import pytest
import tensorflow as tf

from planet.models.rssm_ma import MovingAverageRSSM


@pytest.mark.parametrize("alpha", [0.125, 0.5])
def test_slow_quarter_moves_at_the_speed_of_alpha(alpha):
    free = MovingAverageRSSM(4, 8, ma_ppn=0.25, ma_alpha=1.0, mean_only=True)
    slow = MovingAverageRSSM(4, 8, ma_ppn=0.25, ma_alpha=alpha, mean_only=True)
    start = {key: tf.ones([2, size]) for key, size in free.state_sizes.items()}
    inputs = start, tf.ones([2, 1]), tf.ones([2, 7])
    slow.observe(*inputs)
    free.observe(*inputs)
    slow.set_weights(free.get_weights())
    steps = [*zip(slow.observe(*inputs), free.observe(*inputs), strict=True)]
    steps.append((slow.transition(*inputs[:2]), steps[0][1]))
    for actual, target in steps:
        for key, size in free.state_sizes.items():
            expected = target[key].numpy()
            quarter = expected[:, : size // 4]
            quarter[:] = (1 - alpha) + alpha * quarter
            np.testing.assert_allclose(actual[key], expected, rtol=1e-6, err_msg=key)
