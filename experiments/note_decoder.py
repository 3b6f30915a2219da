"""Does the codec's decoder sound the notes that it is told, whatever its codes say?

    python -m experiments.note_decoder AUDIO

AUDIO is a data set of kind audio. Stems of its validation songs are decoded from their own codes, from codes up to
three frames out of place, and from those of another moment, without their notes and with them.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from gigmate.audio import loudness_db
from gigmate.codec.compact import CompactCodec, load_compact
from gigmate.config.cli import guarded
from gigmate.data.loading import of_split, open_folders
from gigmate.evaluation.adherence.part import CHROMA_RATE, Part
from gigmate.evaluation.metrics import Mono
from gigmate.evaluation.tables import Row, markdown
from gigmate.pitch import UNKNOWN_NOTES, read_note_code

_RATE, _FRAMES, _FIRST, _ELSEWHERE, _JITTER = 24_000, 500, 500, 137, 3
_MOST, _LEVEL_DB = 6, -20.0
_INSTRUMENTS = ("bass", "keys", "guitar", "lead")


def stems(folder: Path, instrument: str) -> Iterator[tuple[Mono, torch.Tensor]]:
    """Ten seconds each of held-out stems at -20 dBFS, and their note codes [T]."""
    _, songs = open_folders([str(folder)], "audio")
    for song in of_split(songs, "valid"):
        if instrument in song.card.instruments:
            records, column = song.open()[_FIRST : _FIRST + _FRAMES], song.card.instruments.index(instrument)
            wave = records["stems"][:, :, column].astype(np.float32).ravel() / 32_768
            notes = torch.from_numpy(records["notes"][:, column].astype(np.int64))
            if len(records) == _FRAMES and loudness_db(wave[None]) > -60 and bool((notes != UNKNOWN_NOTES).all()):
                yield wave * np.float32(10 ** ((_LEVEL_DB - loudness_db(wave[None])) / 20)), notes


def share_on_notes(wave: Mono, notes: torch.Tensor) -> float:
    """Share of the energy of spectral peaks that is on the pitch classes of the notes, while any sounds."""
    chroma = Part(wave, _RATE).chroma
    frames = np.minimum(np.arange(chroma.shape[1]) * 50 // int(CHROMA_RATE), _FRAMES - 1)
    sounding = [list(read_note_code(int(notes[frame])).pitch_classes) for frame in frames]
    total = sum(float(chroma[:, i].sum()) for i, classes in enumerate(sounding) if classes)
    return sum(float(chroma[classes, i].sum()) for i, classes in enumerate(sounding)) / max(total, 1e-9)


@torch.inference_mode()
def rows(codec: CompactCodec, folder: Path, instrument: str) -> list[Row]:
    """Lines of the table."""
    shares, levels = defaultdict(list), defaultdict(list)
    for number, (wave, notes) in enumerate(stems(folder, instrument)):
        if number == _MOST:
            break
        shares["true stem"].append(share_on_notes(wave, notes))
        codes, frames = codec.encode(torch.from_numpy(wave)[None, None]), torch.arange(_FRAMES)
        draws = torch.randint(-_JITTER, _JITTER + 1, (_FRAMES,), generator=torch.Generator().manual_seed(number))
        for place, moved in {
            "own": frames,
            "out of place": (frames + draws).clamp(0, _FRAMES - 1),
            "of another moment": (frames + _ELSEWHERE) % _FRAMES,
        }.items():
            for told, known in (("without notes", None), ("with notes", notes[None])):
                made = codec.decode(codes[:, :, moved], known)[0, 0].numpy()
                shares[f"{place}, {told}"].append(share_on_notes(made, notes))
                levels[f"{place}, {told}"].append(loudness_db(made[None]) - _LEVEL_DB)
    return [
        {"stem": instrument, "codes": name, "on its notes": f"{np.mean(share):.2f}", "level, dB": _mean(levels[name])}
        for name, share in shares.items()
    ]


def _mean(levels: list[float]) -> str:
    return f"{np.mean(levels):+.1f}" if levels else "0"


def _run() -> None:
    codec, folder = load_compact(), Path(sys.argv[1])
    sys.stdout.write(markdown([row for name in _INSTRUMENTS for row in rows(codec, folder, name)]))


if __name__ == "__main__":
    sys.exit(guarded(_run))
