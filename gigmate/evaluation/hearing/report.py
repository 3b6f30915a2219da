"""The report of `evaluate.py what=listening`: by how much the loss rises, for whom, and at which lookahead."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gigmate.evaluation.bootstrap import Interval, interval
from gigmate.evaluation.hearing.scores import WindowLoss, per_song, rises
from gigmate.evaluation.hearing.windows import WINDOW_S, is_pitched
from gigmate.evaluation.tables import Row, markdown, write_csv
from gigmate.files.atomic import write_bytes

_GRIDS = {"true": "given", "shifted": "given", "none": "none"}
_ORDER = ("mix swapped", "mix shifted", "mix transposed", "mix unheard", "grid shifted")
_GOALS = (("mix swapped", "given"), ("mix swapped", "none"), ("mix shifted", "none"), ("mix transposed", "given"))
_INTRO = """\
Rise of the loss, in nats per code (mean over codebooks), when what the model hears is falsified: the mean over {songs}
songs ({windows} windows of {seconds:g} s, of which the first second isn't counted) with its 95 % bootstrap interval
over songs; 0: it makes no difference; *: the interval is above 0. `mix swapped`: another song's mix at the same power;
`mix shifted` and `grid shifted`: by .3 to .7 beats either way; `mix transposed`: all pitched companions moved 1 to 6
semitones up or down in the features (semitone bands rolled, mel bands read at the other frequency; drums stay), for
pitched stems only; `mix unheard`: no mix. Grid: whether the model is given the song's beats. Notes are weighed by the
chords that the model's ear reads with a strength of {chord_strength:g} (generate.py's is 12; 0: the transformer alone).
"""


def write_listening_report(losses: Sequence[WindowLoss], model_name: str, chord_strength: float, out: Path) -> Path:
    """Write `report.md`, `scores.csv` (every window) and `scores.json` (one line); returns the report."""
    found = [rise for rise in rises(losses) if _counts(rise)]
    write_csv(out / "scores.csv", [_csv_row(rise) for rise in found])
    write_bytes(out / "scores.json", (json.dumps(summary(losses, model_name)) + "\n").encode())
    intro = _INTRO.format(
        songs=len({loss.window.song for loss in losses}),
        windows=len({id(loss.window) for loss in losses}),
        seconds=WINDOW_S,
        chord_strength=chord_strength,
    )
    tables = [
        ("All instruments", markdown(_overview(found))),
        ("By codebook", markdown(_by_codebook(found))),
        ("By instrument", markdown(_by_instrument(found))),
        ("Loss with the true mix", markdown(_true_losses(losses))),
    ]
    text = f"# How well {model_name} listens\n\n{intro}" + "".join(f"\n## {title}\n\n{body}" for title, body in tables)
    write_bytes(out / "report.md", text.encode())
    return out / "report.md"


def summary(losses: Sequence[WindowLoss], model_name: str) -> dict[str, object]:
    """Every figure of the overview as primitives, for trackers."""
    figures: dict[str, object] = {"what": "listening", "ckpt": model_name}
    for (name, grid, lookahead), group in _groups([rise for rise in rises(losses) if _counts(rise)]).items():
        mean = _mean_interval(group)
        key = f"{name.replace(' ', '_')}/grid_{grid}/L{lookahead:+d}"
        figures[key] = [round(value, 5) for value in (mean.value, mean.low, mean.high)]
    return figures


def _counts(rise: WindowLoss) -> bool:
    """Drums are no judge of keys."""
    return rise.deception.mix != "transposed" or is_pitched(rise.window.instrument)


def _groups(found: Sequence[WindowLoss]) -> dict[tuple[str, str, int], list[WindowLoss]]:
    groups: dict[tuple[str, str, int], list[WindowLoss]] = {}
    for rise in found:
        key = rise.deception.name, _GRIDS[rise.deception.grid], rise.lookahead
        groups.setdefault(key, []).append(rise)
    return dict(sorted(groups.items(), key=lambda item: (_ORDER.index(item[0][0]), item[0][1], item[0][2])))


def _mean_interval(group: Sequence[WindowLoss]) -> Interval:
    return interval(per_song(group).mean(axis=1))


def _overview(found: Sequence[WindowLoss]) -> list[Row]:
    rows: dict[tuple[str, str], Row] = {}
    songs: dict[tuple[str, str], str] = {}
    for (name, grid, lookahead), group in _groups(found).items():
        row = rows.setdefault((name, grid), {"falsified": name, "grid": grid})
        mean = _mean_interval(group)
        row[_column(lookahead)] = f"{mean:+.4f}" + (" *" if mean.is_above_zero else "")
        songs[name, grid] = str(len({rise.window.song for rise in group}))
    return [{**row, "songs": songs[key], "goal": "above 0" if key in _GOALS else ""} for key, row in rows.items()]


def _by_codebook(found: Sequence[WindowLoss]) -> list[Row]:
    rows = []
    for (name, grid, lookahead), group in _groups(found).items():
        by_stream = zip(group[0].streams, per_song(group).T, strict=True)
        books = {stream: f"{interval(values):+.4f}" for stream, values in by_stream}
        rows.append({"falsified": name, "grid": grid, "lookahead": str(lookahead), **books})
    return rows


def _by_instrument(found: Sequence[WindowLoss]) -> list[Row]:
    rows: dict[tuple[str, str, str], Row] = {}
    for instrument in dict.fromkeys(sorted(rise.window.instrument for rise in found)):
        own = [rise for rise in found if rise.window.instrument == instrument]
        for (name, grid, lookahead), group in _groups(own).items():
            row = rows.setdefault((instrument, name, grid), {"instrument": instrument, "falsified": name, "grid": grid})
            row.setdefault("songs", str(len({rise.window.song for rise in group})))
            row[_column(lookahead)] = f"{_mean_interval(group):+.3f}"
    return list(rows.values())


def _true_losses(losses: Sequence[WindowLoss]) -> list[Row]:
    rows: dict[str, Row] = {}
    for grid in ("true", "none"):
        own = [loss for loss in losses if (loss.deception.mix, loss.deception.grid) == ("true", grid)]
        for lookahead in sorted({loss.lookahead for loss in own}):
            books = per_song([loss for loss in own if loss.lookahead == lookahead]).mean(axis=0)
            row = rows.setdefault(grid, {"grid": _GRIDS[grid]})
            row[_column(lookahead)] = f"{books.mean():.4f} (" + ", ".join(f"{book:.2f}" for book in books) + ")"
    return list(rows.values())


def _column(lookahead: int) -> str:
    return f"lookahead {lookahead:+d} frames" if lookahead else "lookahead 0"


def _csv_row(rise: WindowLoss) -> dict[str, str | float]:
    return {
        "song": rise.window.song,
        "instrument": rise.window.instrument,
        "falsified": rise.deception.name,
        "grid": _GRIDS[rise.deception.grid],
        "lookahead_frames": rise.lookahead,
        "rise": round(float(np.mean(rise.per_codebook)), 6),
        **{f"rise_{stream}": round(float(x), 6) for stream, x in zip(rise.streams, rise.per_codebook, strict=True)},
    }
