"""A live session without its network: a frame of the mix goes in, a frame of the stem comes out.

LiveSession.push_audio ─ tracker, level ─ FrameRequest ─ Engine.step: hear, model, notes, draw, decode ─ take
"""

from collections.abc import Sequence

import numpy as np

from gigmate.accompanist import Accompanist
from gigmate.live.engine import Engine
from gigmate.live.session import LiveSession
from gigmate.live.settings import SessionSettings
from gigmate.live.stem_out import StemAudio
from gigmate.music.band import compose, render_song

RATE = 48_000
"""Hz of most clients."""
_SEED, _SECONDS, _LOOKAHEAD_MS = 4_000_001, 30.0, -200.0


class LiveFrames:
    """One session alone on its engine; it hears the practice band, again and again, and finds the beat itself.

    All but the instrument and a lookahead that stays is as a client gets it that asks for nothing.

    Args:
        player: model and codec.
        instrument: what is played.
    """

    def __init__(self, player: Accompanist, instrument: str) -> None:
        settings = SessionSettings(RATE, is_pcm16=False, instrument=instrument, lookahead_ms=_LOOKAHEAD_MS)
        self._engine, self._now_s, self._num_frames = Engine(player, 1), 0.0, 0
        self._session = LiveSession(settings, self._engine.facts, lambda: self._now_s)
        self._slot = self._engine.open(self._session.slot_settings)
        band = render_song(compose(_SEED, _SECONDS), RATE)
        self._song = np.sum(list(band.values()), axis=0, dtype=np.float32)

    def __call__(self) -> Sequence[StemAudio]:
        """The next frame; what is to be sent."""
        session, engine = self._session, self._engine
        size, first = session.frames.frame_samples, session.frames.sample_of(self._num_frames)
        self._now_s += session.frames.frame_s
        part = self._song.take(np.arange(first, first + size), mode="wrap")
        session.push_audio(self._num_frames, first, part)
        session.review()
        while (request := session.next_request()) is not None:
            wave = engine.step({self._slot: request})[self._slot]
            session.take(wave, engine.codes(self._slot))
        self._num_frames += 1
        return session.outgoing()
