"""Broken versions of the real code."""


def apply(name: str) -> None:
    """Break this process's stage 1."""
    if name:
        raise ValueError(name)
