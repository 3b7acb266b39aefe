"""PlaNet: latent planning from pixels, on TensorFlow 2."""

import os

# Keras would take the backend of another project from the environment, or from its
# file of settings.
os.environ["KERAS_BACKEND"] = "tensorflow"

__version__ = "1.0.0"
