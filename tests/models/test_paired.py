import numpy as np
import tensorflow as tf

from planet.models.paired import Paired
from planet.models.rssm import RSSM
from planet.models.ssm import SSM
from planet.tools import noise


def test_both_cells_see_the_same_and_keep_their_own_states():
    cells = {"cell": RSSM(3, 8), "tap": SSM(3, 5)}
    paired = Paired(**cells)
    action, embedded = tf.ones([2, 1]), tf.ones([2, 7])
    state = paired.zero_state(2)
    with noise.stream([0, 1]):
        posterior = paired.posterior(state, action, embedded)
    with noise.stream([0, 1]):
        prior = paired.transition(state, action)
    for key, cell in cells.items():
        assert posterior[key].keys() == prior[key].keys() == cell.state_sizes.keys()
        expected = cell.transition(cell.zero_state(2), action)["mean"]
        np.testing.assert_allclose(prior[key]["mean"], expected, rtol=1e-6)
