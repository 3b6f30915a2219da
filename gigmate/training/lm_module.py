"""The LightningModule that trains the language model: losses and figures, which the model itself knows nothing of."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics import MeanMetric

from gigmate.codec.base import Codec, CodecSpec
from gigmate.errors import UsageError
from gigmate.model.conditions import FrameConditions, drop_conditions, step_conditions, with_slow_power
from gigmate.model.config import ModelConfig
from gigmate.model.harmony import harmony_loss
from gigmate.model.lm import AccompanimentLM, levels_of, shift_steps
from gigmate.model.losses import token_losses
from gigmate.model.streams import streams_of
from gigmate.pitch import NO_ROOT, NUM_PITCH_CLASSES
from gigmate.shapes import Codes, Logits, Steps
from gigmate.training.metrics import CodebookMean, UnigramEntropy
from gigmate.training.past import hide_first, hide_spans, misplace_spans

MakeOptimizer = Callable[[Iterable[Any]], Optimizer]
Schedule = Callable[[int], float]
HARMONY_STRIDE = 8
"""Every so many frames the chord is asked for: neighbours tell the same."""

Batch = dict[str, Tensor]
"""As `TokenData` makes it (`TokenWindow`, with a leading axis B); V among the codes means that there is no code."""


class LMModule(L.LightningModule):
    """Trains an `AccompanimentLM` and measures what it has learned.

    Validation uses every window three times, with the smallest lookahead, none and the largest, each with its own mix
    and with that of the next window in the batch: a model that listens must find the other mix harder to play to.

    Args:
        shape: of the model.
        codec: what the codes are of.
        make_optimizer: parameter groups -> optimizer.
        schedule: step -> factor for the learning rate.
        load_codec: makes the codec, for sounding samples; called at the first of them.
        condition_dropout: share of the windows that hear no mix.
        beat_dropout: share of the windows without a beat grid.
        past_dropout: share of the windows that lose spans of the stem's own past (`gigmate.training.past`).
        past_errors: share of the windows in whose past spans of sound are another moment's.
        notes_dropout: share of the windows that aren't told the notes of the past, as before a stem that is continued.
        sound_dropout: share of the windows that aren't told the sound of the past, as when a player begins.
        harmony_weight: of a second loss, that of the chord by the mix.
        codebook_weights: how much each codebook counts in the loss; None: all the same.
        sample_every_steps: play a window after the validations that far apart; 0 for never.
        sample_s: how long.
    """

    codebook_weights: Tensor

    def __init__(
        self,
        shape: ModelConfig,
        codec: CodecSpec,
        make_optimizer: MakeOptimizer,
        schedule: Schedule,
        load_codec: Callable[[], Codec] | None = None,
        condition_dropout: float = 0.1,
        beat_dropout: float = 0.2,
        past_dropout: float = 0.0,
        past_errors: float = 0.0,
        notes_dropout: float = 0.1,
        sound_dropout: float = 0.0,
        harmony_weight: float = 1.0,
        codebook_weights: Sequence[float] | None = None,
        sample_every_steps: int = 0,
        sample_s: float = 8.0,
    ) -> None:
        super().__init__()
        self.net = AccompanimentLM(shape)
        self.pattern = shape.build_pattern()
        self.config, self.codec = shape, codec
        self.make_optimizer, self.schedule, self.load_codec = make_optimizer, schedule, load_codec
        self.condition_dropout, self.beat_dropout = condition_dropout, beat_dropout
        self.past_dropout, self.past_errors, self.notes_dropout = past_dropout, past_errors, notes_dropout
        self.sound_dropout, self.harmony_weight = sound_dropout, harmony_weight
        weights = [1.0] * shape.num_streams if codebook_weights is None else list(codebook_weights)
        if len(weights) != shape.num_streams:
            raise UsageError(
                "setting",
                f"{len(weights)} weights for {', '.join(shape.stream_names)}",
                "module.codebook_weights",
                "give one for each, or null",
            )
        self.register_buffer("codebook_weights", torch.tensor(weights) / sum(weights), persistent=False)
        self.sample_every_steps, self.sample_s = sample_every_steps, sample_s
        low, high = shape.min_lookahead_frames, shape.max_lookahead_frames
        self.lookaheads = sorted({low, min(max(0, low), high), high})
        books = shape.num_streams
        means = [f"{mix}_{name(frames)}" for frames in self.lookaheads for mix in ("true", "swapped")]
        self.means = nn.ModuleDict({key: CodebookMean(books) for key in ("loss", "accuracy", *means)})
        self._train_names = [f"train/loss_{stream}" for stream in shape.stream_names]
        self.unigram = UnigramEntropy(books, shape.codebook_size)
        self.root_accuracy = MeanMetric()

    def configure_callbacks(self) -> list[L.Callback]:
        """The player of samples, if any are wanted."""
        from gigmate.training.samples import StemSampler

        if not self.sample_every_steps or self.load_codec is None:
            return []
        return [StemSampler(self.load_codec, self.sample_every_steps, self.sample_s)]

    def streams(self, batch: Batch) -> Codes:
        """What the model is to write, [B, K', T]."""
        return streams_of(batch["codes"], self.config, batch["notes"])

    def predict(self, codes: Codes, conditions: FrameConditions, past: Codes | None = None) -> tuple[Logits, Steps]:
        """Logits [B, K, S, V] and the steps [B, K, S] that they should predict, from a past other than the codes'."""
        special = self.config.special_id
        steps = self.pattern.interleave(codes, special)
        given = shift_steps(steps if past is None else self.pattern.interleave(past, special), special)
        return self.net(given, step_conditions(conditions, self.pattern, steps.shape[2])), steps

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a batch, some of whose rows have lost their mix or beats."""
        conditions = frame_conditions(batch)
        uniform = torch.rand(conditions.batch, 2).to(self.device)
        conditions = drop_conditions(conditions, uniform, p_mix=self.condition_dropout, p_beats=self.beat_dropout)
        codes = self.streams(batch)
        _, per_codebook = token_losses(*self.predict(codes, conditions, self.dropped_past(codes)))
        loss = (per_codebook * self.codebook_weights).sum()
        if self.harmony_weight:
            heard = harmony_loss(*self.hear_chords(batch, transposes=True))
            self.log("train/harmony_loss", heard.detach())
            loss = loss + self.harmony_weight * heard
        self.log("train/loss", loss.detach(), prog_bar=True)
        self.log_dict(dict(zip(self._train_names, per_codebook.detach(), strict=True)))
        return loss

    def dropped_past(self, streams: Codes) -> Codes:
        """[B, K', T] without what the model isn't told of its own past, and with errors in its sound; notes and sound
        are lost in places of their own, so that each has to be told from the other.
        """
        special, num_notes = self.config.special_id, int(self.config.writes_notes)
        notes, codes = streams[:, :num_notes], streams[:, num_notes:]
        if self.past_errors:
            codes = misplace_spans(codes, self.past_errors)
        if self.past_dropout:
            notes, codes = (hide_spans(part, special, self.past_dropout) for part in (notes, codes))
        notes, codes = hide_first(notes, special, self.notes_dropout), hide_first(codes, special, self.sound_dropout)
        return torch.cat((notes, codes), dim=1)

    def hear_chords(self, batch: Batch, *, transposes: bool) -> tuple[Tensor, Tensor, Tensor]:
        """What is heard of the chords in every few frames of each mix, and the truth, both transposed at random if
        wished: logits [N, H], root [N], tones [N, 12].
        """
        frames = slice(None, None, HARMONY_STRIDE)
        present = batch["mix_present"]
        power = with_slow_power(batch["mix_power"][present]).transpose(1, 2)[:, frames]
        root, tones = batch["root"][present][:, frames], batch["tones"][present].transpose(1, 2)[:, frames]
        up = torch.zeros(len(power), dtype=torch.int64, device=self.device)
        if transposes:
            up = torch.randint(-6, 6, (len(power),)).to(self.device)
        logits = self.net.conditions.harmony(levels_of(power), up)
        places = (torch.arange(NUM_PITCH_CLASSES, device=self.device) - up[:, None]) % NUM_PITCH_CLASSES
        tones = tones.gather(2, places[:, None].expand_as(tones))
        root = torch.where(root == NO_ROOT, root, (root + up[:, None]) % NUM_PITCH_CLASSES)
        return logits.flatten(0, 1), root.flatten(), tones.flatten(0, 1)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure a batch; see the class."""
        conditions, codes = frame_conditions(batch), self.streams(batch)
        count = (codes < self.config.codebook_size).sum(dim=(0, 2))
        self.unigram.update(codes)
        logits, root, _ = self.hear_chords(batch, transposes=False)
        is_known = root != NO_ROOT
        self.root_accuracy.update((logits[:, :NUM_PITCH_CLASSES].argmax(dim=-1) == root)[is_known].float())
        for frames in self.lookaheads:
            there = replace(conditions, lookahead=torch.full_like(conditions.lookahead, frames))
            logits, steps = self.predict(codes, there)
            losses = token_losses(logits, steps)[1]
            is_right = (logits.argmax(dim=-1) == steps).sum(dim=(0, 2))
            self._add("loss", losses, count)
            self._add("accuracy", is_right / count.clamp(min=1), count)
            self._add(f"true_{name(frames)}", losses, count)
            if conditions.batch > 1:
                swapped = token_losses(*self.predict(codes, with_next_mix(there)))[1]
                self._add(f"swapped_{name(frames)}", swapped, count)

    def on_validation_epoch_end(self) -> None:
        """Log the figures of the whole validation."""
        means = {key: metric.compute() for key, metric in self.means.items()}  # pyright: ignore[reportCallIssue]
        figures = {"valid/loss": means["loss"].mean(), "valid/accuracy": means["accuracy"].mean()}
        entropy = self.unigram.compute()
        for k, stream in enumerate(self.config.stream_names):
            figures[f"valid/loss_{stream}"] = means["loss"][k]
            figures[f"valid/perplexity_{stream}"] = means["loss"][k].exp()
            figures[f"valid/accuracy_{stream}"] = means["accuracy"][k]
            figures[f"valid/unigram_entropy_{stream}"] = entropy[k]
        for frames in self.lookaheads:
            for mix in ("true", "swapped"):
                key = f"{mix}_{name(frames)}"
                if self.means[key].update_called:
                    figures[f"valid/{key}"] = means[key].mean()
        if self.root_accuracy.update_called:
            figures["valid/root_accuracy"] = self.root_accuracy.compute()
        self.log_dict(figures)
        for metric in (*self.means.values(), self.unigram, self.root_accuracy):
            metric.reset()  # pyright: ignore[reportCallIssue]

    def _add(self, key: str, mean: Tensor, count: Tensor) -> None:
        self.means[key].update(mean, count)  # pyright: ignore[reportCallIssue]

    def configure_optimizers(self) -> Any:
        """The optimizer, which shrinks matrices only (no gains, no biases), and the schedule of its rate."""
        parameters = list(self.net.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim > 1]},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = self.make_optimizer([group for group in groups if group["params"]])
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, self.schedule), "interval": "step"},
        }


def name(lookahead_frames: int) -> str:
    """How figures name a lookahead: `minus50`, `0`, `plus50` frames."""
    return f"{'minus' * (lookahead_frames < 0)}{'plus' * (lookahead_frames > 0)}{abs(lookahead_frames)}"


def frame_conditions(batch: Batch) -> FrameConditions:
    """The conditions of a batch."""
    return FrameConditions(
        batch["mix_power"], batch["mix_present"], batch["beats"], batch["instrument"], batch["lookahead"]
    )


def with_next_mix(conditions: FrameConditions) -> FrameConditions:
    """Every row with the mix of the next one, the last with that of the first."""
    return replace(
        conditions,
        mix_power=conditions.mix_power.roll(-1, dims=0),
        mix_present=conditions.mix_present.roll(-1, dims=0),
    )
