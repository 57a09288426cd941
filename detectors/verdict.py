"""The verdict that too little data is: never a silent pass, never an alarm."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Insufficient:
    """Nothing can be said.

    Attributes:
        reason: what was missing, with the numbers, in plain words.
    """

    reason: str
