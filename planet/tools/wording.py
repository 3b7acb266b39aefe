"""Small words in messages for people."""


def count(amount: int, noun: str) -> str:
    """A number of things whose plural ends with s, such as `1 run` or `1,200 runs`."""
    return f"{amount:,} {noun}{'' if amount == 1 else 's'}"
