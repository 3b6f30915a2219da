"""`evaluate.py what=adherence`: somebody's stems, or those of a model for songs it has never met."""

import logging
from pathlib import Path
from typing import Any

from gigmate.accompanist import SHIPPED, Accompanist
from gigmate.config.registry import build
from gigmate.device import resolve
from gigmate.evaluation.adherence.page import write_page
from gigmate.evaluation.adherence.pairs import Pair, pairs_of_folder, pairs_of_source
from gigmate.evaluation.adherence.playing import PlayingStyle, play_pairs, through_codec
from gigmate.evaluation.adherence.report import write_adherence_report
from gigmate.evaluation.adherence.scoring import score_pairs
from gigmate.evaluation.fit.encoder import SHIPPED as SHIPPED_ENCODER
from gigmate.evaluation.fit.encoder import load_encoder
from gigmate.evaluation.fit.judge import Judge
from gigmate.evaluation.metrics import Mono
from gigmate.generation.note_taste import STRENGTHS, NoteTaste

log = logging.getLogger(__name__)

_FOLDER_RATE = 24_000
_NUM_SHOWN = 8
CODEC_PLAYER = "true stem, through the codec"


def evaluate_adherence(cfg: Any, out: Path) -> Path:
    """Write the report that the config asks for; returns `report.md`.

    Raises:
        InputError: nothing to judge.
        CheckpointError: the model is refused.
    """
    pairs, stems, facts = _given(cfg) if cfg.input is not None else _played(cfg)
    played = {id(pair): own for pair, own in zip(pairs, stems, strict=True)}
    judge = _judge(cfg, pairs[0].sample_rate)
    scores = list(score_pairs(pairs, lambda pair: played[id(pair)].items(), lambda name: log.info("%s", name), judge))
    title = f"How well the stems of {Path(cfg.input or cfg.ckpt or SHIPPED).name} fit"
    step = max(1, len(pairs) // _NUM_SHOWN)
    write_page(pairs[::step][:_NUM_SHOWN], stems[::step][:_NUM_SHOWN], title, out)
    return write_adherence_report(scores, title, facts, out)


def _judge(cfg: Any, sample_rate: int) -> Judge | None:
    path = SHIPPED_ENCODER if cfg.encoder is None else Path(cfg.encoder)
    if cfg.encoder is None and not path.exists():
        log.info("no encoder ships with this version: fit isn't judged")
        return None
    return Judge(load_encoder(path), sample_rate)


def _given(cfg: Any) -> tuple[list[Pair], list[dict[str, Mono]], str]:
    found = pairs_of_folder(Path(cfg.input), _FOLDER_RATE)
    return [pair for pair, _ in found], [{"stem": stem} for _, stem in found], f"{len(found)} stems of {cfg.input}."


def _played(cfg: Any) -> tuple[list[Pair], list[dict[str, Mono]], str]:
    player = Accompanist.load(None if cfg.ckpt is None else Path(cfg.ckpt), codec=cfg.codec, device=resolve(cfg.device))
    source = build(cfg.data.source)
    rate = player.codec.spec.sample_rate
    pairs = pairs_of_source(source, cfg.instruments, cfg.seconds, cfg.limit, rate)
    style = PlayingStyle(
        cfg.beats,
        cfg.guidance_scale,
        cfg.seed,
        num_candidates=cfg.num_candidates,
        taste=NoteTaste(**{name: cfg[name] for name in STRENGTHS}),
        warms_up=cfg.warms_up,
        fader=cfg.fader,
    )
    stems: list[dict[str, Mono]] = [{} for _ in pairs]
    for lookahead_s in cfg.lookahead_s:
        log.info("playing to %d excerpts with lookahead %+g s", len(pairs), lookahead_s)
        for own, stem in zip(stems, play_pairs(player, pairs, lookahead_s, style), strict=True):
            own[f"model, {lookahead_s:+g} s"] = stem
    for own, pair in zip(stems, pairs, strict=True):
        if pair.true is not None:
            own[CODEC_PLAYER] = through_codec(player, pair.true)
    groups = len({pair.group for pair in pairs})
    facts = (
        f"{len(pairs)} excerpts of {cfg.seconds:g} s from {len({pair.song for pair in pairs})} held-out songs of "
        f"{type(source).__name__} ({groups} groups); beats given to the model: {cfg.beats}, guidance "
        f"{cfg.guidance_scale:g}, seed {cfg.seed}, best of {cfg.num_candidates} candidates (one for drums and at "
        f"lookaheads below 0), {'with' if cfg.warms_up else 'without'} a warm-up, "
        f"{'with' if style.fader else 'without'} a fader."
    )
    return pairs, stems, facts
