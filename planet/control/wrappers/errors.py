"""What is wrong with an environment, for its user."""


class UnusableEnvError(ValueError):
    """An environment that cannot be used; the message says why, in one line."""
