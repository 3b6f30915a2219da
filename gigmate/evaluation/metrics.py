"""How much alike two waves are: timbre, waveform, onsets, pitch classes.

All take mono waves [N] float32 at one sample rate, the true one first.
"""

import mir_eval
import numpy as np
import torch
import torchaudio
from numpy.typing import NDArray
from scipy.signal import find_peaks
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from gigmate.music.onsets import analyse

Mono = NDArray[np.float32]

_MEL_WINDOW, _MEL_BANDS, _MEL_FLOOR = 1024, 80, 1e-2
_ONSET_TOLERANCE_S = 0.05
_CHROMA_WINDOW_S = 0.34


def log_mel_distance(true: Mono, made: Mono, sample_rate: int) -> float:
    """Mean absolute difference of log-mel magnitudes, in nats: 0 is equal, above 1 another sound.

    80 bands, window of 1,024 samples; .01 is added to the magnitudes of the unscaled spectrum (about -88 dBFS for
    a sine), so that silence doesn't decide.
    """
    transform = torchaudio.transforms.MelSpectrogram(
        sample_rate, n_fft=_MEL_WINDOW, hop_length=_MEL_WINDOW // 4, n_mels=_MEL_BANDS, power=1.0
    )
    a, b = (torch.log(transform(torch.from_numpy(x)) + _MEL_FLOOR) for x in (true, made))
    return float((a - b).abs().mean())


def si_sdr_db(true: Mono, made: Mono) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Source: Le Roux et al. 2019, via torchmetrics)."""
    return float(scale_invariant_signal_distortion_ratio(torch.from_numpy(made), torch.from_numpy(true)))


def onset_times_s(wave: Mono, sample_rate: int) -> NDArray[np.float64]:
    """When something starts, in seconds: peaks of the onset strength above a share of the loud ones."""
    onsets = analyse(wave, sample_rate)
    if not onsets.strength.any():
        return np.zeros(0)
    height = 0.1 * float(np.quantile(onsets.strength[onsets.strength > 0], 0.98))
    peaks, _ = find_peaks(onsets.strength, height=height, distance=max(1, int(0.05 * onsets.frame_rate)))
    return peaks / onsets.frame_rate


def onset_f1(true: Mono, made: Mono, sample_rate: int) -> float:
    """F1 of the onsets within 50 ms (mir_eval); 1 if neither wave has any."""
    reference, estimate = onset_times_s(true, sample_rate), onset_times_s(made, sample_rate)
    if not len(reference) or not len(estimate):
        return float(len(reference) == len(estimate))
    return float(mir_eval.onset.f_measure(reference, estimate, window=_ONSET_TOLERANCE_S)[0])


def chroma(wave: Mono, sample_rate: int) -> NDArray[np.float32]:
    """[12, T] at 20 frames/s, C first: power per pitch class between 55 Hz and 2 kHz.

    The window is a third of a second, long enough to tell semitones apart from 65 Hz on; every bin goes to its nearest
    semitone.
    """
    window = round(_CHROMA_WINDOW_S * sample_rate)
    padded = torch.nn.functional.pad(torch.from_numpy(np.ascontiguousarray(wave)), (window // 2, window // 2))
    frames = padded.unfold(0, window, sample_rate // 20) * torch.hann_window(window)
    power = torch.fft.rfft(frames).abs().square().numpy()
    hz = np.arange(power.shape[1]) * sample_rate / window
    used = (hz >= 55) & (hz <= 2_000)
    classes = np.round(12 * np.log2(hz[used] / 440.0)).astype(int) + 9  # A is 9
    folded = np.zeros((12, len(power)), np.float32)
    np.add.at(folded, classes % 12, power[:, used].T)
    return folded


def chroma_correlation(true: Mono, made: Mono, sample_rate: int) -> float:
    """Pearson's r of the chroma, each frame scaled to unit length, over the frames where the true wave sounds.

    nan if the true wave is silent throughout.
    """
    a, b = chroma(true, sample_rate), chroma(made, sample_rate)
    norm_a, norm_b = np.linalg.norm(a, axis=0), np.linalg.norm(b, axis=0)
    sounds = norm_a > 1e-3 * norm_a.max() + 1e-6
    if not sounds.any():
        return float("nan")
    a, b = a[:, sounds] / norm_a[sounds], b[:, sounds] / (norm_b[sounds] + 1e-8)
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1]) if b.std() > 0 else 0.0
