"""What a training run has learned, from the table that it keeps: losses over time, and whether the mix is heard."""

import re
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gigmate.errors import InputError
from gigmate.evaluation.tables import Row, read_csv, write_report
from gigmate.files.atomic import atomic_file

_TABLE = "validation.csv"
_LOOKAHEAD = re.compile(r"valid/true_(minus|plus)?(\d+)$")
_MOST_BOOKS = 32


def write_training_report(run: Path, out: Path) -> Path:
    """Write `report.md` and `losses.png` on the run in folder `run`; returns the report.

    The table has a row per codebook (last loss, beside the unigram entropy of the same codes: the loss of a model that
    only knew how often codes occur) and a row per lookahead (loss with the true mix, and with another song's).

    Raises:
        InputError: no `validation.csv`, or nothing in it.
    """
    path = run / _TABLE
    if not path.is_file():
        raise InputError(
            "missing", f"no {_TABLE} in this folder", run, "give the folder of a run of train.py as input="
        )
    history = read_csv(path)
    if not history or "valid/loss_k0" not in history[-1]:
        raise InputError("no_data", "no validation of a language model in this table", path, "give another run")
    _draw(history, out / "losses.png")
    steps, seen = history[-1]["step"], len(history)
    facts = f"run {run.name}: {steps} steps, {seen} validations; losses in nats per code\n\n![losses](losses.png)"
    return write_report(
        out / "report.md", "What was learned", facts, [*_by_codebook(history[-1]), *_by_lookahead(history[-1])]
    )


def _by_codebook(last: dict[str, str]) -> list[Row]:
    rows = []
    for stream, what in _streams(last).items():
        loss, entropy = float(last[f"valid/loss_{stream}"]), float(last[f"valid/unigram_entropy_{stream}"])
        rows.append(
            {
                "what": what,
                "loss": f"{loss:.3f}",
                "anchor": f"{entropy:.3f} unigram entropy",
                "better by": f"{entropy - loss:.3f}",
            }
        )
    return rows


def _streams(last: dict[str, str]) -> dict[str, str]:
    """What the model writes, by column: the notes if it writes any, and the codebooks."""
    books = [k for k in range(_MOST_BOOKS) if f"valid/loss_k{k}" in last]
    notes = {"notes": "notes"} if "valid/loss_notes" in last else {}
    return notes | {f"k{k}": f"codebook {k + 1}" for k in books}


def _by_lookahead(last: dict[str, str]) -> list[Row]:
    rows = []
    for key, value in last.items():
        if match := _LOOKAHEAD.match(key):
            true, swapped = float(value), float(last[key.replace("true", "swapped")])
            frames = int(match[2]) * (-1 if match[1] == "minus" else 1)
            rows.append(
                {
                    "what": f"lookahead {frames:+d} frames",
                    "loss": f"{true:.3f}",
                    "anchor": f"{swapped:.3f} with another song's mix",
                    "better by": f"{swapped - true:.3f}",
                }
            )
    return rows


def _draw(history: list[dict[str, str]], path: Path) -> None:
    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    by_codebook, by_mix = figure.subplots(1, 2)
    steps = [int(row["step"]) for row in history]
    for stream, what in _streams(history[-1]).items():
        line = by_codebook.plot(steps, _column(history, f"valid/loss_{stream}"), label=what)[0]
        by_codebook.axhline(float(history[-1][f"valid/unigram_entropy_{stream}"]), ls=":", color=line.get_color())
    by_codebook.set(title="loss per codebook (dotted: unigram entropy)", xlabel="step", ylabel="nats per code")
    by_codebook.legend()
    for key in history[-1]:
        if _LOOKAHEAD.match(key):
            gap = [
                b - a
                for a, b in zip(_column(history, key), _column(history, key.replace("true", "swapped")), strict=True)
            ]
            by_mix.plot(steps, gap, label=key.removeprefix("valid/true_"))
    by_mix.axhline(0, color="grey", lw=0.5)
    by_mix.set(title="what another song's mix costs, per lookahead", xlabel="step", ylabel="nats per code")
    by_mix.legend()
    with atomic_file(path) as file:
        figure.savefig(file, format="png", dpi=90)


def _column(history: list[dict[str, str]], name: str) -> list[float]:
    return [float(row[name]) for row in history]
