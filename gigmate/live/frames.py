"""What passes between a session and the engine: how a slot plays, and what one call for a frame is made from.

numpy alone, so that sessions, their tests and the replay need no model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gigmate.errors import GigmateError, UsageError


class SlotsFull(GigmateError):  # noqa: N818 (a state that is told, not a fault)
    """Every slot of the engine is taken."""

    exit_code = 5


@dataclass(frozen=True, kw_only=True)
class EngineFacts:
    """What sessions must know of an engine.

    Args:
        capacity: slots.
        sample_rate: Hz of the codec.
        hop: samples a frame.
        max_delay: calls that return None before the first frame comes.
        latency_samples: by how much waves lag their frames: the wave that comes with frame c begins at sample
            c * hop - latency_samples of the stem. What lies before sample 0 is to be dropped.
        num_codebooks: K.
        beat_features: G.
        min_lookahead_frames: the least L that was trained.
        max_lookahead_frames: the largest one; live it is below 0 whatever this says.
        instruments: what can be played.
    """

    capacity: int
    sample_rate: int
    hop: int
    max_delay: int
    latency_samples: int
    num_codebooks: int
    beat_features: int
    min_lookahead_frames: int
    max_lookahead_frames: int
    instruments: tuple[str, ...]

    def is_live(self, lookahead_frames: int) -> bool:
        """Whether the model can play live with that L."""
        return self.min_lookahead_frames <= lookahead_frames < 0


@dataclass(frozen=True)
class SlotSettings:
    """How a slot plays. All but the seed may change while it does.

    Args:
        instrument: one of `INSTRUMENTS`.
        lookahead_frames: L, negative: the frame that is made is -L frames beyond the newest that was heard.
        seed: same seed, same requests, same stem; it counts when a slot is opened.
        temperature: 0 always takes the likeliest code.
        top_k: how many of the likeliest codes are drawn from.
        guidance: scale by which the conditions count; 1 is as trained.
        density: -1..1, how much is played: -1 asks for half as many notes as are usual and makes silence likelier, 1
            for twice as many.
    """

    instrument: str
    lookahead_frames: int
    seed: int
    temperature: float = 1.0
    top_k: int = 100
    guidance: float = 2.0
    density: float = 0.0

    def check(self, facts: EngineFacts) -> None:
        """Refuse what the engine can't play.

        Raises:
            UsageError: an instrument or lookahead that the model doesn't know.
            ValueError: a density out of range.
        """
        if self.instrument not in facts.instruments:
            what = f"no instrument {self.instrument!r}"
            raise UsageError("instrument", what, "instrument", f"choose one of {', '.join(facts.instruments)}")
        if not facts.is_live(self.lookahead_frames):
            low = facts.min_lookahead_frames
            what = f"lookahead of {self.lookahead_frames} frames, but live this checkpoint plays with {low}..-1"
            raise UsageError("lookahead", what, "lookahead", "choose a value in that range")
        if not -1.0 <= self.density <= 1.0:
            raise ValueError(f"density is {self.density}, but must lie in -1..1")


@dataclass(frozen=True, kw_only=True)
class FrameRequest:
    """One call of `FrameEngine.step` for one slot.

    Call n (from 0) completes stem frame c = n - max_delay of the slot. Every mix frame is given once, in order, with
    the first call that is to hear it; a call hears the newest frame that has been given. The honest L of a call is the
    number of that frame less c.

    Args:
        mix: [n * hop] float32, the n mix frames that are new (one, as a rule; several after calls were held back), mono
            at the codec's rate and at the level `HEARD_DB`; None: none is new (the opening burst, or catching up).
        beats: [G] float32, features of the grid at frame n; zeros where there is no grid.
        lookahead_frames: L of this call.
        is_laid_out: what this call writes is silence; frames are silent after max_delay + 1 such calls.
        hears_mix: False for a solo: the mix counts as unheard (what is given is kept for later calls).
    """

    mix: NDArray[np.float32] | None
    beats: NDArray[np.float32]
    lookahead_frames: int
    is_laid_out: bool = False
    hears_mix: bool = True

    def check(self, facts: EngineFacts) -> None:
        """Refuse what makes no sense.

        Raises:
            ValueError: shapes, numbers that aren't finite, a lookahead that the model doesn't know.
        """
        mix, hop = self.mix, facts.hop
        if mix is not None and (mix.ndim != 1 or mix.size == 0 or mix.size % hop or not np.isfinite(mix).all()):
            raise ValueError(f"the mix is {mix.shape}, but whole frames of {hop} finite samples are needed")
        if self.beats.shape != (facts.beat_features,) or not np.isfinite(self.beats).all():
            raise ValueError(f"beats are {self.beats}, but {facts.beat_features} finite numbers are needed")
        if not facts.is_live(self.lookahead_frames):
            low = facts.min_lookahead_frames
            raise ValueError(f"lookahead_frames is {self.lookahead_frames}, but must lie in {low}..-1")


class FrameEngine(Protocol):
    """Plays for several sessions at once, a frame a call; `gigmate.live.engine.Engine`, or a fake in tests."""

    @property
    def facts(self) -> EngineFacts:
        """What sessions must know."""
        ...

    def open(self, settings: SlotSettings) -> int:
        """Take a free slot, as new; its number.

        Raises:
            SlotsFull: there is none.
            UsageError: settings that the model doesn't know.
        """
        ...

    def close(self, slot: int) -> None:
        """Free a slot."""
        ...

    def set(self, slot: int, settings: SlotSettings) -> None:
        """Play on in another way; the seed counts for nothing.

        Raises:
            UsageError: settings that the model doesn't know.
        """
        ...

    def step(self, requests: Mapping[int, FrameRequest]) -> dict[int, NDArray[np.float32] | None]:
        """One call for each of these slots, as one batch; the others stay to the last bit as they are.

        Returns:
            By slot the wave [hop] that comes with frame c, None while c < 0.
        """
        ...

    def codes(self, slot: int) -> NDArray[np.int64] | None:
        """Codes [K] of the frame that the slot's last call completed; None if none was."""
        ...
