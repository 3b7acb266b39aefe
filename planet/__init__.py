"""PlaNet: latent planning from pixels, on TensorFlow 2."""

__version__ = "1.0.0"
