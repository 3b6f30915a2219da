"""How well a continuation joins: level, spectrum and beat phase on both sides of the joint.

All take a mono wave [N] float32 and the sample at which the continuation begins. What a change means is only told by
an anchor: the same figure of the true song, whose "joint" is just a moment in it.
"""

import numpy as np
import torch
import torchaudio

from gigmate.evaluation.metrics import Mono
from gigmate.music.grid import BeatGrid
from gigmate.music.onsets import analyse

_SIDE_S = 1.0
_SPECTRUM_S = 0.25
_PHASE_S = 8.0
_MAX_SHIFT_BEATS = 0.25


def level_jump_db(wave: Mono, joint: int, sample_rate: int) -> float:
    """Level of the second after the joint over that of the second before, in dB."""
    side = round(_SIDE_S * sample_rate)
    before, after = wave[max(0, joint - side) : joint], wave[joint : joint + side]
    rms_before, rms_after = (float(np.sqrt(np.mean(np.square(x)) + 1e-10)) for x in (before, after))
    return 20 * float(np.log10(rms_after / rms_before))


def spectral_jump(wave: Mono, joint: int, sample_rate: int) -> float:
    """Mean absolute difference of log-mel levels of the quarter seconds before and after the joint, in nats.

    Level apart: each side is scaled to unit energy.
    """
    side = round(_SPECTRUM_S * sample_rate)
    transform = torchaudio.transforms.MelSpectrogram(sample_rate, n_fft=1024, hop_length=256, n_mels=64, power=2.0)
    levels = []
    for part in (wave[max(0, joint - side) : joint], wave[joint : joint + side]):
        power = transform(torch.from_numpy(np.ascontiguousarray(part))).mean(dim=-1)
        levels.append(torch.log(power / (power.sum() + 1e-10) + 1e-5))
    return float((levels[0] - levels[1]).abs().mean())


def beat_offset_s(wave: Mono, grid: BeatGrid, start_s: float, sample_rate: int) -> float:
    """By how much the onsets of the eight seconds after `start_s` come after the eighths of the grid, at best match.

    Searched within a quarter of a beat around the grid; the grid runs on past its end.
    """
    onsets = analyse(wave, sample_rate)
    period_s = 60.0 / float(grid.tempo_bpm(start_s))
    first = np.ceil(2 * float(grid.beat_phase(start_s)))
    num_eighths = int(2 * _PHASE_S / period_s)
    eighths = (first + np.arange(num_eighths)) / 2
    scan_s = start_s - period_s + np.arange(0, _PHASE_S + 3 * period_s, 0.005)
    times_s = np.interp(eighths, grid.beat_phase(scan_s), scan_s)
    shifts_s = np.arange(-_MAX_SHIFT_BEATS / 2 * period_s, _MAX_SHIFT_BEATS / 2 * period_s, 0.002)
    clock_s = np.arange(len(onsets.strength)) / onsets.frame_rate
    score = [float(np.interp(times_s + shift, clock_s, onsets.strength, left=0, right=0).sum()) for shift in shifts_s]
    return float(shifts_s[int(np.argmax(score))])


def phase_step_s(wave: Mono, joint: int, grid: BeatGrid, sample_rate: int) -> float:
    """Beat offset after the joint less that before it, in seconds: 0 keeps the beat."""
    joint_s = joint / sample_rate
    before = beat_offset_s(wave, grid, max(0.0, joint_s - _PHASE_S), sample_rate)
    return beat_offset_s(wave, grid, joint_s, sample_rate) - before
