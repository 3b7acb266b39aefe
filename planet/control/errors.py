"""The errors that wrappers and sources of environments share."""


class UnusableEnvError(ValueError):
    """An environment that cannot be used; the message says why, in one line."""


class BrokenPromiseError(ValueError):
    """A value that is not what was promised; the message says which, in one line."""
