"""Joining what was played onto what was there: level matched, crossfaded, no gap and no step."""

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]

_FADE_S = 0.04  # long enough to hide a change of timbre, too short to hear two attacks
_LEVEL_S = 1.0
_MAX_GAIN_DB = 6.0


def join(past: Audio, decoded: Audio, start: int, sample_rate: int) -> Audio:
    r"""Go over from the past to its decoded copy within the last 40 ms of the past, and on with what follows.

        past       |==================\|
        decoded           |~~~~~~~~~~~~/==================|
                          start        ^ end of the past

    The codec's copy of the past differs in level from the past itself; the copy and what follows it are scaled by what
    makes their last second equally loud (6 dB at most).

    Args:
        past: [C, N] float32.
        decoded: [C, M] float32, what the codec makes of the end of the past and of the new codes.
        start: the sample of the past at which `decoded` begins; a crossfade or more before its end, if it can.
        sample_rate: Hz.

    Returns:
        [C, start + M].

    Raises:
        ValueError: `decoded` doesn't reach from within the past to beyond its end.
    """
    end, length = past.shape[1], decoded.shape[1]
    if not 0 <= start <= end <= start + length:
        raise ValueError(f"decoded covers {start}..{start + length}, but must hold the end of the past, {end}")
    fade = min(round(_FADE_S * sample_rate), end - start)
    decoded = decoded * level_match(past[:, start:], decoded[:, : end - start], sample_rate)
    rising = (0.5 - 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / max(fade, 1))).astype(np.float32)
    inside = end - start - fade
    crossed = past[:, end - fade :] * (1 - rising) + decoded[:, inside : inside + fade] * rising
    joined = np.concatenate([past[:, : end - fade], crossed, decoded[:, inside + fade :]], axis=1)
    return joined.astype(np.float32)


def level_match(true: Audio, copy: Audio, sample_rate: int) -> float:
    """The gain that makes the last second of the copy as loud as that of the true wave; 1 where either is silent."""
    last = round(_LEVEL_S * sample_rate)
    true_rms, copy_rms = (float(np.sqrt(np.mean(np.square(x[:, -last:]))) if x.shape[1] else 0.0) for x in (true, copy))
    if min(true_rms, copy_rms) < 1e-4:
        return 1.0
    limit = 10 ** (_MAX_GAIN_DB / 20)
    return float(np.clip(true_rms / copy_rms, 1 / limit, limit))
