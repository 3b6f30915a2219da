"""The LightningModule that trains the compact codec."""

from typing import Any

import lightning as L
import torch
from torch import Tensor

from gigmate.codec.compact import CompactCodec, CompactConfig
from gigmate.training.codec_losses import SpectralLoss
from gigmate.training.schedules import warmup_cosine

_WEIGHTS = {"mel": 1.0, "pitch": 0.5, "complex": 0.25, "commitment": 0.25}


class CodecModule(L.LightningModule):
    """Reconstruction at several resolutions plus commitment; no adversary.

    In a share of the batches only the first codebooks are used, drawn at random, so that they carry the most.

    Args:
        model: shape of the codec, the primitives of `CompactConfig`.
        lr: peak learning rate of AdamW.
        warmup_steps: linear rise before the cosine.
        max_steps: where the cosine ends.
        partial_share: share of batches with fewer codebooks.
        skip_frames: frames at the start of each window that aren't scored: there the past is cut off.
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
        decoder_only: bool = False,
    ) -> None:
        super().__init__()
        self.net = CompactCodec(CompactConfig(**model))
        self.loss = SpectralLoss(self.net.config.sample_rate)
        self.lr, self.warmup_steps, self.max_steps = lr, warmup_steps, max_steps
        self.partial_share, self.skip_samples = partial_share, skip_frames * self.net.config.hop
        self.decoder_only = decoder_only
        for part in self.net.code_makers if decoder_only else ():
            part.requires_grad_(False)

    def _losses(self, wave: Tensor, num_active: int | None) -> tuple[dict[str, Tensor], float]:
        quantized = self.net.quantize(wave, num_active)
        made = self.net.reconstruct(quantized.latents.to(wave.dtype))[:, 0, : wave.shape[-1]]
        with torch.autocast(wave.device.type, enabled=False):
            losses = self.loss(made[:, self.skip_samples :].float(), wave[:, 0, self.skip_samples :].float())
        losses["commitment"] = quantized.commitment
        in_use = self.net.quantizer.follow(quantized) if self.training and not self.decoder_only else 1.0
        losses["loss"] = sum((w * losses[name] for name, w in _WEIGHTS.items()), wave.new_zeros(()))
        return losses, in_use

    def training_step(self, wave: Tensor, batch_idx: int) -> Tensor:
        """[B, 1, N] -> loss."""
        num_codebooks = self.net.config.num_codebooks
        partial = bool(torch.rand(()) < self.partial_share)
        active = int(torch.randint(1, num_codebooks + 1, ())) if partial else num_codebooks
        losses, in_use = self._losses(wave, active)
        self.log_dict({f"train/{name}": value.detach() for name, value in losses.items()}, prog_bar=False)
        self.log("train/codes_in_use", in_use)
        return losses["loss"]

    def validation_step(self, wave: Tensor, batch_idx: int) -> None:
        """[B, 1, N]: the same losses with all codebooks."""
        losses, _ = self._losses(wave, None)
        self.log_dict({f"valid/{name}": value for name, value in losses.items()}, batch_size=len(wave))

    def configure_optimizers(self) -> Any:
        """AdamW with linear warm-up and cosine to a twentieth."""
        trained = [parameter for parameter in self.net.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=self.lr, betas=(0.9, 0.98), weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: warmup_cosine(step, self.warmup_steps, self.max_steps, floor=0.05)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
