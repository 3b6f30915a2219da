"""The signal processing that the band's instruments share; all of it vectorised."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import butter, lfilter, oaconvolve, sosfilt

from gigmate.music.band.song import Note

Sound = NDArray[np.float32]
"""[N] float32: mono audio."""

_BLOCK = 256
_TOP = 0.45
"""Share of the sample rate up to which there is sound: nothing is made or filtered closer to the Nyquist frequency."""


def pitch_hz(pitch: ArrayLike) -> NDArray[np.float64]:
    """Frequency of MIDI pitches."""
    return 440.0 * 2.0 ** ((np.asarray(pitch, np.float64) - 69.0) / 12.0)


def partials(
    freqs_hz: ArrayLike,
    decays_per_s: ArrayLike,
    levels: ArrayLike,
    num_samples: int,
    sample_rate: int,
    phases: ArrayLike = 0.0,
) -> Sound:
    """Sum of decaying sines: sum_p levels_p exp(-decays_p t) sin(2 pi freqs_p t + phases_p).

    exp(z (a + b)) = exp(z a) exp(z b): with t cut into blocks the sum over partials is one small matrix product, some
    hundred times faster than a sine per sample and partial. Partials above `_TOP` of the sample rate are left out.
    The product is einsum's and not BLAS's `@`, whose last bits depend on the number of threads.
    """
    freqs, decays, levels, phases = np.broadcast_arrays(
        *(np.asarray(x, np.float64).ravel() for x in (freqs_hz, decays_per_s, levels, phases))
    )
    kept = freqs < _TOP * sample_rate
    exponents = (2j * np.pi * freqs[kept] - decays[kept]) / sample_rate
    starts = np.arange(0, num_samples, _BLOCK)
    outer = np.exp(np.multiply.outer(starts, exponents)) * (levels[kept] * np.exp(1j * phases[kept]))
    inner = np.exp(np.multiply.outer(exponents, np.arange(_BLOCK)))
    left = np.hstack([np.imag(outer), np.real(outer)]).astype(np.float32)
    right = np.vstack([np.real(inner), np.imag(inner)]).astype(np.float32)
    return np.einsum("ap,pb->ab", left, right).ravel()[:num_samples]


def sweep(start_hz: float, end_hz: float, tau_s: float, num_samples: int, sample_rate: int) -> NDArray[np.float64]:
    """Phase in radians of a tone that falls exponentially from one frequency to another."""
    t = np.arange(num_samples) / sample_rate
    return 2 * np.pi * (end_hz * t + (start_hz - end_hz) * tau_s * (1 - np.exp(-t / tau_s)))


def decay(tau_s: float, num_samples: int, sample_rate: int) -> NDArray[np.float64]:
    """Envelope exp(-t / tau)."""
    return np.exp(-np.arange(num_samples) / (tau_s * sample_rate))


def attack(sound: NDArray[np.floating], seconds: float, sample_rate: int) -> Sound:
    """The sound, faded in over `seconds`."""
    num = min(len(sound), int(seconds * sample_rate))
    faded = sound.astype(np.float32)
    faded[:num] *= np.linspace(0.0, 1.0, num, endpoint=False, dtype=np.float32)
    return faded


def band(sound: ArrayLike, sample_rate: int, low_hz: float = 0.0, high_hz: float = 0.0, order: int = 2) -> Sound:
    """The part of a sound above `low_hz` and below `high_hz`; 0 leaves that side open.

    At low sample rates an upper edge past the top of the spectrum is left out, and a lower one stays just under it, so
    that a cymbal is thin there instead of silent.
    """
    top_hz = _TOP * sample_rate
    low_hz, high_hz = min(low_hz, top_hz), high_hz if high_hz < top_hz else 0.0
    filtered = sound
    for edge_hz, kind in ((low_hz, "highpass"), (high_hz, "lowpass")):
        if edge_hz > 0.0:
            filtered = sosfilt(butter(order, edge_hz, kind, fs=sample_rate, output="sos"), filtered)
    return np.asarray(filtered, np.float32)


def saturate(sound: Sound, drive: float) -> Sound:
    """Soft clipping: the louder, the more; levels far below 1 / drive pass unchanged."""
    return np.asarray(np.tanh(sound * np.float32(drive)) / np.float32(drive), np.float32)


def smooth(values: NDArray[np.floating], tau_s: float, sample_rate: int) -> NDArray[np.float64]:
    """A curve that follows `values` with a lag of `tau_s`, starting at its first value."""
    keep = float(np.exp(-1.0 / (tau_s * sample_rate)))
    return np.asarray(lfilter([1 - keep], [1.0, -keep], values - values[0])) + values[0]


def room(rng: np.random.Generator, rt60_s: float, sample_rate: int) -> Sound:
    """Impulse response of a room without its direct sound: decaying noise after 8 ms, energy 1."""
    num = int(rt60_s * sample_rate)
    noise = rng.standard_normal(num) * decay(rt60_s / 6.9, num, sample_rate)
    tail = band(noise, sample_rate, 180.0, 5500.0, order=1)
    tail /= np.sqrt((tail**2).sum())
    return np.concatenate([np.zeros(int(0.008 * sample_rate), np.float32), tail])


def add_room(sound: Sound, response: Sound, wetness: float) -> Sound:
    """The sound with its echo in a room, as long as before."""
    wet = oaconvolve(sound, response)[: len(sound)]
    return (sound + np.float32(wetness) * wet).astype(np.float32)


def place_notes(
    notes: Sequence[Note],
    sound_of: Callable[[int, int, int, int], Sound],
    num_samples: int,
    sample_rate: int,
    release_s: float,
    num_variants: int = 1,
) -> Sound:
    """Put notes on a track; a sound is made once per pitch, loudness and variant, and cut to each note's length.

    Args:
        notes: what to play.
        sound_of: (pitch, layer, variant, samples) -> sound; layer 0 soft, 1 medium, 2 loud.
        num_samples: length of the track.
        sample_rate: Hz.
        release_s: how long a note fades after it ends.
        num_variants: sounds to take turns with, so that repeated notes differ.
    """
    release = max(int(release_s * sample_rate), 1)
    fade = np.exp(-5.0 * np.arange(release) / release).astype(np.float32)
    keys = [(n.pitch, (n.velocity > 62) + (n.velocity > 92), i % num_variants) for i, n in enumerate(notes)]
    held = [int(note.duration_s * sample_rate) for note in notes]
    longest: dict[tuple[int, int, int], int] = {}
    for key, samples in zip(keys, held, strict=True):
        longest[key] = max(longest.get(key, 0), samples)
    sounds = {key: sound_of(*key, samples + release) for key, samples in longest.items()}
    track = np.zeros(num_samples, np.float32)
    for note, key, samples in zip(notes, keys, held, strict=True):
        start = round(note.onset_s * sample_rate)
        cut = sounds[key][: min(samples + release, num_samples - start)] * np.float32((note.velocity / 100) ** 1.6)
        cut[samples:] *= fade[: max(len(cut) - samples, 0)]
        track[start : start + len(cut)] += cut
    return track
