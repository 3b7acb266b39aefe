"""The error that wrappers and sources of environments share."""


class UnusableEnvError(ValueError):
    """An environment that cannot be used; the message says why, in one line."""
