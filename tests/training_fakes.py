"""A tiny language model to train, on data that need no files."""

from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch.nn import functional as F
from torch.utils.data import Dataset

from gigmate.codec.base import CodecSpec
from gigmate.data.module import WindowData
from gigmate.data.windows import TokenWindow, WindowKey
from gigmate.model.config import ModelConfig, PatternConfig
from gigmate.pitch import NUM_PITCH_CLASSES
from gigmate.training.averaging import WeightAverage
from gigmate.training.callbacks import FiniteGuard, SignalGuard
from gigmate.training.checkpoints import CheckpointSaver, VerifiedCheckpointIO
from gigmate.training.export import Exporter
from gigmate.training.lm_module import LMModule
from gigmate.training.schedules import warmup_cosine
from gigmate.training.step_seed import StepSeed

K, V, D, G, T = 2, 8, 3, 10, 12
SPEC = CodecSpec("toy", 24_000, 1, 480, K, V, "f" * 64)
SHAPE = ModelConfig(
    dim=16,
    num_layers=1,
    num_heads=2,
    window=16,
    dropout=0.2,
    num_codebooks=K,
    codebook_size=V,
    mix_features=D,
    semitone_bands=D,
    min_lookahead_frames=-2,
    max_lookahead_frames=2,
    pattern=PatternConfig("delay"),
)


class ToyWindows(Dataset[TokenWindow]):
    """Window i is a function of i: the stem's codes are those of the mix, so listening pays."""

    def __init__(self, size: int, bad: frozenset[int] = frozenset(), lookaheads: tuple[int, int] = (-2, 2)) -> None:
        self.size, self.bad, self.lookaheads = size, bad, lookaheads

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: WindowKey) -> TokenWindow:
        index = key[0] * self.size + key[1]
        generator = torch.Generator().manual_seed(index)
        tune = torch.randint(V, (T + 2,), generator=generator)
        power = torch.stack([((tune >> band) & 1).float() for band in range(D)])
        return {
            "codes": torch.stack([tune[:T], (tune[:T] + 1) % V]),
            "notes": torch.full((T,), V),
            "mix_power": power * torch.nan if index in self.bad else power,
            "mix_present": torch.tensor(True),
            "beats": torch.rand(G, T, generator=generator),
            "root": tune % NUM_PITCH_CLASSES,
            "tones": F.one_hot(tune % NUM_PITCH_CLASSES, NUM_PITCH_CLASSES).T.float(),
            "instrument": torch.tensor(index % 7),
            "lookahead": torch.randint(self.lookaheads[0], self.lookaheads[1] + 1, (), generator=generator),
            "song": torch.tensor(key[0]),
            "index": torch.tensor(key[1]),
        }


class ToyData(WindowData):
    """`TokenData` without files."""

    spec, num_features, num_semitone_bands, min_lookahead_frames, max_lookahead_frames = SPEC, D, D, -2, 2

    def __init__(
        self,
        size: int = 16,
        bad: frozenset[int] = frozenset(),
        num_workers: int = 0,
        lookaheads: tuple[int, int] = (-2, 2),
    ) -> None:
        train, valid = ToyWindows(size, bad, lookaheads), ToyWindows(4)
        super().__init__(lambda: train, lambda: valid, 2, num_workers, size, 4)
        self.seen: list[tuple[int, int]] = []

    def on_after_batch_transfer(self, batch: TokenWindow, dataloader_idx: int) -> TokenWindow:
        assert self.trainer is not None
        if self.trainer.training:
            self.seen += zip(batch["song"].tolist(), batch["index"].tolist(), strict=True)
        return batch


def toy_module(**changes: Any) -> LMModule:
    """A fresh module, the same each time."""
    torch.manual_seed(0)
    schedule = partial(warmup_cosine, warmup_steps=2, max_steps=40)
    return LMModule(SHAPE, SPEC, partial(torch.optim.AdamW, lr=3e-3), schedule, **changes)


def toy_trainer(run_dir: Path, *callbacks: L.Callback, max_steps: int = 8, **changes: Any) -> L.Trainer:
    """A trainer as `train` makes it."""
    exporter = Exporter(run_dir, {"data": ["toy"]})
    settings: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "max_steps": max_steps,
        "val_check_interval": 3,
        "check_val_every_n_epoch": None,
        "accumulate_grad_batches": 2,
        "gradient_clip_val": 1.0,
        "log_every_n_steps": 1,
        "num_sanity_val_steps": 0,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return L.Trainer(
        **(settings | changes),
        callbacks=[StepSeed(0), WeightAverage(0.9), FiniteGuard(2), *callbacks, exporter],
        plugins=[VerifiedCheckpointIO()],
        default_root_dir=run_dir,
        enable_checkpointing=any(isinstance(c, CheckpointSaver | SignalGuard) for c in callbacks),
    )
