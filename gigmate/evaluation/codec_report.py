"""What a codec keeps of music: a table per set and instrument, a picture, and sound to compare."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gigmate.audio import write_wav
from gigmate.codec.base import Codec
from gigmate.evaluation.excerpts import Excerpt
from gigmate.evaluation.metrics import Mono, chroma_correlation, log_mel_distance, onset_f1, si_sdr_db
from gigmate.evaluation.picture import draw_spectrograms
from gigmate.evaluation.tables import Row, write_csv, write_report

METRICS = ("log_mel", "si_sdr_db", "onset_f1", "chroma_r")


@dataclass(frozen=True)
class CodecScore:
    """One excerpt and how well it came through."""

    excerpt: Excerpt
    made: Mono
    values: dict[str, float]


def score_codec(codec: Codec, excerpts: Iterable[Excerpt]) -> list[CodecScore]:
    """Encode and decode every excerpt; its loudness is left as it is."""
    return [_score(codec, excerpt) for excerpt in excerpts]


def _score(codec: Codec, excerpt: Excerpt) -> CodecScore:
    true, rate = excerpt.wave, codec.spec.sample_rate
    wave = torch.from_numpy(true)[None, None].expand(1, codec.spec.channels, -1)
    made = codec.decode(codec.encode(wave))[0].mean(dim=0)[: len(true)].cpu().numpy()
    values = {
        "log_mel": log_mel_distance(true, made, rate),
        "si_sdr_db": si_sdr_db(true, made),
        "onset_f1": onset_f1(true, made, rate),
        "chroma_r": chroma_correlation(true, made, rate),
    }
    return CodecScore(excerpt, made, values)


def write_codec_report(scores: list[CodecScore], codec: Codec, out: Path) -> Path:
    """Write `report.md`, `scores.csv`, `picture.png` and some excerpts beside their originals; returns the report.

    Every row has its anchor: the same metrics between the excerpt and another excerpt of its instrument.
    """
    rate = codec.spec.sample_rate
    write_csv(
        out / "scores.csv",
        [
            {"set": s.excerpt.origin, "name": s.excerpt.name, "instrument": s.excerpt.instrument, **s.values}
            for s in scores
        ],
    )
    groups: dict[tuple[str, str], list[CodecScore]] = defaultdict(list)
    for score in scores:
        groups[score.excerpt.origin, score.excerpt.instrument].append(score)
    rows = [_row(origin, instrument, members, rate) for (origin, instrument), members in sorted(groups.items())]
    shown = {members[0].excerpt.instrument: members[0] for members in groups.values()}
    for instrument, score in shown.items():
        write_wav(out / "sound" / f"{instrument}_original.wav", score.excerpt.wave[None], rate)
        write_wav(out / "sound" / f"{instrument}_{codec.spec.name}.wav", score.made[None], rate)
    panels = {}
    for instrument, score in list(shown.items())[:3]:
        panels[f"{instrument}: {score.excerpt.name}"] = score.excerpt.wave
        panels[f"{instrument} through {codec.spec.name}"] = score.made
    draw_spectrograms(panels, rate, out / "picture.png", seconds=5.0)
    facts = (
        f"codec {codec.spec.name}, {codec.spec.num_codebooks} codebooks of {codec.spec.codebook_size} at "
        f"{float(codec.spec.frame_rate):g} frames/s, fingerprint {codec.spec.fingerprint[:12]}; mean over excerpts; "
        "in brackets the anchor: the same metric against another excerpt of that instrument"
    )
    return write_report(out / "report.md", "What the codec keeps", facts, rows)


def _row(origin: str, instrument: str, members: list[CodecScore], rate: int) -> Row:
    cells: dict[str, str] = {"set": origin, "instrument": instrument, "excerpts": str(len(members))}
    for name in METRICS:
        cells[name] = f"{np.nanmean([m.values[name] for m in members]):.2f}"
    pairs = list(zip(members, members[1:] + members[:1], strict=True)) if len(members) > 1 else []
    if pairs:
        for name, metric in (("onset_f1", onset_f1), ("chroma_r", chroma_correlation)):
            anchor = np.nanmean([metric(*_cut(a.excerpt.wave, b.excerpt.wave), rate) for a, b in pairs])
            cells[name] += f" ({anchor:.2f})"
    return cells


def _cut(a: Mono, b: Mono) -> tuple[Mono, Mono]:
    """Both as long as the shorter one: a short song's excerpt is the whole song."""
    length = min(len(a), len(b))
    return a[:length], b[:length]
