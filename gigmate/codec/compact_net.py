"""The networks of the compact codec: causal ConvNeXt blocks between a spectral analysis and a spectral synthesis.

Everything runs channel-last, [B, T, D], and takes its past as an argument: the offline pass starts from silence, a
stream hands over what the last call returned, so both are the same code.

Sources: ConvNeXt block (arXiv 2201.03545), inverse-STFT head with magnitude and phase (Vocos, arXiv 2306.00814).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gigmate.codec.partials import Partials

Past = list[Tensor]
"""One tensor per causal convolution: its last inputs."""


class CausalBlock(nn.Module):
    """Depthwise causal convolution over time, then a pointwise perceptron; residual.

    Args:
        dim: D.
        expansion: hidden width of the perceptron in multiples of D.
        dilation: spacing of the kernel's taps in frames.
    """

    kernel = 7

    def __init__(self, dim: int, expansion: int, dilation: int = 1) -> None:
        super().__init__()
        self.dilation = dilation
        self.depthwise = nn.Conv1d(dim, dim, self.kernel, groups=dim, dilation=dilation)
        self.norm = nn.LayerNorm(dim)
        self.widen = nn.Linear(dim, expansion * dim)
        self.narrow = nn.Linear(expansion * dim, dim)
        self.scale = nn.Parameter(torch.full((dim,), 0.3))

    @property
    def past_frames(self) -> int:
        """Inputs that must be remembered."""
        return (self.kernel - 1) * self.dilation

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T, D] and the past [B, P, D] -> [B, T, D] and the next past."""
        seen = torch.cat([past.to(x.dtype), x], dim=1)
        y = self._taps(seen) if x.shape[1] <= 2 else self.depthwise(seen.transpose(1, 2)).transpose(1, 2)
        y = self.narrow(F.gelu(self.widen(self.norm(y))))
        return x + self.scale * y, seen[:, -self.past_frames :]

    def _taps(self, seen: Tensor) -> Tensor:
        """The depthwise convolution as products: of a frame or two it takes a quarter off the decoder's time."""
        assert self.depthwise.bias is not None
        taps = seen.unfold(1, self.past_frames + 1, 1)[..., :: self.dilation]
        return (taps * self.depthwise.weight[:, 0]).sum(dim=-1) + self.depthwise.bias


