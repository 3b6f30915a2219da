"""The project's own codec: causal, 24 kHz mono, 50 frames/s, 4 codebooks of 1,024 (2 kbit/s), made for CPUs.

    wave ─ Analysis ─ causal blocks ─ residual quantizer ─ codes ─ causal blocks ─ Synthesis ─ wave, 30 ms later
                                                  notes, if known ─┴────────────────┘

Trained by `python train.py experiment=compact_codec`; its weights ship in `gigmate/weights`.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gigmate.codec.base import CodecSpec, check_codes, check_wave, on_device
from gigmate.codec.code_levels import CODE_DB, code_levels
from gigmate.codec.compact_net import Analysis, CausalStack, Past, Synthesis
from gigmate.codec.note_reader import NoteReader
from gigmate.codec.partials import Partials
from gigmate.codec.quantizer import Quantized, ResidualQuantizer
from gigmate.files.bundle import check_fit, fingerprint, read_bundle
from gigmate.shapes import Codes, NoteCodes, Wave

if TYPE_CHECKING:
    from gigmate.codec.compact_stream import CompactStream

SHIPPED = Path(__file__).parent.parent / "weights" / "compact.safetensors"


@dataclass(frozen=True)
class CompactConfig:
    """Shape of the compact codec; `dilations` has one entry per causal block, in frames.

    With `num_partials` > 0 the decoder reads the notes too, if it is told them (`gigmate.codec.partials`).
    """

    sample_rate: int = 24_000
    hop: int = 480
    dim: int = 256
    expansion: int = 3
    latent_dim: int = 32
    num_codebooks: int = 4
    codebook_size: int = 1024
    encoder_dilations: tuple[int, ...] = (1, 1, 2, 4)
    decoder_dilations: tuple[int, ...] = (1, 1, 2, 4, 1, 1, 2, 4)
    synthesis_blocks: int = 2
    num_partials: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "encoder_dilations", tuple(self.encoder_dilations))
        object.__setattr__(self, "decoder_dilations", tuple(self.decoder_dilations))
        if self.hop % 2 or Synthesis.window_size % (self.hop // 2):
            raise ValueError(
                f"hop is {self.hop}, but half of it must divide the window of {Synthesis.window_size}: try 480"
            )


class CompactCodec(nn.Module):
    """The compact codec as a `Codec`; its parts are used by the training module and the stream.

    Args:
        config: its shape.
    """

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        self.config = config
        self.analysis = Analysis(config.hop, config.dim)
        self.encoder = CausalStack(config.dim, config.expansion, config.encoder_dilations)
        self.to_latent = nn.Linear(config.dim, config.latent_dim)
        self.quantizer = ResidualQuantizer(config.num_codebooks, config.codebook_size, config.latent_dim)
        self.from_latent = nn.Linear(config.latent_dim, config.dim)
        self.decoder = CausalStack(config.dim, config.expansion, config.decoder_dilations)
        self.synthesis = Synthesis(config.hop, config.dim, config.expansion, config.synthesis_blocks, self._partials())
        self.note = NoteReader(config.dim) if self.reads_notes else None
        self._spec: CodecSpec | None = None
        self._code_db: Tensor | None = None

    def _partials(self) -> Partials | None:
        c = self.config
        return Partials(c.dim, c.num_partials, c.sample_rate, c.hop // 2) if self.reads_notes else None

    @property
    def reads_notes(self) -> bool:
        """Whether the decoder is any better for knowing the notes."""
        return self.config.num_partials > 0

    @property
    def spec(self) -> CodecSpec:
        """The facts; the fingerprint is taken once, when first asked for, over what makes the codes: a decoder that is
        trained further plays the same codes.
        """
        if self._spec is None:
            c = self.config
            self._spec = CodecSpec(
                name="compact",
                sample_rate=c.sample_rate,
                channels=1,
                hop=c.hop,
                num_codebooks=c.num_codebooks,
                codebook_size=c.codebook_size,
                fingerprint=fingerprint(nn.ModuleList(self.code_makers).state_dict(), self._code_settings()),
                latency_samples=self.synthesis.latency_samples,
            )
        return self._spec

    @property
    def code_db(self) -> Tensor:
        """See `Codec.code_db`; worked out when first asked for, unless the weights came with it."""
        if self._code_db is None:
            self._code_db = code_levels(self)
        return self._code_db

    def _code_settings(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self.config).items() if name != "num_partials"}

    @property
    def code_makers(self) -> tuple[nn.Module, ...]:
        """The parts that turn a wave into codes, in order."""
        return self.analysis, self.encoder, self.to_latent, self.quantizer

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.to_latent.weight.device

    def latents(self, wave: Tensor, past: Past) -> tuple[Tensor, Past]:
        """[B, past + T * hop] samples -> latents [B, T, D] before quantization, and the encoder's next past."""
        hidden, following = self.encoder(self.analysis(wave), past)
        return self.to_latent(hidden), following

    def windows(
        self, latents: Tensor, past: tuple[Past, Past], notes: NoteCodes | None = None
    ) -> tuple[list[Tensor], tuple[Past, Past]]:
        """Quantized latents [B, T, D], note codes [B, T] if known -> synthesis windows [B, 2 T, W] of the codes and of
        the notes, to be added up, and the decoder's next past.
        """
        hidden = self.from_latent(latents)
        if self.note is not None and notes is not None:
            hidden = hidden + self.note(notes)
        hidden, decoder_past = self.decoder(hidden, past[0])
        windows, synthesis_past = self.synthesis(hidden, past[1], notes)
        return windows, (decoder_past, synthesis_past)

    def sound(
        self, codes: Codes, past: tuple[Past, Past], tail: Tensor, notes: NoteCodes | None = None
    ) -> tuple[Wave, tuple[Past, Past], Tensor]:
        """The next codes [B, K, n] of a stream, note codes [B, n] if known, and what its overlap lacks [B, 3, half] ->
        wave [B, 1, n * hop], `latency_samples` behind the offline decode, the decoder's next past and the next tail.
        """
        windows, following = self.windows(self.quantizer.decode(codes), past, notes)
        blocks, tail = self.synthesis.overlap_add(torch.stack(windows).sum(dim=0), tail)
        return blocks.flatten(1)[:, None], following, tail

    def silence(self, batch: int) -> tuple[Past, Past]:
        """The decoder's past before its first frame."""
        return self.decoder.silence(batch, self.device), self.synthesis.silence(batch, self.device)

    def quantize(self, wave: Wave, num_active: int | None = None) -> Quantized:
        """[B, 1, N] -> what the quantizer makes of it."""
        batch, _, samples = wave.shape
        missing = -samples % self.config.hop
        padded = F.pad(wave[:, 0].to(self.device), (self.analysis.past_samples, missing))
        latents, _ = self.latents(padded, self.encoder.silence(batch, self.device))
        return self.quantizer(latents, num_active)

    def reconstruct(self, latents: Tensor, notes: NoteCodes | None = None) -> Wave:
        """Quantized latents [B, T, D], note codes [B, T] if known -> wave [B, 1, T * hop]."""
        return sum(self.reconstruct_parts(latents, notes), latents.new_zeros(()))

    def reconstruct_parts(self, latents: Tensor, notes: NoteCodes | None = None) -> list[Wave]:
        """As `reconstruct`: the wave of the codes and, if notes are read, that of the notes' partials.

        The last window's neighbours to the right don't exist: the last frame is held until the overlap is complete.
        """
        batch, frames, _ = latents.shape
        held = -(-self.synthesis.latency_samples // self.config.hop)
        latents = torch.cat([latents, latents[:, -1:].expand(-1, held, -1)], dim=1)
        if notes is not None:
            notes = torch.cat([notes, notes[:, -1:].expand(-1, held)], dim=1)
        parts, _ = self.windows(latents, self.silence(batch), notes)
        tail = parts[0].new_zeros(batch, self.synthesis.overlaps - 1, self.synthesis.half_hop)
        waves = [self.synthesis.overlap_add(windows, tail)[0].flatten(1) for windows in parts]
        start = self.synthesis.latency_samples
        return [wave[:, None, start : start + frames * self.config.hop] for wave in waves]

    @torch.no_grad()
    def encode(self, wave: Wave) -> Codes:
        """[B, 1, N] -> [B, K, ceil(N / hop)]; see `Codec.encode`."""
        check_wave(wave, self.spec)
        return self.quantize(wave).codes

    @torch.no_grad()
    def decode(self, codes: Codes, notes: NoteCodes | None = None) -> Wave:
        """[B, K, T] -> [B, 1, T * hop]; see `Codec.decode`."""
        check_codes(codes, self.spec)
        if codes.shape[2] == 0:
            return torch.zeros(len(codes), 1, 0, device=self.device)
        return self.reconstruct(self.quantizer.decode(codes.to(self.device)), on_device(notes, self.device))

    def stream(self, batch: int = 1) -> "CompactStream":
        """A fresh stream of `batch` rows; see `CompactStream`."""
        from gigmate.codec.compact_stream import CompactStream

        return CompactStream(self, batch)


def load_compact(path: Path | None = None, device: torch.device | str = "cpu") -> CompactCodec:
    """The compact codec from its bundle (default: the weights that ship), ready to use.

    Raises:
        CheckpointError: missing, damaged, or no compact codec.
    """
    bundle = read_bundle(path or SHIPPED, kind="codec")
    codec = CompactCodec(CompactConfig(**bundle.config))
    bundle.load_into(codec)
    if bundle.tables:
        check_fit({CODE_DB: torch.empty(codec.config.codebook_size)}, bundle.tables, path or SHIPPED)
        codec._code_db = bundle.tables[CODE_DB]
    return codec.eval().to(device)
