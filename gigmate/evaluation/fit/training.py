"""Trains the encoder on prepared songs, tests it on held-out ones and writes it.

    python -m gigmate.evaluation.fit.training data/practice data/midi --out fit.safetensors

A stem must find its own mix among those of the batch, and beside it the same mix half a beat off and in another key.
"""

import argparse
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from gigmate.data.loading import of_split, open_folders
from gigmate.data.windows import StoredSong
from gigmate.evaluation.fit.encoder import EncoderConfig, FitEncoder, save_encoder
from gigmate.evaluation.fit.examples import Examples, draw_examples

log = logging.getLogger(__name__)

_LR, _WEIGHT_DECAY = 2e-3, 1e-2
_WARM_UP = 20
_TEST_BATCHES = 12


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", help="prepared data sets of kind tokens")
    parser.add_argument("--out", type=Path, required=True, help="the bundle to write")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    _, songs = open_folders(given.folders, "tokens")
    started = time.monotonic()
    encoder = train_encoder(of_split(songs, "train"), given.steps, given.batch, given.seed)
    metrics = {name: round(value, 4) for name, value in accuracies(encoder, of_split(songs, "valid")).items()}
    minutes = round((time.monotonic() - started) / 60, 1)
    provenance = {"steps": given.steps, "batch": given.batch, "seed": given.seed, "minutes": minutes}
    save_encoder(encoder, given.out, {**provenance, "train_songs": len(of_split(songs, "train"))}, metrics)
    log.info("%s after %s min: %s", given.out, minutes, json.dumps(metrics))


def train_encoder(songs: Sequence[StoredSong], steps: int, batch: int, seed: int = 0) -> FitEncoder:
    """An encoder trained from nothing."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    encoder = FitEncoder(EncoderConfig())
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=_LR, weight_decay=_WEIGHT_DECAY)
    for step in range(steps):
        factor = min(1.0, (step + 1) / _WARM_UP) * 0.5 * (1 + np.cos(np.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = _LR * factor
        loss = contrastive_loss(encoder, draw_examples(songs, batch, rng))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        if step % 20 == 0:
            log.info("step %d: loss %.3f", step, loss.item())
    return encoder.eval()


def contrastive_loss(encoder: FitEncoder, batch: Examples) -> torch.Tensor:
    """Cross entropy of finding each stem's mix among all and the two falsified ones, and each mix's stem among all.

    Pairs of one group don't count as wrong: they share chords.
    """
    mixes, stems = encoder.mix_tower(batch.mixes), encoder.stem_tower(batch.stems)
    scale = encoder.log_scale.exp()
    every = scale * torch.einsum("met,set->sm", mixes, stems) / stems.shape[2]
    same = torch.tensor([[a == b for b in batch.groups] for a in batch.groups])
    own = torch.arange(len(every))
    every = every.masked_fill(same & ~torch.eye(len(every), dtype=torch.bool), -1e4)
    late, tuned = falsified_fits(encoder, batch, mixes, stems)
    columns = torch.stack([scale * late, (scale * tuned).masked_fill(~batch.is_pitched, -1e4)], dim=1)
    return F.cross_entropy(torch.cat([every, columns], dim=1), own) + F.cross_entropy(every.T, own)


def falsified_fits(
    encoder: FitEncoder, batch: Examples, mixes: torch.Tensor, stems: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fit [B] of each stem with its own mix, shifted and transposed; mixes and stems [B, E, T] are the towers'."""
    shifted = torch.stack([mix.roll(int(shift), dims=-1) for mix, shift in zip(mixes, batch.shifts, strict=True)])
    late, tuned = ((other * stems).sum(dim=1).mean(dim=-1) for other in (shifted, encoder.mix_tower(batch.transposed)))
    return late, tuned


@torch.no_grad()
def accuracies(
    encoder: FitEncoder, songs: Sequence[StoredSong], batches: int = _TEST_BATCHES, seed: int = 1
) -> dict[str, float]:
    """Share of held-out stems that prefer their own mix: to another song's (`swap`), shifted, and transposed."""
    rng = np.random.default_rng(seed)
    right: dict[str, list[torch.Tensor]] = {"swap": [], "shift": [], "transpose": []}
    for _ in range(batches):
        batch = draw_examples(songs, 24, rng)
        mixes, stems = encoder.mix_tower(batch.mixes), encoder.stem_tower(batch.stems)
        every = torch.einsum("met,set->sm", mixes, stems) / stems.shape[2]
        own = every.diagonal()
        late, tuned = falsified_fits(encoder, batch, mixes, stems)
        strange = torch.tensor([[a != b for b in batch.groups] for a in batch.groups])
        right["swap"].append((own[:, None] > every)[strange])
        right["shift"].append(own > late)
        right["transpose"].append((own > tuned)[batch.is_pitched])
    return {name: float(torch.cat(values).float().mean()) for name, values in right.items()}


if __name__ == "__main__":
    main()
