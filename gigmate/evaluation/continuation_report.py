"""How continuations join, on songs whose true continuation is known: a table with the true song as its anchor."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gigmate.accompanist import Accompanist
from gigmate.audio import write_wav
from gigmate.continuation import continue_song
from gigmate.evaluation.joint import level_jump_db, phase_step_s, spectral_jump
from gigmate.evaluation.metrics import Mono
from gigmate.evaluation.tables import Row, write_csv, write_report
from gigmate.model.conditions import FrameConditions, step_conditions
from gigmate.model.lm import AccompanimentLM, shift_steps
from gigmate.model.losses import token_losses
from gigmate.model.streams import streams_of
from gigmate.music.grid import BeatGrid
from gigmate.music.instruments import INSTRUMENTS
from gigmate.performance import Take
from gigmate.shapes import Codes

PAST_S, NEW_S = 12.0, 10.0


@dataclass(frozen=True)
class Song:
    """A song to be continued: [N] float32 at the codec's rate, at least 22 s, and its beats."""

    name: str
    wave: Mono
    grid: BeatGrid


def write_continuation_report(player: Accompanist, songs: list[Song], out: Path, seed: int) -> Path:
    """Continue every song from 12 s on; write `report.md`, `scores.csv` and the sound; returns the report."""
    rate = player.codec.spec.sample_rate
    joint, end = round(PAST_S * rate), round((PAST_S + NEW_S) * rate)
    scores: list[dict[str, str | float]] = []
    for index, song in enumerate(songs):
        past = song.wave[None, :joint]
        played = continue_song(player, past, rate, Take("all", seed=seed), grid=song.grid, seconds=NEW_S)
        write_wav(out / "sound" / f"{song.name}.wav", played.mix, rate)
        other = songs[(index + 1) % len(songs)]
        pasted = np.concatenate([song.wave[:joint], other.wave[joint:end]])
        for kind, wave in (("continued", played.mix[0]), ("true song", song.wave[:end]), ("another song", pasted)):
            scores.append({"song": song.name, "what": kind, **joint_figures(wave, joint, song.grid, rate)})
    write_csv(out / "scores.csv", scores)
    true, swapped = past_losses(player, songs)
    facts = (
        f"{len(songs)} songs, continued from {PAST_S:g} s for {NEW_S:g} s; medians of absolute values. Loss of the "
        f"true continuation given its own past {true:.3f}, given another song's {swapped:.3f} nats per code."
    )
    return write_report(out / "report.md", "How continuations join", facts, _table(scores))


def joint_figures(wave: Mono, joint: int, grid: BeatGrid, rate: int) -> dict[str, float]:
    """The three figures of a joint."""
    return {
        "level_jump_db": round(level_jump_db(wave, joint, rate), 3),
        "spectral_jump": round(spectral_jump(wave, joint, rate), 4),
        "beat_step_ms": round(1e3 * phase_step_s(wave, joint, grid, rate), 1),
    }


def _table(scores: list[dict[str, str | float]]) -> list[Row]:
    rows = []
    for kind in ("continued", "true song", "another song"):
        mine = [s for s in scores if s["what"] == kind]
        row: Row = {"what": kind}
        for name in ("level_jump_db", "spectral_jump", "beat_step_ms"):
            row[name] = f"{np.median(np.abs([float(s[name]) for s in mine])):.2f}"
        within = np.mean([abs(float(s["beat_step_ms"])) <= 20 for s in mine])
        row["songs within 20 ms"] = f"{within:.0%}"
        rows.append(row)
    return rows


@torch.no_grad()
def past_losses(player: Accompanist, songs: list[Song]) -> tuple[float, float]:
    """Mean loss of the true continuations given their own past, and given the next song's."""
    rate, hop = player.codec.spec.sample_rate, player.codec.spec.hop
    past_frames = int(PAST_S * rate / hop)
    waves = np.stack([song.wave[: round((PAST_S + NEW_S) * rate)] for song in songs])
    codes = player.codec.encode(torch.from_numpy(waves)[:, None].expand(-1, player.codec.spec.channels, -1))
    grids = [song.grid.features(codes.shape[2], player.codec.spec.frame_rate) for song in songs]
    swapped = codes.clone()
    swapped[:, :, :past_frames] = codes[:, :, :past_frames].roll(-1, dims=0)
    beats = torch.from_numpy(np.stack(grids))
    return tuple(_loss_after(player.model, c, beats, past_frames) for c in (codes, swapped))  # type: ignore[return-value]


def _loss_after(model: AccompanimentLM, codes: Codes, beats: torch.Tensor, past_frames: int) -> float:
    config, batch = model.config, len(codes)
    pattern = config.build_pattern()
    steps = pattern.interleave(streams_of(codes, config), config.special_id)
    conditions = FrameConditions(
        mix_power=torch.zeros(batch, config.mix_features, 0),
        mix_present=torch.zeros(batch, dtype=torch.bool),
        beats=beats,
        instrument=torch.full((batch,), INSTRUMENTS.index("all")),
        lookahead=torch.full((batch,), config.max_lookahead_frames),
    )
    logits = model(shift_steps(steps, config.special_id), step_conditions(conditions, pattern, steps.shape[2]))
    first = past_frames * pattern.period + pattern.max_delay
    return float(token_losses(logits[:, :, first:], steps[:, :, first:])[0])
