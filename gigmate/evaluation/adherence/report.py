"""The report of `evaluate.py what=adherence`: tables for people, rows for programs, one line for trackers."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gigmate.evaluation.adherence.anchors import RANDOM, TRUE
from gigmate.evaluation.adherence.scoring import DRIFT, METRICS, PITCHED_METRICS, SOUNDNESS, Score, players_of
from gigmate.evaluation.adherence.table import Adherence, adherence, sane_share, set_distances
from gigmate.evaluation.tables import Row, markdown, write_csv
from gigmate.files.atomic import write_bytes
from gigmate.music.instruments import INSTRUMENTS

_INTRO = """\
Adherence is (score - random) / (true - random): 0 fits no better than another song's stem, 1 as well as the true one;
in brackets the 95 % bootstrap interval over songs. Figures in (round brackets alone) don't count: on that metric the
true stem doesn't beat random pairings clearly. `sane`: share of the songs on which loudness lies within 6 dB and
density and silence within a factor of two of the true stem's. The first table is what counts: at most 1, and a song on
which the stem isn't sane, or gave nothing to measure, is worth a random pairing at most. The second leaves that out.
What a metronome or root notes reach is no merit of a model. Where no true stem is known, the random pairing is what the
judged player played to another song, and the table says by how much a score lies above that, song by song.
"""


def write_adherence_report(scores: Sequence[Score], title: str, facts: str, out: Path) -> Path:
    """Write `report.md`, `scores.csv` (a row per song, instrument, player and metric) and `scores.json`."""
    rows: list[dict[str, str | float]] = [
        {"song": s.song, "instrument": s.instrument, "player": s.player, "metric": name, "value": round(value, 6)}
        for s in scores
        for name, value in s.values.items()
        if np.isfinite(value)
    ]
    write_csv(out / "scores.csv", rows)
    write_bytes(out / "scores.json", (json.dumps({"what": "adherence", **summary(scores)}) + "\n").encode())
    text = [f"# {title}\n\n{facts}\n\n{_INTRO}"]
    for instrument in _instruments(scores):
        own = [score for score in scores if score.instrument == instrument]
        num_songs = len({score.song for score in own})
        if any(score.player == TRUE for score in own):
            tables = [markdown(_adherence_rows(own, is_counted)) for is_counted in (True, False)]
        else:
            tables = [markdown(_lead_rows(own))]
        text.append("\n".join([f"\n## {instrument}: {num_songs} songs\n", *tables]))
        if fit := markdown(_fit_rows(own)):
            text.append(f"\nBy the contrastive encoder, all songs together:\n\n{fit}")
        text.append(f"\nScores:\n\n{markdown(_score_rows(own))}\nSoundness:\n\n{markdown(_soundness_rows(own))}")
    write_bytes(out / "report.md", "".join(text).encode())
    return out / "report.md"


def summary(scores: Sequence[Score]) -> dict[str, object]:
    """`instrument/player/metric` -> [adherence, low, high, mean score, counted adherence, low, high] if it tells."""
    figures: dict[str, object] = {}
    for instrument in _instruments(scores):
        own = [score for score in scores if score.instrument == instrument]
        for player in players_of(own):
            for metric in _metrics(own):
                found = adherence(own, player, metric)
                if found is not None and found.is_telling and found.adherence is not None and found.counted is not None:
                    every, counted = found.adherence, found.counted
                    parts = (every.value, every.low, every.high, found.mean.value)
                    parts += (counted.value, counted.low, counted.high)
                    figures[f"{instrument}/{player}/{metric}"] = [round(part, 4) for part in parts]
            if (found := set_distances(own, player)) is not None:
                figures[f"{instrument}/{player}/apa"] = round(found.prompt_adherence, 4)
                if (share := found.prefers) is not None:
                    figures[f"{instrument}/{player}/prefers"] = [
                        round(x, 4) for x in (share.value, share.low, share.high)
                    ]
                figures[f"{instrument}/{player}/frechet"] = round(found.frechet, 4)
            share = sane_share(own, player)
            if share is not None:
                figures[f"{instrument}/{player}/sane"] = round(share, 4)
    return figures


def _instruments(scores: Sequence[Score]) -> list[str]:
    return [name for name in INSTRUMENTS if any(score.instrument == name for score in scores)]


def _metrics(scores: Sequence[Score]) -> list[str]:
    return [name for name in (*METRICS, *PITCHED_METRICS) if any(name in score.values for score in scores)]


def _adherence_rows(scores: Sequence[Score], is_counted: bool) -> list[Row]:
    rows = []
    for player in players_of(scores):
        if player in (TRUE, RANDOM):
            continue  # 1 and 0
        row: Row = {"counted adherence of" if is_counted else "adherence of": player}
        for metric in _metrics(scores):
            row[metric] = _text(adherence(scores, player, metric), is_counted)
        share = sane_share(scores, player)
        row["sane"] = "" if share is None else f"{share:.0%}"
        rows.append(row)
    return rows


def _lead_rows(scores: Sequence[Score]) -> list[Row]:
    """Where no true stem is known there is no adherence, but a score may be clearly above a random pairing's."""
    rows = []
    for player in players_of(scores):
        if player != RANDOM:
            found = {metric: adherence(scores, player, metric) for metric in _metrics(scores)}
            leads = {
                name: f"{f.lead:+.2f}" if f is not None and f.lead is not None else "" for name, f in found.items()
            }
            rows.append({"lead over a random pairing of": player, **leads})
    return rows


def _text(found: Adherence | None, is_counted: bool) -> str:
    value = None if found is None else found.counted if is_counted else found.adherence
    if found is None or value is None:
        return ""
    return f"{value:.2f}" if found.is_telling else f"({value.value:.2f})"


def _fit_rows(scores: Sequence[Score]) -> list[Row]:
    rows = []
    for player in players_of(scores):
        if (found := set_distances(scores, player)) is not None:
            prefers = "" if found.prefers is None else f"{found.prefers:.2f}"
            figures = {"APA": f"{found.prompt_adherence:.2f}", "preferred to a stranger's": prefers}
            rows.append({"player": player, **figures, "Frechet distance": f"{found.frechet:.2f}"})
    return rows


def _score_rows(scores: Sequence[Score]) -> list[Row]:
    rows = []
    for player in players_of(scores):
        row: Row = {"score of": player}
        for metric in _metrics(scores):
            found = adherence(scores, player, metric)
            row[metric] = "" if found is None else f"{found.mean:.2f}"
        rows.append(row)
    return rows


def _soundness_rows(scores: Sequence[Score]) -> list[Row]:
    rows = []
    for player in players_of(scores):
        row: Row = {"player": player}
        for name in (*SOUNDNESS, *DRIFT):
            values = [score.values[name] for score in scores if score.player == player and name in score.values]
            finite = [value for value in values if np.isfinite(value)]
            if finite:
                row[name] = f"{np.median(finite):.2f}"
        rows.append(row)
    return rows
