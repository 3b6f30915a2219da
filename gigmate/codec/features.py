"""The model's ears: power in mel bands (rhythm, timbre) and semitone bands (harmony), frame by frame.

A mix is only heard, never played, so it needs no codes. Linear power is kept, not its logarithm, because the
power of uncorrelated stems adds: the features of any mix of stems, at any gains, are a weighted sum of the
features of the stems (up to the interference of coinciding partials): that is how training draws its mixes.

    samples   |--- hop ---|--- hop ---|--- hop ---|
    mel                   |======= frame t =======|          window 2 * hop
    semitones    ... =================== frame t =|          window about 0.7 s
                                                  ^ (t + 1) * hop: no window hears past its own frame
"""

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from gigmate.shapes import Features, Wave

NUM_MEL_BANDS = 48
NUM_SEMITONE_BANDS = 60
NUM_FEATURES = NUM_MEL_BANDS + NUM_SEMITONE_BANDS
"""D: the mel bands, low to high, then the semitone bands from A1 (55 Hz) to G#6 (1661 Hz)."""

_MEL_LOW_HZ, _MEL_HIGH_HZ = 30.0, 12_000.0
_A1_HZ = 55.0
_SEMITONE_WINDOW_S = 16_384 / 24_000
_BLOCK_FRAMES = 64  # frames transformed at once: a song of any length needs some ten MB


class _FilteredPower(nn.Module):
    """Power of Hann-windowed frames through a filter bank; a full-scale sine at a band's centre measures 1.

    Args:
        window: samples heard per frame.
        num_fft: length of the transform; more than `window` interpolates the spectrum so that no narrow band
            falls between two bins.
        weights: [bands, num_fft // 2 + 1], not yet scaled.
        centre_hz: [bands].
        sample_rate: Hz.
    """

    taper: torch.Tensor
    filters: torch.Tensor

    def __init__(
        self, window: int, num_fft: int, weights: torch.Tensor, centre_hz: torch.Tensor, sample_rate: int
    ) -> None:
        super().__init__()
        self.window, self.num_fft = window, num_fft
        self.num_bins = int(weights.any(dim=0).nonzero().max()) + 1  # no band reads the bins above
        weights = weights[:, : self.num_bins]
        taper = torch.hann_window(window, dtype=torch.float64)
        # A sine is two phasors of half its size; what a band makes of the one at its own centre is its gain.
        time = torch.arange(window, dtype=torch.float64)
        phasors = 0.5 * torch.exp(2j * math.pi * centre_hz[:, None] / sample_rate * time)
        spectra = torch.fft.fft(taper * phasors, n=num_fft)[:, : self.num_bins].abs().square()
        gains = (weights * spectra).sum(dim=1, keepdim=True)
        self.register_buffer("taper", taper, persistent=False)
        self.register_buffer("filters", (weights / gains).T.contiguous(), persistent=False)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """[B, T, >= window] -> [B, T, bands]; the newest `window` samples of each frame count.

        In double precision: transforms and products round by how many frames they are given, and a frame that is heard
        live has to be, to the last bit of float32, what it is offline, or sooner or later a draw falls the other way.
        """
        spectrum = torch.fft.rfft(frames[..., -self.window :] * self.taper, n=self.num_fft)
        spectrum = spectrum[..., : self.num_bins]
        return ((spectrum.real.square() + spectrum.imag.square()) @ self.filters).float()


class MixFeatures(nn.Module):
    """Turns a mono wave into NUM_FEATURES linear powers per codec frame, causally.

    Args:
        sample_rate: Hz of the waves.
        hop: samples per frame: the codec's, so that features and codes share one clock.

    Raises:
        ValueError: the sample rate can't hold the semitone bands, or hop isn't positive.
    """

    def __init__(self, sample_rate: int, hop: int) -> None:
        super().__init__()
        if sample_rate < 8_000 or hop < 1:
            raise ValueError(f"sample rate {sample_rate} Hz and hop {hop}: at least 8000 Hz and 1 sample are needed")
        self.sample_rate, self.hop = sample_rate, hop
        semitone_window = 2 ** round(math.log2(_SEMITONE_WINDOW_S * sample_rate))
        num_mel_fft = 2 ** math.ceil(math.log2(max(4 * hop, sample_rate / 16)))
        self._mel = _FilteredPower(2 * hop, num_mel_fft, *_mel_bands(sample_rate, num_mel_fft), sample_rate)
        self._semitones = _FilteredPower(
            semitone_window, semitone_window, *_semitone_bands(sample_rate, semitone_window), sample_rate
        )

    @property
    def history(self) -> int:
        """Samples before a frame that its features still hear."""
        return max(self._mel.window, self._semitones.window) - self.hop

    def analyse(self, wave: Wave) -> Features:
        """Features of a whole wave; before it and after it there is silence.

        Args:
            wave: [B, 1, N] float32.

        Returns:
            power [B, D, ceil(N / hop)] float32, about 1 where a full-scale sine sounds.

        Raises:
            ValueError: the wave isn't mono.
        """
        _check_mono(wave)
        return self._power(F.pad(wave, (self.history, -wave.shape[2] % self.hop)))

    def mel_bands(self, wave: Wave) -> Features:
        """The first `NUM_MEL_BANDS` of `analyse` alone, [B, `NUM_MEL_BANDS`, ceil(N / hop)], in a tenth of the time.

        Raises:
            ValueError: the wave isn't mono.
        """
        _check_mono(wave)
        heard = F.pad(wave, (self._mel.window - self.hop, -wave.shape[2] % self.hop))
        return self._in_blocks(self._mel, heard[:, 0].unfold(1, self._mel.window, self.hop))

    def stream(self, batch: int = 1) -> "MixFeatureStream":
        """The same, frame by frame."""
        return MixFeatureStream(self, batch)

    def _power(self, heard: Wave) -> Features:
        """[B, 1, history + T * hop] -> [B, D, T]."""
        frames = heard[:, 0].unfold(1, self.history + self.hop, self.hop)
        return self._in_blocks(lambda block: torch.cat([self._mel(block), self._semitones(block)], dim=2), frames)

    @torch.no_grad()
    def _in_blocks(self, bands: Callable[[torch.Tensor], torch.Tensor], frames: torch.Tensor) -> Features:
        """What `bands` makes of the frames [B, T, window], [B, D, T]."""
        blocks = [bands(block) for block in frames.split(_BLOCK_FRAMES, dim=1)]
        return torch.cat(blocks, dim=1).transpose(1, 2).contiguous()


