"""What a reconstruction is measured by while the compact codec is trained.

The floor of the logarithm decides what is learned: with 1e-5 the silence inside rendered stems outweighs the music.
"""

import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor, nn


class SpectralLoss(nn.Module):
    """Distance of two waves at several resolutions: log-mel, log-magnitude of the pitched range, complex spectrum.

    Window sizes trade timing (256) against pitch (4096: partials of the middle octaves stand apart). Windows are scaled
    so that white noise of deviation s has magnitudes of about s at every size: one floor serves all.

    Args:
        sample_rate: Hz.
        floor: added to magnitudes before the logarithm (1e-3: -60 dBFS).
    """

    mel_sizes = ((256, 24), (512, 48), (1024, 80), (2048, 96), (4096, 128))
    pitch_sizes = (2048, 4096)
    complex_sizes = (512, 2048)
    pitch_limit_hz = 4_000.0

    def __init__(self, sample_rate: int, floor: float = 1e-3) -> None:
        super().__init__()
        self.sample_rate, self.floor = sample_rate, floor
        for size, bands in self.mel_sizes:
            window = torch.hann_window(size)
            self.register_buffer(f"window_{size}", window / window.square().sum().sqrt(), persistent=False)
            bank = torchaudio.functional.melscale_fbanks(
                size // 2 + 1, 20.0, sample_rate / 2, bands, sample_rate, norm=None, mel_scale="htk"
            )
            self.register_buffer(f"bank_{size}", bank, persistent=False)

    def forward(self, made: Tensor, true: Tensor) -> dict[str, Tensor]:
        """[B, N] and [B, N] -> scalars `mel`, `pitch`, `complex`."""
        losses = {"mel": made.new_zeros(()), "pitch": made.new_zeros(()), "complex": made.new_zeros(())}
        for size, _ in self.mel_sizes:
            a, b = self._spectrum(made, size), self._spectrum(true, size)
            magnitude_a, magnitude_b = (a.abs().square() + 1e-9).sqrt(), b.abs()
            bank = self.get_buffer(f"bank_{size}")
            mel = F.l1_loss(self._log(magnitude_a @ bank), self._log(magnitude_b @ bank))
            losses["mel"] = losses["mel"] + mel / len(self.mel_sizes)
            if size in self.pitch_sizes:
                top = int(self.pitch_limit_hz * size / self.sample_rate)
                low_a, low_b = magnitude_a[..., :top], magnitude_b[..., :top]
                losses["pitch"] = losses["pitch"] + (
                    F.l1_loss(self._log(low_a), self._log(low_b)) + relative(low_a - low_b, low_b)
                ) / len(self.pitch_sizes)
            if size in self.complex_sizes:
                losses["complex"] = losses["complex"] + relative(
                    torch.view_as_real(a - b), torch.view_as_real(b)
                ) / len(self.complex_sizes)
        return losses

    def _spectrum(self, wave: Tensor, size: int) -> Tensor:
        window = self.get_buffer(f"window_{size}")
        return torch.fft.rfft(wave.unfold(-1, size, size // 4) * window)

    def _log(self, magnitude: Tensor) -> Tensor:
        return (magnitude + self.floor).log()


def relative(error: Tensor, reference: Tensor) -> Tensor:
    """Mean over the batch of |error| / |reference|, roots of squares over the example; silence counts little."""
    axes = tuple(range(1, error.ndim))
    return (error.square().sum(axes).add(1e-8).sqrt() / (reference.square().sum(axes).sqrt() + 0.05)).mean()
