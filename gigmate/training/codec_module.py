"""The LightningModule that trains the compact codec."""

from typing import Any

import lightning as L
import torch
from torch import Tensor

from gigmate.codec.compact import CompactCodec, CompactConfig
from gigmate.data.audio_windows import AudioWindow
from gigmate.pitch import UNKNOWN_NOTES
from gigmate.shapes import NoteCodes
from gigmate.training.codec_losses import SpectralLoss
from gigmate.training.past import spans
from gigmate.training.schedules import warmup_cosine

_WEIGHTS = {"mel": 1.0, "pitch": 0.5, "complex": 0.25, "commitment": 0.25}
_FREE_OF_PHASE = ("mel", "pitch")
_NOTED_WEIGHTS = {"noted_mel": 1.0, "noted_pitch": 0.5, "partials_mel": 0.5, "partials_pitch": 0.25}
_MISPLACED_SHARE = 0.8  # of the windows with notes: spans of their codes are those of another moment
_MAX_JITTER_FRAMES = 3


class CodecModule(L.LightningModule):
    """Reconstruction at several resolutions plus commitment; no adversary.

    A part of each batch is decoded with its notes, but from codes that are out of place in time, as those of a language
    model are: the sound has to come from the notes there, and its phase is free. The rest is decoded from its own codes
    alone.

    In a share of the batches only the first codebooks are used, drawn at random, so that they carry the most.

    Args:
        model: shape of the codec, the primitives of `CompactConfig`.
        lr: peak learning rate of AdamW.
        warmup_steps: linear rise before the cosine.
        max_steps: where the cosine ends.
        partial_share: share of batches with fewer codebooks.
        skip_frames: frames at the start of each window that aren't scored: there the past is cut off.
        noted_share: share of a batch that is decoded with notes, if the codec reads any.
        decoder_only: leave what makes the codes as it is: shards and language models of these codes stay valid.
    """

    def __init__(
        self,
        model: dict[str, Any],
        lr: float = 8e-4,
        warmup_steps: int = 200,
        max_steps: int = 10_000,
        partial_share: float = 0.3,
        skip_frames: int = 4,
        noted_share: float = 0.6,
        decoder_only: bool = False,
    ) -> None:
        super().__init__()
        self.net = CompactCodec(CompactConfig(**model))
        self.loss = SpectralLoss(self.net.config.sample_rate)
        self.lr, self.warmup_steps, self.max_steps = lr, warmup_steps, max_steps
        self.partial_share, self.skip_samples = partial_share, skip_frames * self.net.config.hop
        self.noted_share = noted_share if self.net.reads_notes else 0.0
        self.decoder_only = decoder_only
        for part in self.net.code_makers if decoder_only else ():
            part.requires_grad_(False)

    def _losses(self, batch: AudioWindow, num_active: int | None) -> tuple[dict[str, Tensor], float]:
        wave, notes = batch["wave"], batch["notes"]
        quantized = self.net.quantize(wave, num_active)
        latents = quantized.latents.to(wave.dtype)
        num_noted = min(round(self.noted_share * len(wave)), len(wave) - 1)  # one at least is plain
        latents, notes = prepare_noted(latents, notes, num_noted)
        parts = [
            part[:, 0, self.skip_samples : wave.shape[-1]].float()
            for part in self.net.reconstruct_parts(latents, notes)
        ]
        true = wave[:, 0, self.skip_samples :].float()
        with torch.autocast(wave.device.type, enabled=False):
            losses = self.loss(parts[0][num_noted:], true[num_noted:])
            if num_noted:
                losses |= self._noted_losses(parts[0][:num_noted], parts[1][:num_noted], true[:num_noted])
        losses["commitment"] = quantized.commitment
        in_use = self.net.quantizer.follow(quantized) if self.training and not self.decoder_only else 1.0
        plain, noted = (
            sum((weight * losses[name] for name, weight in weights.items() if name in losses), wave.new_zeros(()))
            for weights in (_WEIGHTS, _NOTED_WEIGHTS)
        )
        losses["loss"] = (1 - self.noted_share) * plain + self.noted_share * noted
        return losses, in_use

    def _noted_losses(self, of_codes: Tensor, of_notes: Tensor, true: Tensor) -> dict[str, Tensor]:
        """Of both parts together, and of the partials alone.

        Levels learn from the latter only: under sound of random phase a partial costs more than it brings, and all of
        them would fall silent before that sound has learned to leave them room.
        """
        both, alone = self.loss(of_codes + of_notes.detach(), true), self.loss(of_notes, true)
        return {
            **{f"noted_{name}": both[name] for name in _FREE_OF_PHASE},
            **{f"partials_{name}": alone[name] for name in _FREE_OF_PHASE},
        }

    def training_step(self, batch: AudioWindow, batch_idx: int) -> Tensor:
        """Windows -> loss."""
        num_codebooks = self.net.config.num_codebooks
        partial = bool(torch.rand(()) < self.partial_share)
        active = int(torch.randint(1, num_codebooks + 1, ())) if partial else num_codebooks
        losses, in_use = self._losses(batch, active)
        self.log_dict({f"train/{name}": value.detach() for name, value in losses.items()}, prog_bar=False)
        self.log("train/codes_in_use", in_use)
        return losses["loss"]

    def validation_step(self, batch: AudioWindow, batch_idx: int) -> None:
        """The same losses with all codebooks."""
        losses, _ = self._losses(batch, None)
        self.log_dict({f"valid/{name}": value for name, value in losses.items()}, batch_size=len(batch["wave"]))

    def configure_optimizers(self) -> Any:
        """AdamW with linear warm-up and cosine to a twentieth."""
        trained = [parameter for parameter in self.net.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=self.lr, betas=(0.9, 0.98), weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: warmup_cosine(step, self.warmup_steps, self.max_steps, floor=0.05)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def prepare_noted(latents: Tensor, notes: NoteCodes, num_noted: int) -> tuple[Tensor, NoteCodes]:
    """Quantized latents [B, T, D] and notes: of the first `num_noted` rows the latents are out of place where notes are
    known, of the others the notes are forgotten. No gradient passes to latents out of place.
    """
    batch, num_frames, _ = latents.shape
    is_noted = torch.arange(batch, device=latents.device) < num_noted
    notes = notes.masked_fill(~is_noted[:, None], UNKNOWN_NOTES)
    is_known = (notes != UNKNOWN_NOTES).all(dim=1)
    reach = torch.randint(0, _MAX_JITTER_FRAMES + 1, (batch, 1)).to(latents.device)
    offset = (torch.rand(batch, num_frames).to(latents.device) * (2 * reach + 1)).long() - reach
    place = (torch.arange(num_frames, device=latents.device) + offset).clamp(0, num_frames - 1)
    shift = (torch.rand(batch, 1).to(latents.device) * num_frames).long()
    elsewhere = (place + shift) % num_frames
    place = torch.where(spans(notes[:, None], _MISPLACED_SHARE), elsewhere, place)
    moved = latents.detach().gather(1, place[:, :, None].expand_as(latents))
    return torch.where(is_known[:, None, None], moved, latents), notes
