"""Pictures to look at: spectrograms under one clock, with beats and onsets drawn in."""

from pathlib import Path

import numpy as np
import torch
import torchaudio
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gigmate.evaluation.metrics import onset_times_s
from gigmate.files.atomic import atomic_file
from gigmate.music.grid import BeatGrid

_BANDS, _WINDOW_S, _STEP_S = 96, 0.046, 0.01
_FLOOR_DB, _TOP_HZ = -80.0, 11_000.0


def draw_spectrograms(
    panels: dict[str, NDArray[np.float32]],
    sample_rate: int,
    path: Path,
    *,
    grid: BeatGrid | None = None,
    seconds: float = 12.0,
) -> None:
    """Write a PNG with one log-mel spectrogram per panel; ticks above are onsets, lines beats, bold ones bars.

    Args:
        panels: title -> mono wave [N], all starting at the same time.
        sample_rate: Hz of all of them.
        path: where to; appears complete or not at all.
        grid: beats to draw, if known.
        seconds: how much of the beginning is shown.
    """
    figure = Figure(figsize=(14, 2.6 * len(panels) + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    shown_s = min(seconds, max(len(wave) for wave in panels.values()) / sample_rate)
    for axis, (title, wave) in zip(axes, panels.items(), strict=True):
        _draw_panel(axis, title, wave[: int(shown_s * sample_rate)], sample_rate)
        if grid is not None:
            _draw_beats(axis, grid, shown_s)
        axis.set_xlim(0, shown_s)
    axes[-1].set_xlabel("seconds")
    with atomic_file(path) as file:
        figure.savefig(file, format="png", dpi=90)


def _draw_panel(axis: Axes, title: str, wave: NDArray[np.float32], sample_rate: int) -> None:
    window, step = round(_WINDOW_S * sample_rate), round(_STEP_S * sample_rate)
    mel = torchaudio.transforms.MelSpectrogram(
        sample_rate, n_fft=window, hop_length=step, n_mels=_BANDS, f_min=30.0, f_max=min(_TOP_HZ, sample_rate / 2)
    )
    level_db = 10 * torch.log10(mel(torch.from_numpy(np.ascontiguousarray(wave))) + 1e-10)
    top_db = float(level_db.max())
    extent = (0.0, level_db.shape[1] * step / sample_rate, 0.0, float(_BANDS))
    axis.imshow(
        level_db.numpy(),
        origin="lower",
        aspect="auto",
        extent=extent,
        vmin=top_db + _FLOOR_DB,
        vmax=top_db,
        cmap="magma",
    )
    onsets = onset_times_s(wave, sample_rate)
    axis.plot(onsets, np.full(len(onsets), _BANDS - 3.0), "|", color="white", markersize=9)
    axis.set_title(f"{title}: {len(onsets)} onsets", loc="left", fontsize=10)
    axis.set_ylabel("mel band")


def _draw_beats(axis: Axes, grid: BeatGrid, shown_s: float) -> None:
    for time_s, is_downbeat in zip(grid.beat_times_s, grid.downbeats, strict=True):
        if 0 <= time_s <= shown_s:
            axis.axvline(time_s, color="cyan", lw=1.4 if is_downbeat else 0.5, alpha=0.8 if is_downbeat else 0.5)