class MixFeatureStream:
    """`MixFeatures` frame by frame; equal to `analyse` of everything pushed since the last `reset`.

    Args:
        features: what to compute.
        batch: B of the waves to come.
    """

    def __init__(self, features: MixFeatures, batch: int = 1) -> None:
        self._features, self._batch = features, batch
        self.reset()

    def push(self, wave: Wave) -> Features:
        """[B, 1, n * hop] -> power [B, D, n], at once.

        Raises:
            ValueError: the wave isn't mono, not this batch, or no whole number of frames.
        """
        _check_mono(wave)
        if wave.shape[0] != self._batch or wave.shape[2] % self._features.hop:
            raise ValueError(
                f"wave has shape {tuple(wave.shape)}, but this stream takes [{self._batch}, 1, n * "
                f"{self._features.hop}]: buffer until a frame is full"
            )
        heard = torch.cat([self._past.to(wave), wave], dim=2)
        self._past = heard[:, :, heard.shape[2] - self._features.history :].clone()
        return self._features._power(heard)

    def reset(self) -> None:
        """Forget everything heard."""
        self._past = torch.zeros(self._batch, 1, self._features.history)


def _check_mono(wave: Wave) -> None:
    if wave.ndim != 3 or wave.shape[1] != 1 or wave.shape[2] == 0:
        raise ValueError(
            f"wave has shape {tuple(wave.shape)}, but features are heard from [batch, 1, samples > 0]: "
            f"downmix with gigmate.audio.to_channels"
        )


def _mel_bands(sample_rate: int, num_fft: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Triangles even in mel (HTK's formula) that reach to their neighbours' centres; their centres in Hz."""
    high_hz = min(_MEL_HIGH_HZ, sample_rate / 2)
    low_mel, high_mel = (2595 * math.log10(1 + hz / 700) for hz in (_MEL_LOW_HZ, high_hz))
    mels = torch.linspace(low_mel, high_mel, NUM_MEL_BANDS + 2, dtype=torch.float64)
    left, centre, right = (700 * (10 ** (mels / 2595) - 1)).unfold(0, 3, 1).T
    hz = _bins_hz(sample_rate, num_fft)
    rising = (hz - left[:, None]) / (centre - left)[:, None]
    falling = (right[:, None] - hz) / (right - centre)[:, None]
    return torch.minimum(rising, falling).clamp(min=0), centre


def _semitone_bands(sample_rate: int, num_fft: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Gaussians half a semitone wide, never narrower than 0.6 bins, and their centres in Hz.

    The window is long for harmony's sake: at 0.17 s the notes below A4 run into their neighbours, and a chord's root is
    found in 62 % of the frames where it is in 74 % at 0.7 s (experiments/010_chords). When a note began is heard in
    the mel bands.
    """
    centre = _A1_HZ * 2 ** (torch.arange(NUM_SEMITONE_BANDS, dtype=torch.float64) / 12)
    sigma = (centre * (2 ** (0.5 / 12) - 1)).clamp(min=0.6 * sample_rate / num_fft)
    distance = (_bins_hz(sample_rate, num_fft) - centre[:, None]) / sigma[:, None]
    return torch.where(distance.abs() < 4, torch.exp(-0.5 * distance.square()), 0.0), centre


def _bins_hz(sample_rate: int, num_fft: int) -> torch.Tensor:
    return torch.arange(num_fft // 2 + 1, dtype=torch.float64) * sample_rate / num_fft
