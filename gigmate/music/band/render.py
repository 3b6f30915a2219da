"""From a song to its stems: every player's sound in one room, balanced against each other."""

import numpy as np

from gigmate.music.band.chance import stream
from gigmate.music.band.dsp import Sound, add_room, room
from gigmate.music.band.song import PLAYERS, Song
from gigmate.music.band.voice_drums import sound_drums
from gigmate.music.band.voice_keys import sound_keys
from gigmate.music.band.voice_lead import sound_lead
from gigmate.music.band.voice_strings import sound_bass, sound_guitar

PEAK = 0.9
"""Largest absolute value of the mix and of any stem."""

_SOUND = {
    "drums": sound_drums,
    "bass": sound_bass,
    "keys": sound_keys,
    "guitar": sound_guitar,
    "lead": sound_lead,
}
_LEVEL_DB = {"drums": 0.0, "bass": -1.5, "keys": -4.5, "guitar": -4.5, "lead": -4.0}
_WETNESS = {"drums": 0.14, "bass": 0.03, "keys": 0.2, "guitar": 0.16, "lead": 0.25}


def render_song(song: Song, sample_rate: int = 24000) -> dict[str, Sound]:
    """Render every player's stem; their plain sum is the mix.

    Args:
        song: from `compose`.
        sample_rate: Hz, 8000..96000.

    Returns:
        Per player [N] float32 with N = round(duration_s * sample_rate); mix and stems peak at 0.9 or less.

    Raises:
        ValueError: a sample rate out of range.
    """
    if not 8000 <= sample_rate <= 96000:
        raise ValueError(f"sample_rate is {sample_rate}, must be in 8000..96000")
    num_samples = round(song.duration_s * sample_rate)
    mixing = stream(song.seed, "mixing")
    response = room(mixing, float(mixing.uniform(0.25, 0.9)), sample_rate)
    size = float(mixing.uniform(0.3, 1.4))
    stems: dict[str, Sound] = {}
    for player in PLAYERS:
        level_db = _LEVEL_DB[player] + float(mixing.uniform(-2.5, 2.5))
        notes, rng = song.notes[player], stream(song.seed, "sound", player)
        if not notes:
            stems[player] = np.zeros(num_samples, np.float32)
            continue
        dry = _SOUND[player](notes, song.tones[player], rng, num_samples, sample_rate)
        wet = add_room(dry, response, size * _WETNESS[player])
        stems[player] = wet * np.float32(10 ** (level_db / 20) / _active_rms(wet, sample_rate))
    return _under_peak(stems, sample_rate)


def _active_rms(sound: Sound, sample_rate: int) -> float:
    """RMS over the tenths of a second in which there is something to hear."""
    hop = sample_rate // 10
    power = (sound[: len(sound) // hop * hop].reshape(-1, hop) ** 2).mean(1)
    return float(np.sqrt(power[power >= 1e-3 * power.max()].mean()))


def _under_peak(stems: dict[str, Sound], sample_rate: int) -> dict[str, Sound]:
    """One gain for all, so that mix and stems stay under the peak, and a short fade at the very end."""
    mix = np.sum(list(stems.values()), axis=0)
    gain = PEAK / max(float(np.abs(sound).max()) for sound in (mix, *stems.values()))
    fade = np.ones(len(mix), np.float32)
    fade_samples = min(len(mix), sample_rate // 20)
    fade[-fade_samples:] = np.linspace(1.0, 0.0, fade_samples, dtype=np.float32)
    shape = np.asarray(0.999 * gain * fade, np.float32)
    return {player: np.asarray(sound * shape, np.float32) for player, sound in stems.items()}
