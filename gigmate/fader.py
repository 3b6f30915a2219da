"""The fader: what a sound engineer's hand does with a player who is too soft or too loud for the band.

    stem ── power of frames that sound ── slow mean ── usual level - mean, 6 dB at most ─┐
    mix ── `MannerEar` ── louder or softer than usual, 9 dB at most ─────────────────────┴──> gain of each sample

Causal and slow, and the same live as offline: it knows no more of a frame than that frame and those before it. What is
wanted of who plays ahead of a song is one level for all of it, though (`Accompanist.wanted_db`). A player's usual level
is known, so the mean begins there, and what is heard moves it from there (a mean with a prior).
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gigmate.codec.base import CodecSpec

Mono = NDArray[np.float32]

USUAL_STEM_DB = {"drums": -19.3, "bass": -21.0, "keys": -25.4, "guitar": -26.5, "lead": -25.7}
"""Level of the frames that sound, in dB of full scale, to a song that is heard at `HEARD_DB`: medians of 47 practice
songs a player. Who isn't here has no usual level, and no fader.
"""

MAX_GAIN_DB = 6.0
"""Either way, beside what the song wants; further off, something else is wrong."""

_GATE_DB = -70.0  # what is softer is no sound
_PRIOR_S, _MEMORY_S = 2.0, 10.0  # of sound: what the usual level is worth at the beginning, and what is remembered


class Fader:
    """The hand on one player's fader, frame by frame.

    Args:
        spec: of the codec whose stream is played.
        instrument: one of `INSTRUMENTS`.
        louder_db: than usual.
    """

    def __init__(self, spec: CodecSpec, instrument: str, louder_db: float = 0.0) -> None:
        self._hop, self._gain = spec.hop, 1.0
        self._num_before = spec.latency_samples
        self._prior, self._memory = (seconds * float(spec.frame_rate) for seconds in (_PRIOR_S, _MEMORY_S))
        self._rise = np.arange(1, spec.hop + 1) / spec.hop
        self.take_up(instrument, louder_db)

    def take_up(self, instrument: str, louder_db: float = 0.0) -> None:
        """Another player from the next frame on: nothing is known of how loud it plays; the gain goes over to it."""
        usual_db = USUAL_STEM_DB.get(instrument)
        self._wanted = None if usual_db is None else 10 ** ((usual_db + louder_db) / 10)
        self._power, self._weight = self._wanted, self._prior

    def ride(self, stem: Mono, louder_db: ArrayLike = 0.0) -> Mono:
        """The gain of each sample.

        Args:
            stem: [n * hop] float32, the stream's next frames, at the level at which the model hears its song. The
                stream's first `latency_samples` lie before the stem, and aren't heard.
            louder_db: [n], or one for all: how much louder the song wants each of these frames (`MannerEar`).

        Returns:
            [n * hop] float32: a straight line in every frame, from where the last one ended.

        Raises:
            ValueError: no whole number of frames.
        """
        if stem.ndim != 1 or len(stem) % self._hop:
            raise ValueError(f"the stem is {stem.shape}, but whole frames of {self._hop} samples are needed")
        louder = 10 ** (np.broadcast_to(np.asarray(louder_db, np.float64), (len(stem) // self._hop,)) / 10)
        heard = stem.reshape(-1, self._hop).astype(np.float64)
        if self._num_before:
            heard.reshape(-1)[: self._num_before] = 0.0
            self._num_before = max(0, self._num_before - len(stem))
        gains = [self._gain]
        powers = np.einsum("fn,fn->f", heard, heard) / self._hop
        for power, factor in zip(powers.tolist(), louder.tolist(), strict=True):
            gains.append(self._hear(power, factor))
        ends = np.array(gains)[:, None]
        return (ends[:-1] + (ends[1:] - ends[:-1]) * self._rise).astype(np.float32).reshape(-1)

    def _hear(self, power: float, louder: float) -> float:
        """The gain at the end of a frame of that mean power, where so much times the usual power is wanted."""
        if self._wanted is None or self._power is None:
            self._gain = 1.0
        elif 10 ** (_GATE_DB / 10) < power < math.inf:  # false for nan too
            self._weight = min(self._weight + 1, self._memory)
            self._power += (power - self._power) / self._weight
            most = 10 ** (MAX_GAIN_DB / 20)
            self._gain = math.sqrt(louder) * min(max(math.sqrt(self._wanted / self._power), 1 / most), most)
        return self._gain


def ride(stem: Mono, spec: CodecSpec, instrument: str, louder_db: float = 0.0, wanted_db: Mono | None = None) -> Mono:
    """The gains [N] for a whole stem [N] as a live stream of it gets them: its frames are those of the stream, late.

    Args:
        stem: [N] float32.
        spec: of its codec.
        instrument: who plays.
        louder_db: than usual, throughout.
        wanted_db: [T], how much louder the song wants each frame; from there on as the last. None: as usual.
    """
    late = spec.latency_samples
    padded = np.pad(stem, (late, -(late + len(stem)) % spec.hop))
    num_frames = len(padded) // spec.hop
    wanted_db = np.zeros(1, np.float32) if wanted_db is None else wanted_db
    wanted_db = np.pad(wanted_db[:num_frames], (0, max(0, num_frames - len(wanted_db))), mode="edge")
    return Fader(spec, instrument, louder_db).ride(padded, wanted_db)[late:][: len(stem)]


def extremes_db(gains: Mono) -> list[float]:
    """The smallest and the largest of the gains [N > 0], in dB."""
    return [round(20 * math.log10(gain), 2) for gain in (float(gains.min()), float(gains.max()))]
