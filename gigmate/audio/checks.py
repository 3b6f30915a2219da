"""What decoded samples may be: finite and in range; and what is worth a note: silence, clipping, dead channels."""

import numpy as np

from gigmate.errors import InputError

PEAK = 16.0
SILENCE_DB = -80.0
_BLOCK_SAMPLES = 1 << 18


def clean_and_check(wave: np.ndarray) -> tuple[str, ...]:
    """Flush denormals of `wave` [C, N] to zero in place; refuse what is no audio.

    Raises:
        InputError: `non_finite` with channel and index, `out_of_range` above |16|.
    """
    tiny = np.finfo(np.float32).tiny
    flushed = 0
    for start in range(0, wave.shape[1], _BLOCK_SAMPLES):
        block = wave[:, start : start + _BLOCK_SAMPLES]
        level = np.abs(block)
        if not level.max(initial=0) <= PEAK:
            _refuse(block, start)
        denormal = (level < tiny) & (level > 0)
        if denormal.any():
            block[denormal] = 0
            flushed += int(denormal.sum())
    return (f"denormals: {flushed} samples too small to count set to 0",) if flushed else ()


def _refuse(block: np.ndarray, start: int) -> None:
    if (bad := np.argwhere(~np.isfinite(block.T))).size:
        index, channel = bad[0]
        what = f"sample {start + index} of channel {channel} is {block[channel, index]}"
        raise InputError("non_finite", what, remedy="export it again")
    index, channel = np.argwhere(np.abs(block.T) > PEAK)[0]
    what = f"sample {start + index} of channel {channel} is {block[channel, index]:g}, allowed are -16..16"
    raise InputError("out_of_range", what, remedy="scale it to -1..1")


def describe(wave: np.ndarray) -> tuple[str, ...]:
    """Notes `code: explanation` on `wave` [C, N]: silent, clipped, dc, empty_channel, opposed_phase."""
    num_channels, num_samples = wave.shape
    power = np.array([np.dot(channel, channel) for channel in wave], np.float64) / num_samples
    floor = 10 ** (SILENCE_DB / 10)
    if power.max() <= floor:
        return (f"silent: quieter than {SILENCE_DB:g} dB",)
    notes: list[str] = []
    for channel in range(num_channels):
        if power[channel] <= floor:
            notes.append(f"empty_channel: channel {channel} is silent")
            continue
        mean = float(wave[channel].mean(dtype=np.float64))
        if mean**2 > 0.01 * power[channel] and abs(mean) > 1e-3:
            notes.append(f"dc: channel {channel} is off by {mean:.3f}")
        peak = max(float(wave[channel].max()), -float(wave[channel].min()))
        at_peak = float(np.mean(np.abs(wave[channel]) >= peak * 0.999))
        if at_peak > 0.5:
            notes.append(f"clipped: {at_peak:.0%} of channel {channel} at full level")
    if num_channels == 2 and min(power) > floor:
        correlation = float(np.dot(wave[0], wave[1])) / num_samples / float(np.sqrt(power[0] * power[1]))
        if correlation < -0.9:
            notes.append("opposed_phase: the two channels cancel each other out")
    return tuple(notes)
