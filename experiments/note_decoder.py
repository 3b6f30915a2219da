"""Does the codec's decoder sound the notes that it is told, whatever its codes say?

    python -m experiments.note_decoder AUDIO [CODEC.safetensors]

AUDIO is a data set of kind audio. Stems of its validation songs are decoded from their own codes, from codes up to
three frames out of place, and from those of another moment, without their notes and with them: how much of the sound
is on the notes, how loud it is, and whether one hears each note begin (F1 of the onsets within 50 ms).
"""

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import mir_eval
import numpy as np
import torch

from gigmate.audio import loudness_db
from gigmate.codec.compact import CompactCodec, load_compact
from gigmate.config.cli import guarded
from gigmate.data.loading import of_split, open_folders
from gigmate.evaluation.adherence.part import CHROMA_RATE, Part
from gigmate.evaluation.metrics import Mono, onset_times_s
from gigmate.evaluation.tables import Row, markdown
from gigmate.pitch import UNKNOWN_NOTES, read_note_code

_RATE, _FRAME_RATE, _FRAMES, _FIRST, _ELSEWHERE, _JITTER = 24_000, 50, 500, 500, 137, 3
_MOST, _LEVEL_DB = 6, -20.0
_ONSET_TOLERANCE_S = 0.05
_INSTRUMENTS = ("drums", "bass", "keys", "guitar", "lead")


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


def begins_heard(wave: Mono, notes: torch.Tensor) -> float:
    """F1 of the onsets in the sound against the frames where notes begin."""
    begins = np.array([frame for frame, code in enumerate(notes.tolist()) if read_note_code(code).begins]) / _FRAME_RATE
    return float(mir_eval.onset.f_measure(begins, onset_times_s(wave, _RATE), window=_ONSET_TOLERANCE_S)[0])


@torch.inference_mode()
def rows(codec: CompactCodec, folder: Path, instrument: str) -> list[Row]:
    """Lines of the table."""
    found = defaultdict(list)
    for number, (wave, notes) in enumerate(stems(folder, instrument)):
        if number == _MOST:
            break
        found["true stem"].append(_heard(wave, notes))
        codes, frames = codec.encode(torch.from_numpy(wave)[None, None]), torch.arange(_FRAMES)
        draws = torch.randint(-_JITTER, _JITTER + 1, (_FRAMES,), generator=torch.Generator().manual_seed(number))
        for place, moved in {
            "own": frames,
            "out of place": (frames + draws).clamp(0, _FRAMES - 1),
            "of another moment": (frames + _ELSEWHERE) % _FRAMES,
        }.items():
            for told, known in (("without notes", None), ("with notes", notes[None])):
                made = codec.decode(codes[:, :, moved], known)[0, 0].numpy()
                found[f"{place}, {told}"].append(_heard(made, notes))
    means = {name: np.mean(values, axis=0) for name, values in found.items()}
    return [
        {
            "stem": instrument,
            "codes": name,
            "on its notes": "" if instrument == "drums" else f"{share:.2f}",
            "level, dB": f"{level:+.1f}",
            "begins heard": f"{begins:.2f}",
        }
        for name, (share, level, begins) in means.items()
    ]


def _heard(wave: Mono, notes: torch.Tensor) -> tuple[float, float, float]:
    return share_on_notes(wave, notes), loudness_db(wave[None]) - _LEVEL_DB, begins_heard(wave, notes)


def _run() -> None:
    folder, weights = Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None
    codec = load_compact(weights)
    sys.stdout.write(markdown([row for name in _INSTRUMENTS for row in rows(codec, folder, name)]))


if __name__ == "__main__":
    sys.exit(guarded(_run))
