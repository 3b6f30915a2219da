"""What a player has played before its song begins: a past that is never heard.

A model that begins from nothing begins softly, takes its own softness for the manner of the piece, and stays soft or
falls silent (experiments/014_warm_up). With two seconds of a past its level, sound and density are those of that past.
"""

from dataclasses import dataclass

from gigmate.model.conditions import FrameConditions
from gigmate.shapes import Codes


@dataclass(frozen=True, eq=False)
class WarmUp:
    """One player's.

    Args:
        streams: [1, K', T] what the model wrote (`gigmate.model.streams`).
        conditions: one row, what it was made from.
    """

    streams: Codes
    conditions: FrameConditions
