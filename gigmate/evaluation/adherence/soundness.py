"""Is it music at all? Level, silence, clipping, density, repetition, drift; adherence counts where these are sane."""

from collections.abc import Mapping

import numpy as np

from gigmate.audio import loudness_db
from gigmate.evaluation.adherence.part import Part
from gigmate.evaluation.adherence.rhythm import bar_matrix
from gigmate.evaluation.joint import beat_offset_s
from gigmate.music.grid import BeatGrid

_BLOCK_S = 0.1
_SILENT_DB = -50.0  # against the piece's own loudest block, or full scale if that is softer still
_CLIPPED = 0.999
_MAX_LAG_BARS = 4
_MAX_LOUDNESS_DB, _MAX_RATIO, _FREE_SILENCE = 6.0, 2.0, 0.1
_EDGE_S = 12.0


def loudness(part: Part) -> float:
    """RMS level in dBFS, not below -100."""
    return max(-100.0, loudness_db(part.wave[None]))


def silence_share(part: Part) -> float:
    """Share of tenths of a second 50 dB below the loudest one, or below -80 dBFS."""
    size = round(_BLOCK_S * part.sample_rate)
    blocks = part.wave[: len(part.wave) // size * size].reshape(-1, size)
    level_db = 10 * np.log10(np.square(blocks).mean(axis=1) + 1e-12)
    return float((level_db < max(level_db.max() + _SILENT_DB, -80.0)).mean())


def clipping_share(part: Part) -> float:
    """Share of samples at full scale or above."""
    return float((np.abs(part.wave) >= _CLIPPED).mean())


def density(part: Part) -> float:
    """Onsets per second."""
    return len(part.onset_times_s) * part.sample_rate / max(len(part.wave), 1)


def repetition(part: Part, grid: BeatGrid) -> float:
    """How much bars are like those 1 to 4 before: the largest mean correlation of their onset patterns; 1 is a loop.

    Fewer than two whole bars: nan.
    """
    bars = bar_matrix(part, grid)
    if len(bars) < 2:
        return float("nan")
    bars = (bars - bars.mean(axis=2, keepdims=True)).reshape(len(bars), -1)
    norms = np.linalg.norm(bars, axis=1)
    found = []
    for lag in range(1, min(_MAX_LAG_BARS, len(bars) - 1) + 1):
        products = (bars[lag:] * bars[:-lag]).sum(axis=1) / np.maximum(norms[lag:] * norms[:-lag], 1e-9)
        found.append(float(products.mean()))
    return max(found)


def drift(part: Part, true: Part | None, grid: BeatGrid) -> dict[str, float]:
    """Over a long piece: the largest change of level per minute against the true stem's, and of the beat's phase
    (which an eighth of a beat is the most that can be seen).

    Returns:
        `level_drift_db` (nan without a true stem) and `phase_drift_ms`, between the first and the last 12 s.
    """
    minute = 60 * part.sample_rate
    starts = range(0, len(part.wave) - minute // 2, minute)
    own, wanted = (
        np.array([loudness_db(p.wave[None, s : s + minute]) for s in starts]) if p is not None else None
        for p in (part, true)
    )
    level = float("nan")
    if own is not None and wanted is not None:
        off = own - wanted
        level = float(np.abs(off - off[0]).max())
    last_s = len(part.wave) / part.sample_rate - _EDGE_S
    offsets = [beat_offset_s(part.wave, grid, at_s, part.sample_rate) for at_s in (0.0, max(0.0, last_s))]
    return {"level_drift_db": level, "phase_drift_ms": 1e3 * (offsets[1] - offsets[0])}


def is_sane(own: Mapping[str, float], true: Mapping[str, float]) -> bool:
    """Whether loudness lies within 6 dB of the true stem's, density and share of silence within a factor of two.

    A share of silence may also be .1 more or less: twice next to nothing is next to nothing.
    """
    ratio = (own["density"] + 0.05) / (true["density"] + 0.05)
    silences = own["silence"], true["silence"]
    is_as_silent = abs(silences[0] - silences[1]) <= _FREE_SILENCE or (
        max(silences) <= _MAX_RATIO * min(silences) and max(silences) < 1
    )
    return (
        abs(own["loudness_db"] - true["loudness_db"]) <= _MAX_LOUDNESS_DB
        and 1 / _MAX_RATIO <= ratio <= _MAX_RATIO
        and is_as_silent
    )
