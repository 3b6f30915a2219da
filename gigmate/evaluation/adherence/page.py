"""`report.html`: the songs to listen to and to look at, beside the tables."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gigmate.audio import write_wav
from gigmate.evaluation.adherence.pairs import Pair
from gigmate.evaluation.metrics import Mono
from gigmate.evaluation.picture import draw_spectrograms
from gigmate.files.atomic import write_bytes

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
figure { display: inline-block; margin: 0 1rem .5rem 0; } figcaption { font-size: 85%; } img { width: 100%; }
"""


def write_page(pairs: Sequence[Pair], stems: Sequence[Mapping[str, Mono]], title: str, out: Path) -> Path:
    """Write `report.html` with `sound/*.wav` and `pictures/*.png` beside it; returns the page.

    Args:
        pairs: the songs that are shown.
        stems: for each, the stems of the systems by name.
        title: of the page.
        out: the folder.
    """
    parts = []
    for number, (pair, played) in enumerate(zip(pairs, stems, strict=True)):
        waves = {"song": pair.mix, **({} if pair.true is None else {"true stem": pair.true})}
        for name, stem in played.items():
            waves |= {name: stem, f"song and {name}": pair.mix + stem}
        name = f"{number:02d}-{pair.instrument}"
        figures = []
        for index, (caption, wave) in enumerate(waves.items()):
            path = out / "sound" / f"{name}-{index}.wav"
            loudest = max(1.0, float(np.abs(wave).max(initial=0.0)) / 0.99)
            write_wav(path, (wave / loudest).astype(np.float32)[None], pair.sample_rate)
            figures.append(_player(caption, f"sound/{path.name}"))
        draw_spectrograms(waves, pair.sample_rate, out / "pictures" / f"{name}.png", grid=pair.grid)
        heading = html.escape(f"{pair.instrument}: {pair.song}")
        picture = f'<img src="pictures/{name}.png" alt="spectrograms of {heading}, with onsets and beats">'
        parts.append(f"<h2>{heading}</h2>\n{''.join(figures)}\n{picture}\n")
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>\n"
        f'<p>Figures: <a href="report.md">report.md</a>, <a href="scores.csv">scores.csv</a>. Ticks are onsets, '
        f"lines the true beats, bold ones bars.</p>\n{''.join(parts)}</html>\n"
    )
    write_bytes(out / "report.html", text.encode())
    return out / "report.html"


def _player(caption: str, source: str) -> str:
    return (
        f'<figure><figcaption>{html.escape(caption)}</figcaption><audio controls preload="none" src="{source}"></audio>'
        "</figure>"
    )
