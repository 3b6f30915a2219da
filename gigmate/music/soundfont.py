"""MIDI to stems with a SoundFont: one track at a time, in a child process that is killed when it hangs."""

import logging
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from symusic.core import ScoreTick, TrackTick, TrackTickList

from gigmate.errors import InputError
from gigmate.music import fluidsynth
from gigmate.music.controllers import count_bends, gain_curve
from gigmate.music.instruments import instrument_of
from gigmate.music.synthesizer import SynthesizerProcess

logger = logging.getLogger(__name__)

Bends = Literal["count", "fluidsynth"]
"""What to do about pitch bends, which the built-in synthesizer ignores: count and log, or render with FluidSynth."""

PEAK = 0.9
"""Largest sample of the mix and of every stem."""


class SoundFontRenderer:
    """A SoundFont ready to render many scores; a context manager around its child process.

    Args:
        path: .sf2 or .sf3 file.
        sample_rate: Hz of the stems.
        quality: interpolation, 0 (fast) to 4 (fine).
        track_limit_s: a track that takes longer is given up: the synthesizer of symusic hangs on some files.

    Raises:
        InputError: io_error, the SoundFont can't be read.
    """

    def __init__(self, path: str | Path, sample_rate: int, quality: int = 2, track_limit_s: float = 20.0) -> None:
        if not Path(path).is_file():
            raise InputError("io_error", "no such SoundFont", path, "pass an .sf2 or .sf3 file")
        self._path, self._sample_rate, self._track_limit_s = path, sample_rate, track_limit_s
        self._synthesizer = SynthesizerProcess(path, sample_rate, quality, track_limit_s)

    def __enter__(self) -> "SoundFontRenderer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the child process; the next render starts another."""
        self._synthesizer.close()

    def render(self, score: ScoreTick, bends: Bends = "count") -> dict[str, NDArray[np.float32]]:
        """Stems [N] of equal length by instrument, those of `INSTRUMENTS` that have notes; mix and stems peak at .9.

        Volume (CC7) and expression (CC11) are applied here, as the synthesizer ignores them.

        Raises:
            InputError: render_timeout or render_failed, with the track; midi_empty.
            MachineError: FluidSynth is asked for and absent.
        """
        num_bends = sum(count_bends(track) for track in score.tracks)
        if num_bends and bends == "count":
            logger.warning("%d pitch bends are not rendered (bends=fluidsynth would)", num_bends)
        stems: dict[str, NDArray[np.float32]] = {}
        for track in score.tracks:
            if len(track.notes):
                instrument = instrument_of(track.program, track.is_drum)
                part = self._render_track(score, track, bends)
                stems[instrument] = _sum_of(stems.get(instrument), part)
        return _levelled(stems)

    def _render_track(self, score: ScoreTick, track: TrackTick, bends: Bends) -> NDArray[np.float32]:
        solo = score.copy()
        solo.tracks = TrackTickList([track])
        if bends == "fluidsynth":  # all tracks: its level isn't that of the built-in synthesizer
            return fluidsynth.render(solo.dumps_midi(), self._path, self._sample_rate, self._track_limit_s)
        samples = self._synthesizer.render(solo.dumps_midi(), track.name)
        return samples * gain_curve(score, track, len(samples), self._sample_rate)


def render_midi(
    score: ScoreTick, soundfont_path: str | Path, sample_rate: int, bends: Bends = "count"
) -> dict[str, NDArray[np.float32]]:
    """Stems of one score, as `SoundFontRenderer.render`."""
    with SoundFontRenderer(soundfont_path, sample_rate) as renderer:
        return renderer.render(score, bends)


def _sum_of(sum_so_far: NDArray[np.float32] | None, part: NDArray[np.float32]) -> NDArray[np.float32]:
    if sum_so_far is None:
        return part
    longer, shorter = (part, sum_so_far) if len(part) > len(sum_so_far) else (sum_so_far, part)
    total = longer.copy()
    total[: len(shorter)] += shorter
    return total


def _levelled(stems: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Padded to one length, with one common gain.

    Raises:
        InputError: midi_empty.
    """
    length = max((len(stem) for stem in stems.values()), default=0)
    padded = {name: np.pad(stem, (0, length - len(stem))) for name, stem in stems.items()}
    peak = max(float(np.abs(wave).max(initial=0)) for wave in [*padded.values(), np.sum([*padded.values()], axis=0)])
    if peak == 0.0:
        raise InputError("midi_empty", "nothing sounds", "", "pass a file with notes, and a SoundFont that has them")
    return {name: stem * np.float32(PEAK / peak) for name, stem in padded.items()}
