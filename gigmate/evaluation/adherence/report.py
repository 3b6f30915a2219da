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
density and silence within a factor of two of the true stem's; elsewhere adherence means little. What a metronome or
root notes reach is no merit of a model.
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
        text.append(f"\n## {instrument}: {num_songs} songs\n\n{markdown(_adherence_rows(own))}")
        if fit := markdown(_fit_rows(own)):
            text.append(f"\nBy the contrastive encoder, all songs together:\n\n{fit}")
        text.append(f"\nScores:\n\n{markdown(_score_rows(own))}\nSoundness:\n\n{markdown(_soundness_rows(own))}")
    write_bytes(out / "report.md", "".join(text).encode())
    return out / "report.md"


def summary(scores: Sequence[Score]) -> dict[str, object]:
    """`instrument/player/metric` -> [adherence, low, high, mean score] for every metric that tells."""
    figures: dict[str, object] = {}
    for instrument in _instruments(scores):
        own = [score for score in scores if score.instrument == instrument]
        for player in players_of(own):
            for metric in _metrics(own):
                found = adherence(own, player, metric)
                if found is not None and found.adherence is not None and found.is_telling:
                    value = found.adherence
                    parts = (value.value, value.low, value.high, found.mean.value)
                    figures[f"{instrument}/{player}/{metric}"] = [round(part, 4) for part in parts]
            if (found := set_distances(own, player)) is not None:
                figures[f"{instrument}/{player}/apa"] = round(found.prompt_adherence, 4)
                if np.isfinite(found.prefers):
                    figures[f"{instrument}/{player}/prefers"] = round(found.prefers, 4)
                figures[f"{instrument}/{player}/frechet"] = round(found.frechet, 4)
            share = sane_share(own, player)
            if share is not None:
                figures[f"{instrument}/{player}/sane"] = round(share, 4)
    return figures


def _instruments(scores: Sequence[Score]) -> list[str]:
    return [name for name in INSTRUMENTS if any(score.instrument == name for score in scores)]


def _metrics(scores: Sequence[Score]) -> list[str]:
    return [name for name in (*METRICS, *PITCHED_METRICS) if any(name in score.values for score in scores)]


def _adherence_rows(scores: Sequence[Score]) -> list[Row]:
    rows = []
    for player in players_of(scores):
        if player in (TRUE, RANDOM):
            continue  # 1 and 0
        row: Row = {"adherence of": player}
        for metric in _metrics(scores):
            row[metric] = _text(adherence(scores, player, metric))
        share = sane_share(scores, player)
        row["sane"] = "" if share is None else f"{share:.0%}"
        rows.append(row)
    return rows


def _text(found: Adherence | None) -> str:
    if found is None or found.adherence is None:
        return ""
    return f"{found.adherence:.2f}" if found.is_telling else f"({found.adherence.value:.2f})"


def _fit_rows(scores: Sequence[Score]) -> list[Row]:
    rows = []
    for player in players_of(scores):
        found = set_distances(scores, player)
        if found is not None:
            figures = {"APA": found.prompt_adherence, "preferred to a stranger's": found.prefers}
            figures["Frechet distance"] = found.frechet
            rows.append(
                {"player": player, **{name: f"{value:.2f}" for name, value in figures.items() if np.isfinite(value)}}
            )
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