class CausalStack(nn.Module):
    """Blocks one after the other."""

    def __init__(self, dim: int, expansion: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.dim = dim
        self.blocks = nn.ModuleList(CausalBlock(dim, expansion, d) for d in dilations)

    def silence(self, batch: int, device: torch.device) -> Past:
        """The past before anything was heard."""
        return [torch.zeros(batch, _block(b).past_frames, self.dim, device=device) for b in self.blocks]

    def forward(self, x: Tensor, past: Past) -> tuple[Tensor, Past]:
        """[B, T, D] -> [B, T, D] and the next past."""
        following = []
        for block, before in zip(self.blocks, past, strict=True):
            x, after = block(x, before)
            following.append(after)
        return x, following


def _block(module: nn.Module) -> CausalBlock:
    assert isinstance(module, CausalBlock)
    return module


class Analysis(nn.Module):
    """What the encoder sees of the wave: two short spectra a frame for timing, a long one for pitch.

    All windows end with their frame (the first short one half a frame earlier).

    Args:
        hop: samples per frame.
        dim: width of the projection.
    """

    short, long, long_bins = 960, 4096, 700
    short_window: Tensor
    long_window: Tensor

    def __init__(self, hop: int, dim: int) -> None:
        super().__init__()
        self.hop = hop
        bins = self.short // 2 + 1
        self.register_buffer("short_window", _unit_window(self.short), persistent=False)
        self.register_buffer("long_window", _unit_window(self.long), persistent=False)
        self.project = nn.Linear(2 * 3 * bins + self.long_bins, dim)

    @property
    def past_samples(self) -> int:
        """Samples of history in front of the first frame."""
        return self.long - self.hop

    def forward(self, wave: Tensor) -> Tensor:
        """[B, past_samples + T * hop] -> [B, T, D]."""
        long = torch.fft.rfft(wave.unfold(1, self.long, self.hop) * self.long_window)[..., : self.long_bins].abs()
        start = self.past_samples - (self.short - self.hop // 2)
        spectra = torch.fft.rfft(wave[:, start:].unfold(1, self.short, self.hop // 2) * self.short_window)
        magnitude = spectra.abs()
        parts = [
            _log(magnitude),
            *(part * (magnitude + 1e-4).rsqrt() for part in (spectra.real, spectra.imag)),
        ]
        pairs = torch.cat(parts, dim=-1).unflatten(1, (-1, 2)).flatten(2)
        return self.project(torch.cat([pairs, _log(long)], dim=-1))


class Synthesis(nn.Module):
    """Frames to wave: magnitude and phase of overlapping windows, inverse STFT, overlap-add; partials of the notes.

    The window of half-frame j covers samples [j h - 3 h, j h + h), h = hop / 2: nothing is predicted beyond what the
    frame's encoder has heard. Half a frame's output is complete three half-frames later: the codec's latency.

    Args:
        hop: samples per frame.
        dim: D.
        expansion: as in `CausalBlock`.
        num_blocks: causal blocks at two steps a frame.
        partials: sinusoids that sound the notes in the middle of the windows; None: the notes aren't looked at.
    """

    window_size = 960
    window: Tensor

    def __init__(self, hop: int, dim: int, expansion: int, num_blocks: int, partials: Partials | None = None) -> None:
        super().__init__()
        self.half_hop = hop // 2
        self.overlaps = self.window_size // self.half_hop
        self.split = nn.Linear(dim, 2 * dim)
        self.stack = CausalStack(dim, expansion, (1,) * num_blocks)
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, self.window_size + 2)
        hann = torch.hann_window(self.window_size)
        self.register_buffer("window", hann / (hann.square().sum() / self.half_hop), persistent=False)
        self.partials = partials

    @property
    def latency_samples(self) -> int:
        """By how much a complete output lags the frame."""
        return (self.overlaps - 1) * self.half_hop

    def silence(self, batch: int, device: torch.device) -> Past:
        """The past before the first frame: that of the blocks, and [B] how many windows were made."""
        return [*self.stack.silence(batch, device), torch.zeros(batch, dtype=torch.int64, device=device)]

    def forward(self, x: Tensor, past: Past, notes: Tensor | None = None) -> tuple[list[Tensor], Past]:
        """[B, T, D] and, if known, note codes [B, T] -> windows [B, 2 T, window_size] to be added up and overlapped,
        and the next past.

        The first windows are those of the codes, the others, if there are any, those of the notes.
        """
        *before, clock = past
        x = self.split(x).unflatten(-1, (2, -1)).flatten(1, 2)
        x, following = self.stack(x, before)
        x = self.norm(x)
        magnitude, phase = self.head(x).float().chunk(2, dim=-1)
        spectrum = torch.polar(magnitude.clamp(max=7.0).exp(), phase)
        parts = [torch.fft.irfft(spectrum, n=self.window_size) * self.window]
        if self.partials is not None and notes is not None:
            sung = self.partials(x, notes.repeat_interleave(2, dim=1), clock)
            parts.append(F.pad(sung, (self.half_hop, self.half_hop)))
        return parts, [*following, clock + x.shape[1]]

    def overlap_add(self, windows: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """Windows [B, J, window_size] and the unfinished tail [B, 3, half] -> blocks [B, J, half] and the next tail."""
        parts = windows.unflatten(-1, (self.overlaps, self.half_hop))
        steps, ahead = parts.shape[1], self.overlaps - 1
        total = F.pad(tail, (0, 0, 0, steps))
        for segment in range(self.overlaps):
            total = total + F.pad(parts[:, :, segment], (0, 0, segment, ahead - segment))
        return total[:, :steps], total[:, steps:]


def _unit_window(size: int) -> Tensor:
    """Hann window under which white noise of deviation s has spectral magnitudes of about s at any size."""
    window = torch.hann_window(size)
    return window / window.square().sum().sqrt()


def _log(magnitude: Tensor) -> Tensor:
    return (magnitude + 1e-3).log() * 0.4 + 1.6
