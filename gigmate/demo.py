"""`make demo`: hear and see the bandmate play to a song, somebody's own or one that the practice band makes up.

The practice song is none that any training run has seen: its seed lies outside the range of the training data, and
its chord progressions belong to a group that is kept for validation.
"""

import argparse
import logging
import sys
from pathlib import Path

import numpy as np

from gigmate.accompanist import Accompanist
from gigmate.audio import Audio, read_audio, write_wav
from gigmate.config.cli import guarded
from gigmate.evaluation.picture import draw_spectrograms
from gigmate.files.atomic import atomic_results
from gigmate.music.band import compose, render_song
from gigmate.music.instruments import INSTRUMENTS
from gigmate.music.tracker import track_beats
from gigmate.offline import fresh_folder, save
from gigmate.performance import Take

DEMO_SEED = 7_000_013
"""Outside the seeds of `conf/data`; a test checks that its progressions are kept for validation."""

_SECONDS = 30.0
_RATE = 24_000


def practice_song(seed: int, without: str) -> Audio:
    """Half a minute of the practice band with one player missing: [1, N] at 24 kHz."""
    stems = render_song(compose(seed, _SECONDS), _RATE)
    band = sum((wave for name, wave in stems.items() if name != without), np.zeros(round(_SECONDS * _RATE), np.float32))
    return Audio(band[None].astype(np.float32), _RATE)


def play(song_path: Path | None, instrument: str, runs_dir: Path) -> Path:
    """Play to the song, save stem, mix, report and picture; returns their folder."""
    song = practice_song(DEMO_SEED, instrument) if song_path is None else read_audio(song_path)
    out = fresh_folder(runs_dir / "demo" / ("practice" if song_path is None else song_path.stem))
    grid = track_beats(song.wave, song.sample_rate)
    played = Accompanist.load().accompany(song.wave, song.sample_rate, Take(instrument), grid=grid)
    panels = {"song": song.wave.mean(axis=0), f"stem ({instrument})": played.stem.mean(axis=0)}
    with atomic_results(out) as place:
        write_wav(place / "song.wav", song.wave, song.sample_rate)
        save(played, {"song": str(song_path or f"practice band, seed {DEMO_SEED}"), **played.report}, place)
        draw_spectrograms(panels, song.sample_rate, place / "picture.png", grid=grid)
    return out


def main() -> None:
    """Read the command line, play, and print the folder last."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--song", type=Path, help="an audio file; without it the practice band plays")
    parser.add_argument("--instrument", default="drums", choices=INSTRUMENTS[:-1])
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    out = play(args.song, args.instrument, args.runs_dir)
    sys.stdout.write(f"{out}\n")


if __name__ == "__main__":
    sys.exit(guarded(main))
