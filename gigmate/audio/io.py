"""Reading, writing, resampling, downmix and loudness of audio files; refuses what it can't represent.

path --open_source--> bytes --inspect--> Header --decode, counted--> blocks --assemble, judge--> Audio
                            (pure Python)       (child process)
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from gigmate.audio.checks import clean_and_check, describe
from gigmate.audio.child import DecodeError, decode
from gigmate.audio.inspect import inspect
from gigmate.audio.isolation import assemble, decode_isolated
from gigmate.audio.source import open_source
from gigmate.audio.write import encode
from gigmate.errors import GigmateError, InputError, MachineError
from gigmate.files.atomic import atomic_file

EXTENSIONS = (".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".w64", ".rf64")
MAX_SECONDS = 1_800.0
FLOOR_DB = -120.0
_DEAD_POWER, _CANCELLED_POWER = 1e-6, 5e-3  # of a channel, of a sum: relative to the loudest channel


@dataclass(frozen=True)
class Audio:
    """Samples of a file.

    Attributes:
        wave: [C, N] float32, finite, within -16..16, nominally -1..1.
        sample_rate: in Hz.
        notes: `code: explanation` of what is odd but usable: silent, clipped, dc, empty_channel, opposed_phase, ...
    """

    wave: np.ndarray
    sample_rate: int
    notes: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.wave.shape[1] / self.sample_rate


def read_audio(
    path: str | Path,
    *,
    max_seconds: float = MAX_SECONDS,
    isolated: bool = True,
    strict: bool = False,
    root: str | Path | None = None,
) -> Audio:
    """Read an audio file that a stranger may have made: wav, rf64, w64, aiff, flac, ogg (Vorbis, Opus) or mp3.

    Args:
        path: the file; only regular files are opened.
        max_seconds: length above which it is refused, from its header or while decoding.
        isolated: decode in a child process that may crash or hang without harm (about 0.2 s each). False only for
            files of one's own: the same checks, but a fault of the decoder library is a fault of this process.
        strict: refuse stray bytes at the end of the samples too.
        root: when given, the file must lie inside this folder after links are followed.

    Raises:
        InputError: with a code of the table of bad inputs; `where` is the path.
        MachineError: not enough memory, or no process for the decoder.
    """
    if not 0 < max_seconds < math.inf:
        raise ValueError(f"max_seconds must be positive and finite, given {max_seconds}")
    path = Path(path)
    try:
        with open_source(path, Path(root) if root is not None else None) as source:
            header = inspect(source, max_seconds)
            if strict and (odd := [note for note in header.notes if note.startswith("odd_bytes")]):
                raise InputError("odd_bytes", odd[0], remedy="export it again, or read it without strict")
            max_samples = int(max_seconds * header.sample_rate)
            if isolated:
                wave = decode_isolated(source.fd, header.extents, header.kind, max_samples)
            else:
                blocks = list(decode(source.fd, header.extents, header.kind, max_samples))
                wave = assemble(blocks, sum(map(len, blocks)), header.channels)
        if wave.shape[1] == 0:
            raise InputError("zero_frames", "no samples could be decoded", remedy="export it again")
        if header.is_exact and wave.shape[1] < (header.num_samples or 0):
            what = f"the header claims {header.num_samples} samples, {wave.shape[1]} could be decoded"
            raise InputError("decode_error", what, remedy=_REMEDY)
        notes = header.notes + clean_and_check(wave)
    except DecodeError as error:
        raise InputError(error.code, error.what, path, _REMEDIES.get(error.code, _REMEDY)) from error
    except MemoryError as error:
        raise MachineError("memory", "not enough memory for its samples", path, "cut it into parts") from error
    except GigmateError as error:
        error.where = error.where or str(path)
        raise
    return Audio(wave, header.sample_rate, notes + describe(wave))


_REMEDY = "export or download it again, as WAV or FLAC"
_REMEDIES = {"too_long": "cut it, or raise max_seconds"}


def list_audio(folder: str | Path) -> list[Path]:
    """The audio files right inside `folder`, by extension, sorted by name; hidden files are left out.

    Raises:
        InputError: `io_error` if the folder can't be listed, `no_audio` if there is none.
    """
    folder = Path(folder)
    try:
        found = sorted(p for p in folder.iterdir() if p.suffix.lower() in EXTENSIONS and p.is_file())
    except OSError as error:
        raise InputError("io_error", f"can't list the folder ({error.strerror})", folder, "check it") from error
    found = [p for p in found if not p.name.startswith(".")]
    if not found:
        raise InputError("no_audio", f"no audio file in it ({' '.join(EXTENSIONS)})", folder, "give another folder")
    return found


def resample(wave: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """`wave` [C, N] at another rate, [C, round(N * to / from)] float32.

    Source: the SoX resampler, quality HQ.
    """
    if from_rate <= 0 or to_rate <= 0:
        raise ValueError(f"rates must be positive, given {from_rate} and {to_rate}")
    wave = np.asarray(wave, np.float32)
    if from_rate == to_rate or wave.shape[1] == 0:
        return wave
    num_samples = (2 * wave.shape[1] * to_rate + from_rate) // (2 * from_rate)
    resampled = soxr.resample(wave.T, from_rate, to_rate, quality="HQ").T[:, :num_samples]
    missing = num_samples - resampled.shape[1]
    return np.ascontiguousarray(np.pad(resampled, ((0, 0), (0, missing))), np.float32)


def to_channels(wave: np.ndarray, channels: int) -> np.ndarray:
    """`wave` [C, N] with another number of channels: mono is the mean of what sounds, more are copies of mono.

    Silent channels don't count in the mean, and where channels cancel each other out the loudest stands for all.
    """
    if channels < 1:
        raise ValueError(f"channels must be at least 1, given {channels}")
    if wave.shape[0] == channels:
        return wave
    if not wave.any():
        return np.zeros((channels, wave.shape[1]), np.float32)
    power = np.mean(np.square(wave, dtype=np.float64), axis=1)
    mono = wave[power > _DEAD_POWER * power.max()].mean(axis=0, dtype=np.float32)
    if np.mean(np.square(mono, dtype=np.float64)) < _CANCELLED_POWER * power.max():
        mono = wave[int(power.argmax())]
    return np.repeat(mono[None], channels, axis=0)


def loudness_db(wave: np.ndarray) -> float:
    """Root mean square of all samples in dB of full scale, not below -120."""
    power = float(np.mean(np.square(wave, dtype=np.float64))) if wave.size else 0.0
    return max(FLOOR_DB, 10 * float(np.log10(power))) if power > 0 else FLOOR_DB


def write_wav(path: str | Path, wave: np.ndarray, sample_rate: int, *, subtype: str = "PCM_16") -> None:
    """Write `wave` [C, N] as `.wav` (PCM_16 clipped to -1..1, or FLOAT), or by the name's ending as `.flac`, `.ogg`.

    The file appears whole under its name or not at all. An existing file is replaced: asking first is up to the caller.

    Raises:
        MachineError: the disk is full or can't be written; an existing file is as it was.
        ValueError: samples that are not finite, or another shape, subtype or ending than these.
    """
    path = Path(path)
    pieces = encode(wave, sample_rate, path.suffix.lower(), subtype)
    with atomic_file(path) as file:
        for piece in pieces:
            file.write(piece)
