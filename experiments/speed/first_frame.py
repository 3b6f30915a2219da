"""Plays live until the first frame is decoded, then leaves: what `startup` times from outside.

The player warms up as for every session (`Accompanist.warm_up`); then the engine is fed silence.
"""

import numpy as np

from gigmate.accompanist import Accompanist
from gigmate.live.engine import Engine
from gigmate.live.frames import FrameRequest, SlotSettings


def main() -> None:
    """Load, warm up, play."""
    engine = Engine(Accompanist.load(), 1)
    facts = engine.facts
    slot = engine.open(SlotSettings("drums", facts.min_lookahead_frames, 0))
    request = FrameRequest(
        mix=np.zeros(facts.hop, np.float32),
        beats=np.zeros(facts.beat_features, np.float32),
        lookahead_frames=facts.min_lookahead_frames,
    )
    while engine.step({slot: request})[slot] is None:
        pass


if __name__ == "__main__":
    main()
