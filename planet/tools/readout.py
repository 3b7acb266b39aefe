"""How well some quantities can be read linearly from others."""

from __future__ import annotations

import numpy as np
from sklearn import decomposition, linear_model, metrics, pipeline, preprocessing

RIDGE = 1.0  # For standardised inputs; it only matters if there are few examples.


def r2(
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    components: int | None = None,
) -> np.ndarray:
    """Share of each target's variance that ridge regression on the inputs explains.

    Args:
      train: inputs [N, I] and targets [N, O] to fit.
      test: inputs [M, I] and targets [M, O] to predict.
      components: reduce the inputs to this many principal components of the training
        inputs, at most N and at most I.

    Returns:
      R² of each target, [O]: 1 for perfect predictions, 0 for ones as good as the mean
      of the test targets, negative for worse ones; nan where the test targets are
      constant.
    """
    steps = [preprocessing.StandardScaler(), linear_model.Ridge(RIDGE)]
    if components:
        steps.insert(0, decomposition.PCA(components, svd_solver="full"))
    model = pipeline.make_pipeline(*steps).fit(*train)
    inputs, targets = test
    predicted = model.predict(inputs).reshape(targets.shape)
    scores = metrics.r2_score(targets, predicted, multioutput="raw_values")
    return np.where(np.ptp(targets, 0) > 0, scores, np.nan)
