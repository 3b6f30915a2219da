"""`evaluate.py`: a report on a codec, a training run or a model's playing and listening, in its own folder."""

import logging
from pathlib import Path
from typing import Any

from gigmate.accompanist import SHIPPED, Accompanist
from gigmate.checkpoint import check_codec, load_lm
from gigmate.codec.catalog import load_codec
from gigmate.config.registry import build
from gigmate.data.loading import of_split, open_folders
from gigmate.device import resolve, use_threads
from gigmate.errors import UsageError
from gigmate.evaluation.adherence.run import evaluate_adherence
from gigmate.evaluation.codec_report import score_codec, write_codec_report
from gigmate.evaluation.continuation_report import NEW_S, PAST_S, Song, write_continuation_report
from gigmate.evaluation.excerpts import Excerpt, excerpts_of_folder, excerpts_of_stems, mix_of
from gigmate.evaluation.hearing.report import write_listening_report
from gigmate.evaluation.hearing.scores import window_losses
from gigmate.evaluation.hearing.windows import draw_windows
from gigmate.evaluation.held_out import held_out_songs
from gigmate.evaluation.training_report import write_training_report
from gigmate.generation.ears import chord_ear_for
from gigmate.generation.note_taste import NoteTaste

log = logging.getLogger(__name__)

_REPORT = "report.md"


def evaluate(cfg: Any) -> Path:
    """Write the report that the config of the root `evaluate` asks for; returns its path.

    Raises:
        UsageError: a report is there already.
        InputError: nothing to evaluate.
        CheckpointError: codec or model are refused.
    """
    out = Path(cfg.out) if cfg.out is not None else Path(cfg.paths.runs_dir) / "evaluate" / cfg.what
    if (out / _REPORT).exists() and not cfg.force:
        raise UsageError("out_exists", "a report is there already", out / _REPORT, "choose another out or force=true")
    use_threads(resolve(cfg.device))
    reports = {
        "codec": _codec,
        "training": _training,
        "continuation": _continuation,
        "listening": _listening,
        "adherence": evaluate_adherence,
    }
    report = reports[cfg.what](cfg, out)
    log.info("%s", report.read_text(encoding="utf-8"))
    return report


def _codec(cfg: Any, out: Path) -> Path:
    codec = load_codec(cfg.codec or "compact", resolve(cfg.device).codec_device)
    rate = codec.spec.sample_rate
    excerpts: list[Excerpt] = []
    if cfg.input is not None:
        excerpts = list(excerpts_of_folder(Path(cfg.input), rate, cfg.limit))
    else:
        source = build(cfg.data.source)
        origin = type(source).__name__.removesuffix("Source").lower()
        for entry, audio in held_out_songs(source, cfg.limit, rate):
            excerpts.extend(excerpts_of_stems(origin, entry.song_id, audio.stems, rate))
    return write_codec_report(score_codec(codec, excerpts), codec, out)


def _training(cfg: Any, out: Path) -> Path:
    if cfg.input is None:
        raise UsageError("missing_key", "which run?", "input", "give the folder of a run of train.py")
    return write_training_report(Path(cfg.input), out)


def _continuation(cfg: Any, out: Path) -> Path:
    ckpt = None if cfg.ckpt is None else Path(cfg.ckpt)
    player = Accompanist.load(ckpt, codec=cfg.codec, device=resolve(cfg.device))
    rate = player.codec.spec.sample_rate
    songs = []
    for entry, audio in held_out_songs(build(cfg.data.source), 4 * cfg.limit, rate):
        wave = mix_of(audio.stems)
        if audio.grid is not None and len(wave) >= round((PAST_S + NEW_S) * rate):
            songs.append(Song(entry.song_id, wave, audio.grid))
        if len(songs) == cfg.limit:
            break
    return write_continuation_report(player, songs, out, cfg.seed)


def _listening(cfg: Any, out: Path) -> Path:
    ckpt, device = Path(cfg.ckpt or SHIPPED), resolve(cfg.device)
    loaded = load_lm(ckpt, device.device)
    recipe, songs = open_folders(list(cfg.folders), "tokens")
    assert recipe.codec is not None  # tokens have one
    check_codec(loaded.codec, recipe.codec, ckpt)
    ahead_frames = max(0, loaded.model.config.max_lookahead_frames)
    windows = draw_windows(of_split(songs, "valid"), ahead_frames, cfg.limit, cfg.seed)
    rate = recipe.codec.frame_rate
    chord_ear = chord_ear_for(loaded.model.config, rate)
    taste = NoteTaste(chord_strength=cfg.chord_strength).at(rate, None, chord_ear=chord_ear)
    losses = window_losses(loaded.model, windows, device.dtype, taste, _log_progress)
    return write_listening_report(losses, ckpt.name, cfg.chord_strength, out)


def _log_progress(done: int, total: int) -> None:
    if done % 25 == 0:
        log.info("%d of %d batches", done, total)
