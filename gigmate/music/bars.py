"""Which beats are the beat, and which of them opens the bar: every possible bar of a piece, judged as a whole.

Accents can't tell a beat from its off-beat, nor a tempo from its double. What does is the bar: kick on some beats,
snare on others, cymbals between them, harmony that changes where it opens. A bar of four beats and one of three are
templates, sixteenth by sixteenth, with weights learned from songs with known bars (`experiments/005_live_tracker`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from gigmate.music.bar_weights import WEIGHTS
from gigmate.music.beat_chain import Beats
from gigmate.music.evidence import Evidence
from gigmate.music.tempo import TempoScores

METERS = (4, 3)
PER_BEAT = 4
NUM_BEAT_FEATURES = 33
"""What comes before the templates in a row of `describe`."""

_NUM_ENVELOPES = 4  # low, mid, high, change of chroma
_NEAR_FRAMES = 5  # a start counts for a place if it lies so near: within 20 ms
_PRIOR_BPM = 120.0


class Bars(NamedTuple):
    """Which of the possible beats are the beat, how many are a bar, and which of them opens the first."""

    beats: Beats
    beats_per_bar: int
    first_downbeat: int


def hypotheses(chains: Sequence[Beats]) -> list[Bars]:
    """All bars on these beats, in the order of the rows of `describe`."""
    return [Bars(beats, meter, first) for beats in chains for meter in METERS for first in range(meter)]


def best_bars(evidence: Evidence, tempi: TempoScores, chains: Sequence[Beats]) -> Bars:
    """The bars that the whole piece speaks for most.

    Args:
        evidence: of the piece.
        tempi: of its onsets.
        chains: possible beats, `MIN_BEATS` of them at least; one chain at least.
    """
    return hypotheses(chains)[int((describe(evidence, tempi, chains) @ np.array(WEIGHTS)).argmax())]


def describe(evidence: Evidence, tempi: TempoScores, chains: Sequence[Beats]) -> NDArray[np.float64]:
    """What speaks for each of the `hypotheses` [H, len(WEIGHTS)].

    Of the beats: how strong the envelopes are at each quarter of them; how clearly half a beat, a beat, two beats
    repeat; the tempo; how sure the network is of a beat at each quarter, and of those of a second. Of the meter: how
    alike harmony, low and mid starts are a bar apart; whether it is triple. Of the bar: how sure the network is of a
    downbeat on the first, on the others, and of those of a second; by how much each sixteenth of it is stronger than
    the mean of such places, zero for the other meter.
    """
    envelopes = maximum_filter1d(evidence.envelopes[1:], _NEAR_FRAMES, axis=1)
    envelopes /= envelopes.mean(axis=1, keepdims=True) + 0.05
    curves = np.concatenate([envelopes, maximum_filter1d(evidence.beats, _NEAR_FRAMES, axis=1)])
    return np.concatenate([_rows(evidence, curves, tempi, beats) for beats in chains])


def _rows(evidence: Evidence, curves: NDArray[np.float64], tempi: TempoScores, beats: Beats) -> NDArray[np.float64]:
    """Those of one chain [sum of METERS, len(WEIGHTS)]; curves are the envelopes, beats and downbeats [6, F]."""
    frames = beats[:-1, None] + np.arange(PER_BEAT) / PER_BEAT * np.diff(beats)[:, None]
    places = curves[:, np.clip(np.round(frames).astype(int), 0, curves.shape[1] - 1)]  # [6, beats, places]
    found, is_beat, is_downbeat = places[:_NUM_ENVELOPES], places[-2], places[-1, :, 0]
    per_second = evidence.frame_rate / float(np.median(np.diff(beats)))
    repeats = [np.interp(-evidence.frame_rate / per_second * m, -tempi.periods, tempi.repeats) for m in (0.5, 1.0, 2.0)]
    octaves = np.log2(60.0 * per_second / _PRIOR_BPM)
    sure = is_beat.mean(axis=0)
    tempo = [*repeats, octaves, octaves**2, *sure, sure[0] * per_second]
    of_beats = np.concatenate([np.log1p(found.mean(axis=1)).ravel(), tempo])
    levels = np.log1p(found)
    levels = (levels - levels.mean(axis=1, keepdims=True)).transpose(0, 2, 1)
    heard = (_beat_chroma(evidence.chroma, beats), levels[0], levels[1])
    rows = []
    for meter in METERS:
        of_meter = [*(_alike(cues, meter) for cues in heard), float(meter != METERS[0])]
        bar = _mean_bar(found, meter)
        for first in range(meter):
            own = np.roll(bar, -first, axis=1).ravel()
            templates = [own if m == meter else np.zeros(_NUM_ENVELOPES * m * PER_BEAT) for m in METERS]
            of_bar = _of_bar(is_downbeat, meter, first, per_second)
            rows.append(np.concatenate([of_beats, of_meter, of_bar, *templates]))
    return np.array(rows)


def _of_bar(is_downbeat: NDArray[np.float64], meter: int, first: int, per_second: float) -> list[float]:
    """How sure the network is of downbeats [beats]: on the first of each bar, on the others, of those of a second."""
    is_first = np.arange(len(is_downbeat)) % meter == first
    opens, others = (float(is_downbeat[which].mean()) if which.any() else 0.0 for which in (is_first, ~is_first))
    return [opens, others, opens * per_second / meter]


def _mean_bar(found: NDArray[np.float64], meter: int) -> NDArray[np.float64]:
    """[4, meter, places] of the whole bars that begin with the first beat, less the mean over the beats."""
    num_bars = found.shape[1] // meter
    if num_bars == 0:
        return np.zeros((_NUM_ENVELOPES, meter, PER_BEAT))
    bars = found[:, : num_bars * meter].reshape(_NUM_ENVELOPES, num_bars, meter, PER_BEAT)
    bar = np.log1p(bars.mean(axis=1))
    return bar - bar.mean(axis=1, keepdims=True)


def _beat_chroma(chroma: NDArray[np.float32], beats: Beats) -> NDArray[np.float64]:
    """[12, beats - 1]: what sounds between the beats more than on the whole, at unit length."""
    frames = np.clip(np.round(beats).astype(int), 0, chroma.shape[1] - 1)
    sums = np.pad(np.cumsum(chroma, axis=1, dtype=np.float64), ((0, 0), (1, 0)))
    means = np.diff(sums[:, frames], axis=1) / np.maximum(np.diff(frames), 1)
    means -= means.mean(axis=1, keepdims=True)
    return means / (np.linalg.norm(means, axis=0) + 1e-6)


def _alike(cues: NDArray[np.float64], meter: int) -> float:
    """Correlation of cues [K, beats] a bar apart; 0 where there is no second bar."""
    if cues.shape[1] <= meter:
        return 0.0
    return float((cues[:, meter:] * cues[:, :-meter]).sum(axis=0).mean() / (np.square(cues).sum(axis=0).mean() + 1e-6))
